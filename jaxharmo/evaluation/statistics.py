"""Which features differ between two groups, and by how much."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

SIGNIFICANCE = 0.05
"""False discovery rate below which a feature counts as different."""

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

    @property
    def significant(self) -> float:
        """Number of features that differ at ``SIGNIFICANCE``; NaN where none has an answer."""
        return int(np.sum(self.q < SIGNIFICANCE)) if np.isfinite(self.q).any() else float("nan")

    @property
    def median_effect(self) -> float:
        """Median of |Hedges g| over the features that have one."""
        sizes = np.abs(self.hedges_g[np.isfinite(self.hedges_g)])
        return float(np.median(sizes)) if sizes.size else float("nan")


def compare(a: Float[np.ndarray, "n f"], b: Float[np.ndarray, "m f"]) -> Comparison:
    """Compare every feature of two independent groups.

    A feature that is constant in both groups has p = 1 and g = 0 where the constants are equal;
    where they are not, p = 0 and g is NaN.
    """
    count = a.shape[1]
    p, g = np.full(count, np.nan), np.full(count, np.nan)
    if min(len(a), len(b)) < 2:
        return Comparison(p, p.copy(), g)
    a, b = a.astype(np.float64), b.astype(np.float64)
    usable = np.isfinite(a).all(0) & np.isfinite(b).all(0)
    size = np.maximum(np.abs(a).max(0), np.abs(b).max(0))
    constant = usable & (np.maximum(np.ptp(a, axis=0), np.ptp(b, axis=0)) <= _FLAT * size)
    same = np.abs(a.mean(0) - b.mean(0)) <= _FLAT * size
    varied = usable & ~constant
    p[varied] = _welch(a[:, varied], b[:, varied])
    g[varied] = _hedges_g(a[:, varied], b[:, varied])
    p[constant] = np.where(same[constant], 1.0, 0.0)
    g[constant & same] = 0.0
    return Comparison(p, _false_discovery(p), g)


def _welch(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    moments = [(rows.mean(0), rows.std(0, ddof=1), len(rows)) for rows in (a, b)]
    # From moments, as scipy warns of features that are constant in one group only.
    return np.asarray(stats.ttest_ind_from_stats(*moments[0], *moments[1], equal_var=False)[1])


def _hedges_g(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hedges 1981: (mean a - mean b) / pooled SD, times 1 - 3 / (4 ν - 1), ν = n + m - 2."""
    freedom = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * a.var(0, ddof=1) + (len(b) - 1) * b.var(0, ddof=1)) / freedom
    return (a.mean(0) - b.mean(0)) / np.sqrt(pooled) * (1 - 3 / (4 * freedom - 1))


def _false_discovery(p: np.ndarray) -> np.ndarray:
    q, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known])
    return q
