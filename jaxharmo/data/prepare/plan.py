"""Series -> domains, pseudonyms, splits and tasks; a matter of headers alone."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations

from jaxharmo.data.manifest import unique_slugs
from jaxharmo.data.prepare.config import SETTINGS, PrepareConfig
from jaxharmo.data.prepare.factors import acquisition_of_series
from jaxharmo.data.prepare.headers import Skipped, SliceFile
from jaxharmo.data.prepare.series import Series
from jaxharmo.data.prepare.splits import Splits, make_splits
from jaxharmo.data.prepare.tasks import Planned, Task

TASK_BYTES = 128 * 2**20
"""Pixels of a task: enough for a shard, little enough to be done again after a crash."""
NO_KERNEL = "ConvolutionKernel missing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is decided before a pixel is read."""

    series: list[Series]
    """By their keys."""
    skipped: list[Skipped]
    splits: Splits
    names: list[str]
    slugs: list[str]
    """Of the domains, in index order."""
    patients: dict[str, str]
    keys: dict[str, str]
    acquisitions: dict[str, str]
    """Pseudonyms by digest: of patients, series, acquisitions."""

    def tasks(self) -> Iterator[Task]:
        """All tasks, in the order of their numbers."""
        twins = _twins(self.series)
        number = 0
        for domain, name in enumerate(self.names):
            slices: list[Planned] = []
            size = 0
            for each in self.series:
                if each.domain != name:
                    continue
                acquisition = each.acquisition
                for item in each.slices:
                    split = self.splits.of(each, item.position)
                    if split is None:
                        continue
                    start = not slices or slices[-1].item.position != item.position
                    if size >= TASK_BYTES and start:
                        yield Task(number, domain, tuple(slices))
                        number, slices, size = number + 1, [], 0
                    size += 2 * item.shape[0] * item.shape[1]
                    slices.append(
                        Planned(
                            item,
                            split,
                            self.patients[each.patient],
                            self.keys[each.key],
                            self.acquisitions[acquisition],
                            twins.get((acquisition, item.position), ()),
                        )
                    )
            yield Task(number, domain, tuple(slices))
            number += 1

    def paired(self, series: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Pairs of domains with slices at one position of one acquisition, in these ``series``."""
        wanted = set(series)
        used = [each for each in self.series if self.keys[each.key] in wanted]
        pairs = {
            (min(a.domain, b.domain), max(a.domain, b.domain))
            for group in _by_acquisition(used).values()
            for a, b in combinations(group, 2)
            if a.domain != b.domain and not set(a.positions).isdisjoint(b.positions)
        }
        return tuple(sorted(pairs))


def make_plan(series: list[Series], skipped: list[Skipped], config: PrepareConfig) -> Plan | str:
    """The plan, or why there is nothing to be done."""
    skipped = list(skipped)
    reasons = {each.key: _unwanted(each, config) for each in series}
    kept = [each for each in series if not reasons[each.key]]
    small = _small_domains(kept, config)
    for each in series:
        reason = reasons[each.key] or small.get(each.domain)
        if reason:
            lost = not reason.startswith(SETTINGS)
            skipped += [Skipped(item.label, reason, lost=lost) for item in each.slices]
    kept = [each for each in kept if each.domain not in small]
    if not kept:
        return main_reason(skipped)
    splits = make_splits(kept, config.split_gap)
    skipped += [
        Skipped(item.label, f"{SETTINGS}gap between splits", lost=False)
        for each in kept
        for item in each.slices
        if splits.of(each, item.position) is None
    ]
    names = sorted({each.domain for each in kept})
    return Plan(
        series=kept,
        skipped=skipped,
        splits=splits,
        names=names,
        slugs=unique_slugs(names),
        patients=_pseudonyms("P", (each.patient for each in kept)),
        keys=_pseudonyms("S", (each.key for each in kept)),
        acquisitions=_pseudonyms("A", (each.acquisition for each in kept)),
    )


def too_small(patients: int, slices: int, config: PrepareConfig) -> str:
    """Why a domain of so many patients and slices is left out; empty where it is not."""
    if patients < config.min_patients:
        return f"{SETTINGS}domain with fewer than {config.min_patients} patients"
    if slices < config.min_slices:
        return f"{SETTINGS}domain with fewer than {config.min_slices} slices"
    return ""


def _unwanted(series: Series, config: PrepareConfig) -> str:
    """Why a series is left out because of its headers."""
    if not series.domain:
        return NO_KERNEL
    factors = acquisition_of_series([item.factors for item in series.slices])
    if config.exclude_contrast and factors.contrast:
        return f"{SETTINGS}contrast agent given"
    for name, limits in (
        ("slice_thickness", config.slice_thickness),
        ("pixel_spacing", config.pixel_spacing),
    ):
        value = getattr(factors, name)
        if limits and not (value and limits[0] <= value <= limits[1]):
            return f"{SETTINGS}{name.replace('_', ' ')} out of limits"
    return ""


def _small_domains(series: list[Series], config: PrepareConfig) -> dict[str, str]:
    patients: dict[str, set[str]] = defaultdict(set)
    slices: Counter[str] = Counter()
    for each in series:
        patients[each.domain].add(each.patient)
        slices[each.domain] += len(set(each.positions))
    reasons = {name: too_small(len(patients[name]), slices[name], config) for name in patients}
    return {name: reason for name, reason in reasons.items() if reason}


def _twins(series: list[Series]) -> dict[tuple[str, float], tuple[SliceFile, ...]]:
    """The slices of different reconstructions at one place, in the order of their series."""
    return {
        (acquisition, position): twins
        for acquisition, group in _by_acquisition(series).items()
        if len(group) > 1
        for position, twins in _by_position(group).items()
        if len(twins) > 1
    }


def _by_acquisition(series: list[Series]) -> dict[str, list[Series]]:
    groups: dict[str, list[Series]] = defaultdict(list)
    for each in series:
        groups[each.acquisition].append(each)
    return groups


def _by_position(group: list[Series]) -> dict[float, tuple[SliceFile, ...]]:
    places: dict[float, list[SliceFile]] = defaultdict(list)
    for each in group:
        for item in each.slices:
            places[item.position].append(item)
    return {position: tuple(items) for position, items in places.items()}


def _pseudonyms(letter: str, keys: Iterable[str]) -> dict[str, str]:
    """Key -> letter and number. Keys are digests, so their order reveals nothing."""
    return {key: f"{letter}{number:04d}" for number, key in enumerate(sorted(set(keys)), start=1)}


def main_reason(skipped: list[Skipped]) -> str:
    """The most frequent reason why these files were not used."""
    ((reason, count),) = Counter(item.reason for item in skipped).most_common(1)
    return f"{len(skipped)} files; {count} of them: {reason}"
