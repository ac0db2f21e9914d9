"""Which groups differ, which definition of a domain separates best, which domains to train on."""

import dataclasses
import itertools
import math
import shlex
from collections.abc import Sequence

import numpy as np

from jaxharmo.data.manifest import SPLITS, Manifest
from jaxharmo.evaluation.domains.factors import DEFINITIONS, Factor, combined, settles
from jaxharmo.evaluation.domains.units import Units
from jaxharmo.evaluation.domains.variance import assess, kruskal_rows
from jaxharmo.evaluation.statistics import SIGNIFICANCE
from jaxharmo.evaluation.statistics.features import false_discovery

TOLERANCE = 0.02
"""Effect that a definition with more domains must add to be preferred, or below which two alike."""
ENOUGH = 5
"""Patients in each of two domains, from which they may be called alike."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proposal:
    """Domains of the shard set to train on."""

    domains: tuple[str, ...]
    left_out: dict[str, str]
    """Domain name -> why."""
    alike: tuple[tuple[str, str], ...]
    """Pairs of them in which no difference was found, though it was looked for."""
    warnings: tuple[str, ...]

    @property
    def arguments(self) -> str:
        """The option of ``jaxharmo train``, quoted for a shell."""
        return shlex.join(["--data.domains", *self.domains])


def compare_pairs(units: Units, factor: Factor) -> list[dict]:
    """Every pair of groups: effect, p and q of a PERMANOVA, share of features that differ.

    Rows of a patient who is in both groups are compared within the patient.
    """
    rows = []
    for a, b in itertools.combinations(factor.kinds, 2):
        chosen = np.isin(factor.levels, (a, b))
        part, levels = _rows(units, chosen), factor.levels[chosen]
        patients = [set(part.patients[levels == kind].tolist()) for kind in (a, b)]
        r2, chance, p = assess(part, levels)
        differ = [row["q"] < SIGNIFICANCE for row in kruskal_rows(part, Factor("", levels))]
        rows.append(
            {
                "a": a,
                "b": b,
                "patients_a": len(patients[0]),
                "patients_b": len(patients[1]),
                "patients_shared": len(patients[0] & patients[1]),
                "r2": r2,
                "effect": (r2 - chance) / (1 - chance) if chance < 1 else math.nan,
                "p": p,
                "features_differ": float(np.mean(differ)) if differ else math.nan,
            }
        )
    adjusted = false_discovery(np.array([row["p"] for row in rows]))
    return [row | {"q": float(q)} for row, q in zip(rows, adjusted, strict=True)]


def compare_definitions(units: Units, factors: Sequence[Factor], min_patients: int) -> list[dict]:
    """What each definition of a domain would explain, and how many domains it would give."""
    by_name = {factor.name: factor for factor in factors}
    rows, seen = [], []
    for name, parts in DEFINITIONS.items():
        if any(part not in by_name for part in parts):
            continue
        factor = combined([by_name[part] for part in parts], name)
        # Two definitions may give the same groups; the simpler one is named first.
        if any(settles(factor, other) and settles(other, factor) for other in seen):
            continue
        seen.append(factor)
        r2, chance, p = assess(units, factor.levels)
        counts = {kind: len(set(units.patients[factor.levels == kind])) for kind in factor.kinds}
        rows.append(
            {
                "definition": name,
                "domains": len(counts),
                "domains_with_enough_patients": sum(n >= min_patients for n in counts.values()),
                "r2": r2,
                "effect": (r2 - chance) / (1 - chance) if chance < 1 else math.nan,
                "p": p,
            }
        )
    return rows


def best_definition(definitions: Sequence[dict]) -> str | None:
    """The one of fewest domains whose effect is within ``TOLERANCE`` of the largest."""
    judged = [row for row in definitions if math.isfinite(row["effect"])]
    if not judged:
        return None
    largest = max(row["effect"] for row in judged)
    near = [row for row in judged if row["effect"] >= largest - TOLERANCE]
    return min(near, key=lambda row: row["domains"])["definition"]


def propose(manifest: Manifest, units: Units, pairs: Sequence[dict], min_patients: int) -> Proposal:
    """The domains with enough patients and with slices to train on and to test on.

    Where fewer than two have that, those with slices in both splits are proposed, with a warning.
    """
    left_out, few = {}, {}
    for domain in manifest.domains:
        count = len(set(units.patients[units.domains == domain.name].tolist()))
        empty = [split for split in (SPLITS[0], SPLITS[-1]) if not domain.slices.get(split)]
        if empty:
            left_out[domain.name] = f"no slices in the split '{empty[0]}'"
        elif not count:
            left_out[domain.name] = "no slice shows enough of the region"
        elif count < min_patients:
            few[domain.name] = f"{count} of {min_patients} patients"
    names = [name for name in manifest.domain_names if name not in left_out | few]
    warnings = []
    if len(names) < 2:
        names = [name for name in manifest.domain_names if name not in left_out]
        warnings.append(
            f"fewer than two domains have {min_patients} patients: all {len(names)} that can be "
            "trained on are proposed, but what is learned may not hold for new patients"
        )
    else:
        left_out |= few
    alike = tuple(
        (row["a"], row["b"]) for row in pairs if {row["a"], row["b"]} <= set(names) and _alike(row)
    )
    return Proposal(domains=tuple(names), left_out=left_out, alike=alike, warnings=tuple(warnings))


def _alike(pair: dict) -> bool:
    """Whether no difference was found, with enough patients to find one.

    A high q alone is no evidence: with few patients it is always high.
    """
    seen = min(pair["patients_a"], pair["patients_b"]) >= ENOUGH
    return seen and pair["p"] >= SIGNIFICANCE and pair["effect"] < TOLERANCE


def _rows(units: Units, chosen: np.ndarray) -> Units:
    return dataclasses.replace(
        units,
        features=units.features[chosen],
        patients=units.patients[chosen],
        acquisitions=units.acquisitions[chosen],
        domains=units.domains[chosen],
        series=tuple(s for s, keep in zip(units.series, chosen, strict=True) if keep),
        slices=units.slices[chosen],
    )
