"""How much of the texture's variance each factor explains, and which are confounded.

Shares are R² of z-scored features in Euclidean distance (PERMANOVA, Anderson 2001). A share grows
with the number of levels even where a factor does nothing, so it is set against the mean share of
permuted labels: effect = (R² - chance) / (1 - chance). Rows of a patient are not independent:
labels move with the whole patient, or, where a patient has several levels, within the patient.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxharmo.evaluation.domains.factors import Factor, settles
from jaxharmo.evaluation.domains.units import Units
from jaxharmo.evaluation.statistics import SIGNIFICANCE, domain_auc, kruskal_wallis, permanova
from jaxharmo.evaluation.statistics.resampling import permuted_labels, units_of

PERMUTATIONS = 999
TIED = 0.8
"""Cramér's V from which two factors count as strongly confounded."""
MIN_PATIENTS = 2
"""Of a level; with fewer, level and patient are confounded."""
NOT_JUDGED = "too few patients per level to separate the factor from the patients"
NAN = float("nan")
_KERNEL_AND_CLASS = ("kernel", "convolution class")
"""The kernel explains whatever its class explains."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of one factor on texture; NaN where it cannot be estimated."""

    factor: str
    levels: int
    patients: int
    """Patients of the level that has fewest."""
    r2: float
    """Share of the variance between rows."""
    chance: float
    """Mean share of permuted labels."""
    effect: float
    """Share beyond chance; it decides the rank."""
    p: float
    """Of the permutations."""
    paired: float
    """Share within acquisitions, where nothing but the reconstruction differs: a lower bound that
    no difference between patients can feign. NaN where the factor does not vary there."""
    beyond: float
    """Share that all other factors together leave to this one."""
    auc: float
    """Of a classifier of the levels, in patients that it was not fitted on."""
    features_differ: float
    """Share of the features that differ (Kruskal-Wallis, false discovery rate)."""
    same_as: tuple[str, ...]
    """Factors with the same groups, which cannot be separated here."""
    settled_by: tuple[str, ...]
    """Factors of which every level comes with one level of this one."""
    rank: int | None = None
    note: str = ""

    @property
    def judged(self) -> bool:
        """Whether the effect could be estimated."""
        return math.isfinite(self.effect)


def rank_factors(units: Units, factors: Sequence[Factor]) -> list[Effect]:
    """Effects, largest first; those that cannot be estimated come last and have no rank.

    Factors with the same groups share a rank.
    """
    varied = [factor for factor in factors if len(factor.kinds) > 1]
    effects = [_effect(units, factor, varied) for factor in varied]
    effects = [_bounded(effect, effects) for effect in effects]
    order = {effect.factor: number for number, effect in enumerate(effects)}
    effects.sort(key=lambda e: (not e.judged, -e.effect if e.judged else 0, order[e.factor]))
    ranked: list[Effect] = []
    for position, effect in enumerate(effects, 1):
        above = next((other.rank for other in ranked if effect.factor in other.same_as), None)
        rank = (above or position) if effect.judged else None
        ranked.append(dataclasses.replace(effect, rank=rank))
    return ranked


def blocks(labels: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Within what labels may be exchanged: the patient who has several, else all other patients."""
    several = {
        patient for patient in set(patients.tolist()) if len(set(labels[patients == patient])) > 1
    }
    return np.array([patient if patient in several else "" for patient in patients.tolist()])


def explained(table: Float[np.ndarray, "n f"], columns: Sequence[np.ndarray]) -> float:
    """R² of z-scored features on the additive levels of ``columns``; 0 without columns."""
    table = standardised(table)
    design = np.concatenate(
        [np.ones((len(table), 1)), *(_members(column) for column in columns)], axis=1
    )
    fitted = design @ np.linalg.lstsq(design, table, rcond=None)[0]
    total = float(np.sum(table**2))
    return float(np.sum(fitted**2)) / total if total else NAN


def standardised(table: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
    """Columns that are finite and vary, as z-scores."""
    finite = table[:, np.isfinite(table).all(0)]
    spread = finite.std(0)
    varied = spread > 1e-9 * np.abs(finite).max(0, initial=0)
    return (finite[:, varied] - finite[:, varied].mean(0)) / spread[varied]


def associations(factors: Sequence[Factor]) -> list[dict]:
    """Every pair of factors that vary: Cramér's V, and whether one settles the other."""
    rows = []
    varied = [factor for factor in factors if len(factor.kinds) > 1]
    for a, b in itertools.combinations(varied, 2):
        forth, back = settles(a, b), settles(b, a)
        v = _cramers_v(a.levels, b.levels)
        if forth and back:
            relation = "the same groups: cannot be separated"
        elif forth or back:
            finer, coarser = (a, b) if forth else (b, a)
            relation = f"every level of {finer.name} has one of {coarser.name}"
        else:
            relation = "strongly confounded" if v >= TIED else "crossed"
        rows.append({"a": a.name, "b": b.name, "cramers_v": v, "relation": relation})
    return rows


def kruskal_rows(units: Units, factor: Factor) -> list[dict]:
    """The test of every feature; one row a patient and level, the mean of the patient's rows."""
    features, labels, _ = _by_patient(units, factor.levels)
    if len(set(labels)) < 2 or len(labels) < 3:
        return []
    test = kruskal_wallis(features, labels)
    return [
        {"factor": factor.name, "feature": name} | {
            part: float(getattr(test, part)[number]) for part in ("h", "p", "q", "epsilon_squared")
        }
        for number, name in enumerate(units.names)
    ]  # fmt: skip


def assess(units: Units, labels: np.ndarray) -> tuple[float, float, float]:
    """R², its mean under permutation, and p; NaN where there are not enough rows to judge."""
    labels = _numbered(labels)
    kinds = set(labels.tolist())
    patients = {kind: len(set(units.patients[labels == kind])) for kind in kinds}
    enough = sum(count >= MIN_PATIENTS for count in patients.values()) >= 2
    if len(kinds) < 2 or len(labels) <= len(kinds) or not enough:
        return NAN, NAN, NAN
    strata = blocks(labels, units.patients)
    test = permanova(units.features, labels, units.patients, strata, permutations=PERMUTATIONS)
    if not math.isfinite(test.p):
        return NAN, NAN, NAN
    movable = units_of(labels, units.patients, strata)
    table = standardised(units.features)
    shares = [
        _share(table, drawn[movable.of_row])
        for drawn in permuted_labels(movable, PERMUTATIONS // 5, seed=1)
    ]
    return test.r2, float(np.mean(shares)), test.p


def _numbered(labels: np.ndarray) -> np.ndarray:
    """Numbers in the order of appearance: the same groups get the same permutations."""
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]


def _share(table: Float[np.ndarray, "n f"], labels: np.ndarray) -> float:
    member = _members(labels)
    sums = member.T @ table
    return float(np.sum(sums**2 / member.sum(0)[:, None]) / np.sum(table**2))


def _effect(units: Units, factor: Factor, factors: Sequence[Factor]) -> Effect:
    labels = factor.levels
    r2, chance, p = assess(units, labels)
    others = [other for other in factors if other is not factor]
    same = tuple(o.name for o in others if settles(o, factor) and settles(factor, o))
    settled = tuple(o.name for o in others if settles(o, factor) and not settles(factor, o))
    differ = [row["q"] < SIGNIFICANCE for row in kruskal_rows(units, factor)]
    fewest = min(len(set(units.patients[labels == kind])) for kind in factor.kinds)
    features, kinds, patients = _by_patient(units, labels)
    return Effect(
        factor=factor.name,
        levels=len(factor.kinds),
        patients=fewest,
        r2=r2 if math.isfinite(r2) else _share(standardised(units.features), labels),
        chance=chance,
        effect=(r2 - chance) / (1 - chance) if chance < 1 else NAN,
        p=p,
        paired=_paired(units, labels),
        beyond=_beyond(units, factor, others),
        auc=domain_auc(features, kinds, patients),
        features_differ=float(np.mean(differ)) if differ else NAN,
        same_as=same,
        settled_by=settled,
    )


def _bounded(effect: Effect, effects: Sequence[Effect]) -> Effect:
    """An effect that cannot be judged by itself is at least what pairs or its class show."""
    if effect.judged:
        return effect
    coarser = [e.effect for e in effects if (effect.factor, e.factor) == _KERNEL_AND_CLASS]
    bounds = {"from reconstructions of the same acquisitions": effect.paired}
    if coarser:
        bounds["from the convolution class"] = coarser[0]
    known = {how: value for how, value in bounds.items() if math.isfinite(value)}
    if not known:
        return dataclasses.replace(effect, note=NOT_JUDGED)
    how = max(known, key=lambda name: known[name])
    note = f"a lower bound {how}; too few patients per level for a test"
    return dataclasses.replace(effect, effect=known[how], note=note)


def _paired(units: Units, labels: np.ndarray) -> float:
    pairs = (blocks(labels, units.acquisitions) != "").any()
    if not pairs:
        return NAN
    alone = explained(units.features, [units.acquisitions])
    return explained(units.features, [units.acquisitions, labels]) - alone


def _beyond(units: Units, factor: Factor, others: Sequence[Factor]) -> float:
    columns = [other.levels for other in others]
    rank = np.linalg.matrix_rank(
        np.concatenate([_members(column) for column in [*columns, factor.levels]], axis=1)
    )
    if rank >= len(factor.levels):
        return NAN
    without = explained(units.features, columns)
    return max(0.0, explained(units.features, [*columns, factor.levels]) - without)


def _members(labels: np.ndarray) -> Float[np.ndarray, "n k"]:
    _, number = np.unique(labels, return_inverse=True)
    return np.eye(number.max() + 1)[number]


def _by_patient(units: Units, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean rows by patient and level: features, levels, patients."""
    keys = np.stack([units.patients, labels], 1)
    found, number = np.unique(keys, axis=0, return_inverse=True)
    member = _members(number.reshape(-1))
    means = member.T @ units.features / member.sum(0)[:, None]
    return means, found[:, 1], found[:, 0]


def _cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Cramér 1946: sqrt(χ² / n / (min(levels) - 1))."""
    table = _members(a).T @ _members(b)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    chi_squared = np.sum((table - expected) ** 2 / expected)
    return float(np.sqrt(chi_squared / table.sum() / (min(table.shape) - 1)))
