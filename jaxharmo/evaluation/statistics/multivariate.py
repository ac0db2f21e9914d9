"""All features at once: whether domains can still be distinguished."""

import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.evaluation.fid import frechet_distance
from jaxharmo.evaluation.statistics.resampling import Units, permuted_labels, units_of

PERMUTATIONS = 999
_FOLDS = 5
_BLOCK = 64
"""Permutations at a time, to bound memory."""
_ROUNDING = 1e-12
"""Relative to the largest value that a sum can have."""
_LARGEST = 4096
"""Rows of a side that the maximum mean discrepancy is taken of."""


class Permanova(NamedTuple):
    """``p`` is NaN where no permutation changes the labels."""

    r2: float
    """Share of the variance that the labels explain."""
    f: float
    """Pseudo-F."""
    p: float
    """Share of permutations with an F as large, the observed one counted."""


def permanova(
    rows: Float[np.ndarray, "n f"],
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    strata: np.ndarray | None = None,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Permanova:
    """Permutational analysis of variance of z-scored features in Euclidean distance.

    R² = SS between / SS total and F = (SS between / (k - 1)) / (SS within / (n - k)) (Anderson
    2001). ``groups`` names what is exchangeable as a whole, the patient: all its rows of one label
    move together. ``strata`` restricts permutations: with the patients as strata as well, the
    reconstructions of a patient exchange their labels, which tests a kernel within patients.
    Rows with a value that is not finite, and features without spread, are left out. Raises
    ``ValueError`` for fewer than two labels or no more rows than labels.
    """
    kept, table = _table(rows)
    groups, strata = _pick(groups, kept), _pick(strata, kept)
    units = units_of(np.asarray(labels)[kept], groups, strata)
    kinds, n = len(units.names), len(table)
    if kinds < 2 or n <= kinds:
        raise ValueError(f"{n} rows with {kinds} labels: needs 2 or more labels and more rows")
    table = (table - table.mean(0)) / table.std(0)
    member = np.zeros((len(units.label), n))
    member[units.of_row, np.arange(n)] = 1
    sums, sizes = member @ table, member.sum(1)
    total = float(np.sum(table**2))

    def between(drawn: np.ndarray) -> np.ndarray:
        chosen = (drawn[..., None] == np.arange(kinds)).astype(float)
        means = np.einsum("puk,uf->pkf", chosen, sums, optimize=True)
        # With centred rows, Σ n_g |mean_g|² is the variance between groups.
        return np.sum(np.sum(means**2, -1) / np.einsum("puk,u->pk", chosen, sizes), -1)

    explained = float(between(units.label[None])[0])
    r2 = explained / total if total else float("nan")
    left = total - explained
    f = (explained / (kinds - 1)) / (left / (n - kinds)) if left > 0 else float("inf")
    return Permanova(r2, f, _p_value(explained, between, total, units, permutations, seed))


class Mmd(NamedTuple):
    """Squared maximum mean discrepancy, unbiased: near 0, or just below, for equal domains."""

    value: float
    p: float


def mmd(
    a: Float[np.ndarray, "n f"],
    b: Float[np.ndarray, "m f"],
    groups: tuple[np.ndarray, np.ndarray] | None = None,
    strata: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Mmd:
    """Maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012) on z-scored features.

    The kernel is exp(-d² / 2 s²), s being the median distance between rows of ``a`` and ``b``
    together, as which the features are also z-scored: otherwise permutations would not be alike.
    ``groups`` and ``strata`` as in ``permanova``, for the rows of ``a`` and of ``b``. Rows with a
    value that is not finite, and features without spread, are left out. NaN for fewer than two rows
    on a side. Of a side with more than 4,096 rows so many are taken, evenly spread: the kernel has
    a value for every pair.
    """
    picked = [np.linspace(0, len(x) - 1, min(len(x), _LARGEST)).round().astype(int) for x in (a, b)]
    a, b = a[picked[0]], b[picked[1]]
    groups, strata = (
        pair and (np.asarray(pair[0])[picked[0]], np.asarray(pair[1])[picked[1]])
        for pair in (groups, strata)
    )
    kept, table = _table(np.concatenate([a, b]))
    labels = np.repeat([0, 1], [len(a), len(b)])[kept]
    if min(np.bincount(labels, minlength=2)) < 2 or not table.shape[1]:
        return Mmd(float("nan"), float("nan"))
    columns = [
        None if pair is None else _pick(np.concatenate(pair), kept) for pair in (groups, strata)
    ]
    units = units_of(labels, *columns)
    table = (table - table.mean(0)) / table.std(0)
    squares = np.sum(table**2, 1)
    distance = np.maximum(squares[:, None] + squares - 2 * table @ table.T, 0)
    above = distance[np.triu_indices(len(table), 1)]
    kernel = np.exp(-distance / (2 * (np.median(above) or above.mean())))
    np.fill_diagonal(kernel, 0)
    member = np.zeros((len(units.label), len(table)))
    member[units.of_row, np.arange(len(table))] = 1
    sizes, kernel = member.sum(1), member @ kernel @ member.T

    def discrepancy(drawn: np.ndarray) -> np.ndarray:
        first, second = (drawn == 0).astype(float), (drawn == 1).astype(float)
        n, m = np.maximum(first @ sizes, 2), np.maximum(second @ sizes, 2)
        toward = second @ kernel
        within_a = np.sum((first @ kernel) * first, 1) / (n * (n - 1))
        within_b = np.sum(toward * second, 1) / (m * (m - 1))
        return within_a + within_b - 2 * np.sum(toward * first, 1) / (n * m)

    value = float(discrepancy(units.label[None])[0])
    return Mmd(value, _p_value(value, discrepancy, 1.0, units, permutations, seed))


def domain_auc(
    rows: Float[np.ndarray, "n f"],
    labels: np.ndarray,
    patients: np.ndarray,
    *,
    folds: int = _FOLDS,
    seed: int = 0,
) -> float:
    """How well a logistic regression distinguishes domains in unseen patients.

    Area under the ROC curve, each domain against the rest, averaged over stratified folds of whole
    patients and then over domains: 1 if domains can be separated, 0.5 if they are alike. There are
    as many folds as the scarcest domain has patients, ``folds`` at most; NaN for one patient.
    Rows with a value that is not finite, and features without spread, are left out.
    """
    # The import of scikit-learn takes as long as that of JAX.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kept, table = _table(rows)
    names, label = np.unique(np.asarray(labels)[kept], return_inverse=True)
    patients = np.asarray(patients)[kept]
    fewest = min((len(np.unique(patients[label == k])) for k in range(len(names))), default=0)
    if len(names) < 2 or fewest < 2 or not table.shape[1]:
        return float("nan")
    split = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=seed)
    areas: list[list[float]] = [[] for _ in names]
    for train, test in split.split(table, label, patients):
        known, present = np.unique(label[train]), label[test]
        if len(known) < 2:
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
        with warnings.catch_warnings():
            # For equal domains the start is the optimum, and the line search warns.
            warnings.filterwarnings("ignore", "Line search of Newton", ConvergenceWarning)
            model.fit(table[train], label[train])
        scores = model.predict_proba(table[test])
        for column, k in enumerate(known):
            if 0 < np.sum(present == k) < len(present):
                areas[k].append(float(roc_auc_score(present == k, scores[:, column])))
    return float(np.mean([np.mean(area) for area in areas])) if all(areas) else float("nan")


def frechet_radiomics_distance(a: Float[np.ndarray, "n f"], b: Float[np.ndarray, "m f"]) -> float:
    """Fréchet distance of radiomic features in SDs of the target ``b``.

    Features are those of HU images: nothing is rescaled by image. In squared SDs; NaN for fewer
    than two rows. Rows with a value that is not finite, and features without spread in ``b``, are
    left out.
    """
    columns = _known(a) & _known(b)
    a, b = (
        rows[np.isfinite(rows).all(1)]
        for rows in (np.asarray(a, np.float64)[:, columns], np.asarray(b, np.float64)[:, columns])
    )
    varied = _spread(b)
    if min(len(a), len(b)) < 2 or not varied.any():
        return float("nan")
    a, b = a[:, varied], b[:, varied]
    mean, spread = b.mean(0), b.std(0, ddof=1)
    return frechet_distance((a - mean) / spread, (b - mean) / spread)


def _p_value(
    observed: float, measure, largest: float, units: Units, permutations: int, seed: int
) -> float:
    """``largest`` is a bound of what ``measure`` gives, by which rounding goes."""
    drawn = permuted_labels(units, permutations, seed)
    if (drawn == units.label).all():
        return float("nan")
    values = np.concatenate(
        [measure(drawn[start : start + _BLOCK]) for start in range(0, permutations, _BLOCK)]
    )
    # Equal labels in another order give equal values up to rounding, and equal domains give 0.
    reached = np.sum(values >= observed - max(1e-9 * abs(observed), _ROUNDING * largest))
    return float((1 + reached) / (1 + permutations))


def _table(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are kept, and their features that have spread."""
    rows = np.asarray(rows, np.float64)
    columns = _known(rows)
    kept = np.asarray(np.isfinite(rows[:, columns]).all(1))
    table = rows[kept][:, columns]
    return kept, table[:, _spread(table)]


def _known(rows: np.ndarray) -> np.ndarray:
    """Features that most rows have; one that they lack would take the rows with it."""
    return np.sum(np.isfinite(rows), 0) > len(rows) / 2


def _spread(table: np.ndarray) -> np.ndarray:
    """Columns that vary by more than rounding."""
    if not len(table):
        return np.zeros(table.shape[1], bool)
    return np.ptp(table, axis=0) > 1e-9 * np.abs(table).max(0)


def _pick(column: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    return None if column is None else np.asarray(column)[kept]
