"""Feature by feature: which differ between groups, by how much, and which are equivalent."""

import warnings
from typing import NamedTuple

import numpy as np
import scipy  # Its parts load on first use.
from jaxtyping import Float

SIGNIFICANCE = 0.05
"""Level of every test, and false discovery rate below which a feature counts as different."""
MARGIN = 0.5
"""Means that differ by less than so many SDs of the target are equivalent."""
CONFIDENCE = 0.95
"""Of the interval of Hedges g."""
_EXACT = 10_000
"""Largest n m for which the Kolmogorov-Smirnov p is exact; beyond it the asymptotic one agrees."""
_FLAT = 1e-6
"""Relative spread below which a feature is constant: the rounding of single precision."""


class Comparison(NamedTuple):
    """Per feature, NaN where there is no answer (fewer than two rows, values not finite)."""

    p: Float[np.ndarray, "f"]
    """Welch's t test, two-sided."""
    q: Float[np.ndarray, "f"]
    """p adjusted for the false discovery rate (Benjamini & Hochberg 1995)."""
    hedges_g: Float[np.ndarray, "f"]
    """Standardised difference of the means, a - b, corrected for small samples."""
    g_low: Float[np.ndarray, "f"]
    """Lower end of its 95 % interval."""
    g_high: Float[np.ndarray, "f"]
    """Upper end of its 95 % interval."""
    ks: Float[np.ndarray, "f"]
    """Kolmogorov-Smirnov statistic: largest distance of the distribution functions."""
    ks_p: Float[np.ndarray, "f"]
    """Its p."""
    wasserstein: Float[np.ndarray, "f"]
    """Wasserstein-1 distance in SDs of b."""
    tost_p: Float[np.ndarray, "f"]
    """Two one-sided Welch tests: p against a difference of the means beyond ``MARGIN`` SDs of b."""

    @property
    def significant(self) -> float:
        """Number of features that differ at ``SIGNIFICANCE``; NaN where none has an answer."""
        return int(np.sum(self.q < SIGNIFICANCE)) if np.isfinite(self.q).any() else float("nan")

    @property
    def median_effect(self) -> float:
        """Median of |Hedges g| over the features that have one."""
        sizes = np.abs(self.hedges_g[np.isfinite(self.hedges_g)])
        return float(np.median(sizes)) if sizes.size else float("nan")

    @property
    def aligned(self) -> dict[str, float]:
        """Share of the features that agree, by criterion; NaN where none has an answer.

        ``welch``, ``fdr`` and ``ks`` are differences not found, which few rows bring about as well
        as agreement does; ``effect`` (|g| < 0.2) has no such flaw but no error rate either;
        ``equivalence`` is agreement shown.
        """
        criteria = {
            "welch": (self.p, self.p >= SIGNIFICANCE),
            "fdr": (self.q, self.q >= SIGNIFICANCE),
            "ks": (self.ks_p, self.ks_p >= SIGNIFICANCE),
            "effect": (self.hedges_g, np.abs(self.hedges_g) < 0.2),
            "equivalence": (self.tost_p, self.tost_p < SIGNIFICANCE),
        }
        return {
            name: float(np.mean(agrees[np.isfinite(value)]))
            if np.isfinite(value).any()
            else float("nan")
            for name, (value, agrees) in criteria.items()
        }


def compare(
    a: Float[np.ndarray, "n f"], b: Float[np.ndarray, "m f"], margin: float = MARGIN
) -> Comparison:
    """Compare every feature of two independent groups, ``b`` being the target.

    ``margin`` is that of equivalence, in SDs of ``b``. A feature that is constant in both groups
    has p = 1, g = 0, distances 0 and counts as equivalent where the constants are equal; where they
    are not, p = 0, g and the Wasserstein distance are NaN. Against a constant ``b`` nothing is
    equivalent and the Wasserstein distance is NaN.
    """
    count = a.shape[1]
    table = {name: np.full(count, np.nan) for name in Comparison._fields}
    if min(len(a), len(b)) < 2:
        return Comparison(**table)
    a, b = a.astype(np.float64), b.astype(np.float64)
    usable = np.isfinite(a).all(0) & np.isfinite(b).all(0)
    size = np.maximum(np.abs(a).max(0), np.abs(b).max(0))
    constant = usable & (np.maximum(np.ptp(a, axis=0), np.ptp(b, axis=0)) <= _FLAT * size)
    same = np.abs(a.mean(0) - b.mean(0)) <= _FLAT * size
    varied = usable & ~constant
    for name, values in _varied(a[:, varied], b[:, varied], margin).items():
        table[name][varied] = values
    for name in ("p", "ks_p"):
        table[name][constant] = np.where(same[constant], 1.0, 0.0)
    for name in ("ks", "tost_p"):
        table[name][constant] = np.where(same[constant], 0.0, 1.0)
    for name in ("hedges_g", "g_low", "g_high", "wasserstein"):
        table[name][constant & same] = 0.0
    table["q"] = false_discovery(table["p"])
    return Comparison(**table)


def _varied(a: np.ndarray, b: np.ndarray, margin: float) -> dict[str, np.ndarray]:
    g = _hedges_g(a, b)
    # Borenstein 2009: variance of a corrected standardised difference.
    total = len(a) + len(b)
    error = np.sqrt(total / (len(a) * len(b)) + g**2 / 2 / (total - 3.94)) if total > 3 else np.nan
    reach = scipy.stats.norm.isf((1 - CONFIDENCE) / 2) * error
    spread = b.std(0, ddof=1)
    method = "exact" if len(a) * len(b) <= _EXACT else "asymp"
    pairs = [(a[:, feature], b[:, feature]) for feature in range(a.shape[1])]
    with warnings.catch_warnings():
        # Where rounding spoils the exact p, scipy warns and gives the asymptotic one.
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation", RuntimeWarning)
        smirnov = np.array([tuple(scipy.stats.ks_2samp(x, y, method=method)) for x, y in pairs])
    smirnov = smirnov.reshape(-1, 2)
    moved = np.array([scipy.stats.wasserstein_distance(x, y) for x, y in pairs])
    return {
        "p": _welch(a, b, 0.0, "two-sided"),
        "hedges_g": g,
        "g_low": g - reach,
        "g_high": g + reach,
        "ks": smirnov[:, 0],
        "ks_p": smirnov[:, 1],
        "wasserstein": _over(moved, spread),
        "tost_p": np.maximum(
            _welch(a, b, -margin * spread, "greater"), _welch(a, b, margin * spread, "less")
        ),
    }


def _over(value: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.divide(value, spread, out=np.full_like(value, np.nan), where=spread > 0)


def _welch(a: np.ndarray, b: np.ndarray, shift: np.ndarray | float, alternative: str) -> np.ndarray:
    """The p of Welch's test that the means differ by more, or less, than ``shift``."""
    moments = [(rows.mean(0), rows.std(0, ddof=1), len(rows)) for rows in (a, b)]
    moments[0] = (moments[0][0] - shift, *moments[0][1:])
    # From moments, as scipy warns of features that are constant in one group only.
    test = scipy.stats.ttest_ind_from_stats(
        *moments[0], *moments[1], equal_var=False, alternative=alternative
    )
    return np.asarray(test[1])


def _hedges_g(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hedges 1981: (mean a - mean b) / pooled SD, times 1 - 3 / (4 ν - 1), ν = n + m - 2."""
    freedom = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * a.var(0, ddof=1) + (len(b) - 1) * b.var(0, ddof=1)) / freedom
    return (a.mean(0) - b.mean(0)) / np.sqrt(pooled) * (1 - 3 / (4 * freedom - 1))


def false_discovery(p: Float[np.ndarray, "f"]) -> Float[np.ndarray, "f"]:
    """Adjust p for the false discovery rate among those that are known; NaN stays NaN."""
    q, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        q[known] = scipy.stats.false_discovery_control(p[known])
    return q


class KruskalWallis(NamedTuple):
    """Per feature, NaN where values are not finite."""

    h: Float[np.ndarray, "f"]
    """Statistic, corrected for ties."""
    p: Float[np.ndarray, "f"]
    """From the χ² distribution with k - 1 degrees of freedom."""
    q: Float[np.ndarray, "f"]
    """p adjusted for the false discovery rate."""
    epsilon_squared: Float[np.ndarray, "f"]
    """Effect size H / (n - 1): 0 none, 1 the groups do not overlap in rank."""


def kruskal_wallis(rows: Float[np.ndarray, "n f"], labels: np.ndarray) -> KruskalWallis:
    """Does a feature differ between the groups that ``labels`` (n) name; all features at once.

    Kruskal & Wallis 1952, H = 12 / (n (n + 1)) Σ_g R_g² / n_g - 3 (n + 1), over 1 - Σ (t³ - t) /
    (n³ - n) for ties. A feature constant over all rows has H = 0, p = 1. Raises ``ValueError`` for
    fewer than two groups.
    """
    names, group = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise ValueError("a comparison needs at least 2 groups")
    n, usable = len(rows), np.isfinite(rows).all(0)
    ranks = scipy.stats.rankdata(rows[:, usable], axis=0)
    member = np.eye(len(names))[group]
    sums = member.T @ ranks
    h = 12 / (n * (n + 1)) * np.sum(sums**2 / member.sum(0)[:, None], 0) - 3 * (n + 1)
    # Σ (t³ - t) = 12 (n var of untied ranks - n var of the ranks).
    untied = 12 * n * ranks.var(0) / (n**3 - n)
    tied = untied > 0
    h = np.divide(h, untied, out=np.zeros_like(h), where=tied)
    p = np.where(tied, scipy.stats.chi2.sf(h, len(names) - 1), 1.0)
    table = np.full((3, rows.shape[1]), np.nan)
    table[:, usable] = h, p, h / (n - 1)
    return KruskalWallis(table[0], table[1], false_discovery(table[1]), table[2])


def concordance(a: Float[np.ndarray, "n f"], b: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "f"]:
    """Lin's concordance correlation of paired rows, by feature: 2 s_ab / (s_a² + s_b² + (ā - b̄)²).

    Lin 1989, with moments over n. NaN for fewer than two rows, values that are not finite, and
    where both columns are constant.
    """
    if a.shape != b.shape:
        raise ValueError(f"paired rows have shapes {a.shape} and {b.shape}")
    if len(a) < 2:
        return np.full(a.shape[1], np.nan)
    a, b = a.astype(np.float64), b.astype(np.float64)
    usable = np.isfinite(a).all(0) & np.isfinite(b).all(0)
    a, b = np.where(usable, a, 0), np.where(usable, b, 0)
    mean_a, mean_b = a.mean(0), b.mean(0)
    shared = np.mean((a - mean_a) * (b - mean_b), 0)
    total = a.var(0) + b.var(0) + (mean_a - mean_b) ** 2
    return np.divide(2 * shared, total, out=np.full_like(total, np.nan), where=usable & (total > 0))
