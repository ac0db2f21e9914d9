"""Resampling of whole patients: slices of one patient are not independent."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Units(NamedTuple):
    """The rows that exchange labels together."""

    of_row: Int[np.ndarray, "n"]
    """Number of the unit of each row."""
    label: Int[np.ndarray, "u"]
    """Label of each unit, 0 to k - 1."""
    stratum: Int[np.ndarray, "u"]
    """Units exchange labels within a stratum only."""
    names: np.ndarray
    """The labels' names, in the order of their numbers."""


def units_of(labels: np.ndarray, groups: np.ndarray | None, strata: np.ndarray | None) -> Units:
    """Rows of one group, label and stratum are a unit; without groups every row is one."""
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    strata = np.zeros(len(labels)) if strata is None else np.asarray(strata)
    if not len(labels) == len(groups) == len(strata):
        raise ValueError(
            f"{len(labels)} labels, {len(groups)} groups and {len(strata)} strata differ in number"
        )
    names, label = np.unique(labels, return_inverse=True)
    columns = [label, *(np.unique(column, return_inverse=True)[1] for column in (groups, strata))]
    units, of_row = np.unique(np.stack(columns, 1), axis=0, return_inverse=True)
    return Units(of_row.reshape(-1), units[:, 0], units[:, 2], names)


def permuted_labels(units: Units, count: int, seed: int) -> Int[np.ndarray, "p u"]:
    """``count`` random permutations of the units' labels within their strata."""
    random = np.random.default_rng(seed)
    order = np.argsort(units.stratum, kind="stable")
    # Sorting by stratum first and a random number second shuffles every stratum on its own.
    shuffled = np.lexsort(
        (random.random((count, len(order))), np.broadcast_to(units.stratum, (count, len(order)))),
        axis=-1,
    )
    permuted = np.empty((count, len(order)), units.label.dtype)
    permuted[:, order] = units.label[shuffled]
    return permuted


class Interval(NamedTuple):
    """An estimate and the percentile interval of its resampled values."""

    estimate: float
    low: float
    high: float


def cluster_bootstrap(
    statistic: Callable[..., float],
    samples: Sequence[Float[np.ndarray, "n ..."]],
    patients: Sequence[np.ndarray],
    *,
    resamples: int = 200,
    confidence: float = 0.95,
    centred: bool = False,
    seed: int = 0,
) -> Interval:
    """Bootstrap over patients of ``statistic(*samples)``.

    ``samples`` are one or more arrays of rows and ``patients`` names the patient of each row. A
    patient is drawn with all of its rows, in every sample that holds some: paired samples stay
    paired. Patients are drawn with replacement among those that occur in the same samples.
    ``centred`` moves the interval so that the median of the resampled values lies on the estimate,
    for statistics that repeated rows bias (Fréchet and other distances). The interval is NaN where
    fewer than two patients could be drawn. Raises ``ValueError`` where lengths differ.
    """
    for rows, names in zip(samples, patients, strict=True):
        if len(rows) != len(names):
            raise ValueError(f"{len(rows)} rows have {len(names)} patients")
    estimate = float(statistic(*samples))
    rows_of = [_rows_by_patient(np.asarray(names)) for names in patients]
    pools: dict[tuple[bool, ...], list] = {}
    for patient in sorted(set().union(*rows_of), key=str):
        pools.setdefault(tuple(patient in rows for rows in rows_of), []).append(patient)
    if not pools or min(map(len, pools.values())) < 2:
        return Interval(estimate, float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    values = np.empty(resamples)
    for number in range(resamples):
        drawn = [
            pool[pick]
            for pool in pools.values()
            for pick in random.integers(len(pool), size=len(pool))
        ]
        picks = [
            np.concatenate([rows[patient] for patient in drawn if patient in rows])
            for rows in rows_of
        ]
        values[number] = statistic(*(rows[pick] for rows, pick in zip(samples, picks, strict=True)))
    tail = (1 - confidence) / 2
    low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail])
    shift = estimate - middle if centred else 0.0
    return Interval(estimate, float(low + shift), float(high + shift))


def _rows_by_patient(patients: np.ndarray) -> dict:
    names, number = np.unique(patients, return_inverse=True)
    return {name: np.flatnonzero(number == index) for index, name in enumerate(names.tolist())}


def patient_means(
    rows: Float[np.ndarray, "n f"], patients: np.ndarray
) -> tuple[Float[np.ndarray, "p f"], np.ndarray]:
    """The mean row of each patient over its finite values, and the patients in that order."""
    names, number = np.unique(patients, return_inverse=True)
    member = np.eye(len(names))[number].T
    known = np.isfinite(rows)
    count = member @ known
    total = member @ np.where(known, rows, 0.0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0), names
