"""From trials to figures: how far each method's slices are from the target domain."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.config import EvalConfig
from jaxharmo.evaluation.clock import in_threads
from jaxharmo.evaluation.comparisons import Row
from jaxharmo.evaluation.fid import frechet_distance, kernel_distance
from jaxharmo.evaluation.intervals import frechet_interval
from jaxharmo.evaluation.metrics import BY_NAME
from jaxharmo.evaluation.samples import Sample
from jaxharmo.evaluation.statistics import (
    Combat,
    Comparison,
    cluster_bootstrap,
    compare,
    concordance,
    domain_auc,
    frechet_radiomics_distance,
    mmd,
    patient_means,
    permanova,
)
from jaxharmo.evaluation.texture import Spectrum, grid_gap, log_spectral_distance

CONCORDANT = 0.85
_SUBSETS = 20
Score = dict[str, float]
Interval = tuple[float, float]


class Trial(NamedTuple):
    """What one method made of the slices of a pair of domains."""

    title: str
    rows: list[Row]
    """A row a slice that the method could make, with ``slice``, ``position_mm``, ``patient``."""
    sample: Sample


@dataclasses.dataclass(frozen=True)
class Features:
    """Radiomic features of one method against the target domain."""

    slices: Comparison
    patients: Comparison
    """Of the patients' means."""
    ccc: Float[np.ndarray, "f"]
    """Concordance with the paired real slices; NaN without."""
    mean: Float[np.ndarray, "f"]


@dataclasses.dataclass(frozen=True)
class Scores:
    """All figures of one method."""

    values: Score
    intervals: dict[str, Interval]
    """Over patients, 95 %; of the figures that have one."""
    features: Features | None
    """None where the region is not shown."""


def score(
    trial: Trial,
    wanted: Sample,
    truth: Trial | None,
    settings: EvalConfig,
    *,
    intervals_of_sets: bool,
) -> Scores:
    """Figures of one method; ``wanted`` are the features of the real target domain.

    Means over slices always have intervals; distances of sets, which cost a resampling of all
    features, only where ``intervals_of_sets``.
    """
    values, intervals = over_slices(trial.rows, settings)
    values |= _deep(trial.sample, wanted) | _texture(trial.sample, wanted)
    tables = _tables(trial.sample, wanted)
    features = None
    if tables is not None:
        found, features = _radiomics(*tables, _concordance(trial, truth), settings)
        values |= found
    if intervals_of_sets:
        intervals |= _intervals(trial.sample, wanted, tables, settings)
    return Scores(values, intervals, features)


def combat(
    before: Trial, wanted: Sample, truth: Trial | None, settings: EvalConfig
) -> Scores | None:
    """ComBat on the radiomic features alone, with the target domain as its reference.

    It is fitted on the features that it then moves, as it is used in practice, which flatters it.
    None where it cannot be fitted.
    """
    tables = _tables(before.sample, wanted)
    if tables is None:
        return None
    rows, patients, target, others = tables
    usable = np.isfinite(rows).all(0) & np.isfinite(target).all(0)
    # A feature without spread in a domain has no scale to be moved by.
    usable &= (np.ptp(rows, axis=0) > 0) & (np.ptp(target, axis=0) > 0)
    both = np.concatenate([rows, target])[:, usable]
    labels = np.repeat(["source", "target"], [len(rows), len(target)])
    try:
        moved = Combat.fit(both, labels, reference="target")(both, labels)[: len(rows)]
    except ValueError:
        return None
    rows = rows.copy()
    rows[:, usable] = moved
    sample = before.sample
    table = sample.radiomics.copy()
    table[sample.shown] = rows
    trial = before._replace(sample=dataclasses.replace(sample, radiomics=table))
    values, features = _radiomics(
        rows, patients, target, others, _concordance(trial, truth), settings
    )
    return Scores(values, {}, features)


def over_slices(rows: Sequence[Row], settings: EvalConfig) -> tuple[Score, dict[str, Interval]]:
    """Means over slices (roots of mean squares for RMSE), and their intervals over patients."""
    names = [name for name in BY_NAME if rows and name in rows[0]]
    patients = np.array([row["patient"] for row in rows])
    table = np.array([[row[name] for name in names] for row in rows], np.float64)
    values, intervals = {}, {}
    kinds, of_row = np.unique(patients, return_inverse=True)
    random = np.random.default_rng(settings.seed)
    drawn = random.multinomial(len(kinds), np.full(len(kinds), 1 / len(kinds)), settings.resamples)
    for name, column in zip(names, table.T, strict=True):
        power = 2 if name.startswith("rmse") else 1
        known = np.isfinite(column)
        sums = np.bincount(of_row[known], column[known] ** power, len(kinds))
        counts = np.bincount(of_row[known], minlength=len(kinds))
        if not counts.sum():
            values[name] = math.nan
            continue
        values[name] = float((sums.sum() / counts.sum()) ** (1 / power))
        if (counts > 0).sum() > 1:
            with np.errstate(invalid="ignore"):
                means = (drawn @ sums / (drawn @ counts)) ** (1 / power)
            low, high = np.nanquantile(means, (0.025, 0.975))
            intervals[name] = (float(low), float(high))
    return values, intervals


def _deep(made: Sample, wanted: Sample) -> Score:
    def distance(tap: str, prefix: str) -> float:
        sides = made.deep[tap], wanted.deep[tap]
        return _DISTANCES[prefix](*sides) if min(map(len, sides)) > 1 else math.nan

    asked = list(itertools.product(made.deep, _DISTANCES))
    found = in_threads(distance, *zip(*asked, strict=True))
    return {
        _deep_name(prefix, tap): value for (tap, prefix), value in zip(asked, found, strict=True)
    }


def _deep_name(prefix: str, tap: str) -> str:
    return {"fd": "fid", "kid": "kid"}[prefix] if tap == "inception" else f"{prefix}_{tap}"


def _texture(made: Sample, wanted: Sample) -> Score:
    first, second = mean_profiles(made), mean_profiles(wanted)

    def apart(name: str) -> float:
        return log_spectral_distance(Spectrum(first[name], 1), Spectrum(second[name], 1))

    return {
        "glcm_gap": grid_gap(made.profiles["glcm"], wanted.profiles["glcm"]),
        "power_gap": apart("power"),
        "noise_gap": apart("noise"),
    }


def mean_profiles(sample: Sample) -> dict[str, Float[np.ndarray, "k"]]:
    """Mean of every profile over the slices that have it."""
    return {name: _profile(sample, name) for name in sample.profiles}


def feature_means(sample: Sample) -> Float[np.ndarray, "f"]:
    """Mean of every radiomic feature over the slices that show the region."""
    return _column_means(sample.radiomics)


def _profile(sample: Sample, name: str) -> np.ndarray:
    return _column_means(sample.profiles[name])


def _column_means(rows: np.ndarray) -> np.ndarray:
    known = np.isfinite(rows)
    count = known.sum(0)
    total = np.where(known, rows, 0).sum(0)
    return np.divide(total, count, out=np.full(rows.shape[1], np.nan), where=count > 0)


def _tables(
    made: Sample, wanted: Sample
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Radiomics and patients of the slices that show the region, of both; None where none do."""
    if not (made.shown.any() and wanted.shown.any()):
        return None
    return (
        made.radiomics[made.shown],
        made.patients[made.shown],
        wanted.radiomics[wanted.shown],
        wanted.patients[wanted.shown],
    )


def _radiomics(
    rows: np.ndarray,
    patients: np.ndarray,
    target: np.ndarray,
    others: np.ndarray,
    ccc: np.ndarray,
    settings: EvalConfig,
) -> tuple[Score, Features]:
    slices = compare(rows, target)
    by_patient = compare(patient_means(rows, patients)[0], patient_means(target, others)[0])
    both = np.concatenate([rows, target])
    labels = np.repeat([0, 1], [len(rows), len(target)])
    whose = np.concatenate([patients, others])
    tests = {"permutations": settings.permutations, "seed": settings.seed}
    # Where domains share patients, a permutation exchanges the labels within each patient.
    strata = bool(np.isin(patients, others).any())
    distance = mmd(
        rows, target, (patients, others), (patients, others) if strata else None, **tests
    )
    values = {
        "radiomics_significant": slices.significant,
        "radiomics_median_abs_g": slices.median_effect,
        **{f"aligned_{name}": share for name, share in slices.aligned.items()},
        "wasserstein_sd": _median(slices.wasserstein),
        "domain_auc": domain_auc(both, labels, whose, seed=settings.seed),
        "mmd2": distance.value,
        "mmd_p": distance.p,
        "frechet_radiomics": frechet_radiomics_distance(rows, target),
        "ccc_median": _median(ccc),
        "ccc_share": float(np.mean(ccc[np.isfinite(ccc)] > CONCORDANT))
        if np.isfinite(ccc).any()
        else math.nan,
    }
    if len(both) > 2:
        found = permanova(both, labels, whose, whose if strata else None, **tests)
        values |= {"permanova_r2": found.r2, "permanova_p": found.p}
    return values, Features(slices, by_patient, ccc, rows.mean(0))


def _intervals(
    made: Sample,
    wanted: Sample,
    tables: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None,
    settings: EvalConfig,
) -> dict[str, Interval]:
    """Of Fréchet distances and effect sizes, over patients."""
    options = {"resamples": settings.resamples, "seed": settings.seed}
    found = {
        _deep_name("fd", tap): frechet_interval(
            rows, wanted.deep[tap], (made.whose(tap), wanted.whose(tap)), **options
        )
        for tap, rows in made.deep.items()
        if min(len(rows), len(wanted.deep[tap])) > 1
    }
    if tables is not None and min(len(tables[0]), len(tables[2])) > 1:
        rows, patients, target, others = tables
        for name, statistic in (
            ("radiomics_median_abs_g", _median_effect),
            ("frechet_radiomics", frechet_radiomics_distance),
        ):
            found[name] = cluster_bootstrap(
                statistic, [rows, target], [patients, others], centred=True, **options
            )
    return {
        name: (spread.low, spread.high)
        for name, spread in found.items()
        if math.isfinite(spread.low) and math.isfinite(spread.high)
    }


def _median_effect(a: np.ndarray, b: np.ndarray) -> float:
    """Median |Cohen d|; the correction of Hedges is the same for all features."""
    freedom = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * a.var(0, ddof=1) + (len(b) - 1) * b.var(0, ddof=1)) / freedom
    usable = pooled > 0
    sizes = np.abs((a.mean(0) - b.mean(0))[usable]) / np.sqrt(pooled[usable])
    return _median(sizes * (1 - 3 / (4 * freedom - 1)))


def _concordance(trial: Trial, truth: Trial | None) -> np.ndarray:
    """CCC with the real slices, over the slices that have one and show the region."""
    width = trial.sample.radiomics.shape[1]
    unknown = np.full(width, np.nan)
    if truth is None or truth.sample.radiomics.shape[1] != width:
        return unknown
    _, made, real = np.intersect1d(trial.sample.numbers, truth.sample.numbers, return_indices=True)
    kept = trial.sample.shown[made] & truth.sample.shown[real]
    if kept.sum() < 2:
        return unknown
    return concordance(trial.sample.radiomics[made[kept]], truth.sample.radiomics[real[kept]])


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "fd": frechet_distance,
    "kid": lambda a, b: kernel_distance(a, b, subsets=_SUBSETS)[0],
}


def floor(sample: Sample, settings: EvalConfig) -> Score:
    """Distances of two random halves of one domain: what chance and N alone bring about.

    Halves of patients where there are four or more, otherwise of slices.
    """
    random = np.random.default_rng((settings.seed, 11))
    whose = np.unique(sample.patients)
    units = sample.patients if len(whose) >= 4 else sample.numbers
    kinds = random.permutation(np.unique(units))
    first = np.isin(units, kinds[: len(kinds) // 2])
    halves = [sample.rows(np.flatnonzero(side)) for side in (first, ~first)]
    values = _deep(*halves) | _texture(*halves)
    tables = _tables(*halves)
    if tables is not None:
        values["frechet_radiomics"] = frechet_radiomics_distance(tables[0], tables[2])
    return values
