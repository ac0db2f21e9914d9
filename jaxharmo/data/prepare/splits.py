"""Which split every slice belongs to: by patient, or by slice block where patients are too few."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from jaxharmo.data.manifest import SPLITS
from jaxharmo.data.prepare.series import Series

VALIDATION, TEST = 0.1, 0.2
"""Share of the patients (or of the slices of a series); the rest is for training."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Splits:
    """The split of every patient, or of every position of every acquisition."""

    by_patient: dict[str, str]
    by_position: dict[str, dict[float, str]]
    warnings: tuple[str, ...]

    @property
    def split_by(self) -> str:
        """As the manifest names it."""
        return "patient" if self.by_patient else "slice block"

    def of(self, series: Series, position: float) -> str | None:
        """The split of the slice of ``series`` at ``position``; None in a gap between blocks."""
        if self.by_patient:
            return self.by_patient[series.patient]
        return self.by_position[series.acquisition].get(position)


def make_splits(series: Sequence[Series], gap: int = 0) -> Splits:
    """Split by patient, stratified by domain, where at least two domains have patients enough.

    A domain needs three patients to be in every split; those of a smaller one all go to training,
    and a warning says so. Where fewer than two domains (or not the only one) are complete that
    way, nothing could be judged, and slice blocks are taken instead, ``gap`` slices apart, with a
    warning.
    """
    domains_of: dict[str, set[str]] = defaultdict(set)
    for item in series:
        domains_of[item.patient].add(item.domain)
    by_patient = split_patients(domains_of)
    reached: dict[str, set[str]] = defaultdict(set)
    for patient, domains in domains_of.items():
        for domain in domains:
            reached[domain].add(by_patient[patient])
    short = sorted(domain for domain, splits in reached.items() if len(splits) < len(SPLITS))
    if len(reached) - len(short) >= min(2, len(reached)):
        warnings = tuple(f"'{domain}': too few patients for all splits" for domain in short)
        return Splits(by_patient=by_patient, by_position={}, warnings=warnings)
    positions: dict[str, set[float]] = defaultdict(set)
    for item in series:
        positions[item.acquisition].update(item.positions)
    return Splits(
        by_patient={},
        by_position={key: split_positions(found, gap) for key, found in positions.items()},
        warnings=(
            f"{len(domains_of)} patients are too few to split by patient: every series is cut into "
            "blocks of slices instead, so figures on the test split are not those of new patients",
        ),
    )


def split_patients(domains_of: dict[str, set[str]]) -> dict[str, str]:
    """Patient -> split, given the domains of every patient.

    Iterative stratification (Sechidis et al., 2011, doi 10.1007/978-3-642-23808-6_10): the domain
    with the fewest patients left is served first, each of its patients going where the domain
    lacks most. Depends on nothing but the names in ``domains_of``.
    """
    totals = Counter(domain for domains in domains_of.values() for domain in domains)
    wanted = {domain: _quotas(count) for domain, count in totals.items()}
    left = dict(sorted(domains_of.items()))
    result: dict[str, str] = {}
    while left:
        counts = Counter(domain for domains in left.values() for domain in domains)
        scarcest = min(counts, key=lambda domain: (counts[domain], domain))
        for patient in [patient for patient, domains in left.items() if scarcest in domains]:
            domains = left.pop(patient)
            overall = {split: sum(wanted[domain][split] for domain in domains) for split in SPLITS}
            need = wanted[scarcest]
            result[patient] = max(SPLITS, key=lambda split: (need[split], overall[split]))
            for domain in domains:
                wanted[domain][result[patient]] -= 1
    return result


def split_positions(positions: Iterable[float], gap: int = 0) -> dict[float, str]:
    """Position -> split: contiguous blocks along the normal, in the order of ``SPLITS``.

    Between blocks ``gap`` positions belong to none, where there are enough for all splits without
    them: neighbouring slices show much the same.
    """
    ordered = sorted(set(positions))
    gap = gap if len(ordered) - 2 * gap >= len(SPLITS) else 0
    quotas = _quotas(len(ordered) - 2 * gap)
    names = [name for split, count in quotas.items() for name in [split] * count + [None] * gap]
    return {place: name for place, name in zip(ordered, names, strict=False) if name}


def _quotas(count: int) -> dict[str, int]:
    """How many of ``count`` go to each split; none but training gets any of fewer than three."""
    if count < len(SPLITS):
        return dict(zip(SPLITS, (count, 0, 0), strict=True))
    validation, test = max(1, round(VALIDATION * count)), max(1, round(TEST * count))
    return dict(zip(SPLITS, (count - validation - test, validation, test), strict=True))
