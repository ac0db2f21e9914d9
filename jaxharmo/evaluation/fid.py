"""Fréchet and kernel distances between two sets of deep features."""

import numpy as np
from jaxtyping import Float


def frechet_distance(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """Fréchet distance between the Gaussians fitted to the rows of ``a`` and of ``b``.

    |μ_a - μ_b|² + tr S_a + tr S_b - 2 tr (S_a S_b)^½ (Heusel et al. 2017, arXiv 1706.08500), with
    unbiased covariances. With X, Y the centred rows over sqrt(n - 1), S_a = XᵀX and S_b = YᵀY, the
    last trace is the nuclear norm of X Yᵀ: no matrix root, exact for fewer rows than columns.
    The estimate is biased upwards for small n, so compare only sets of like sizes.

    Non-negative; in squared units of the features. ``ValueError`` for fewer than two rows, unequal
    widths, or values that are not finite.
    """
    _check(a, b)
    first, mean_a = _root(a)
    second, mean_b = _root(b)
    overlap = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    means = np.sum((mean_a - mean_b) ** 2)
    distance = means + np.sum(first**2) + np.sum(second**2) - 2 * overlap
    return float(max(distance, 0.0))


def _root(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R with RᵀR the covariance of ``rows``, and their mean; R has at most d rows."""
    rows = rows.astype(np.float64)
    mean = rows.mean(0)
    centred = (rows - mean) / np.sqrt(len(rows) - 1)
    if len(rows) > rows.shape[1]:
        # The orthogonal factor on the left changes no singular value of R_a R_bᵀ.
        centred = np.asarray(np.linalg.qr(centred, mode="r"))
    return centred, mean


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"feature sets have shapes {a.shape} and {b.shape}, expected (n, d), (m, d)"
        )
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a covariance needs at least 2 rows; there are {len(a)} and {len(b)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features are not finite")


def kernel_distance(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "m d"],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Kernel distance (KID): mean and SD over subsets of the unbiased squared MMD.

    The kernel is (xᵀy / d + 1)³ (Binkowski et al. 2018, arXiv 1801.01401); each subset takes
    ``subset_size`` rows of either set without replacement, or as many as the smaller one has.
    Unlike the Fréchet distance it is not biased by the number of rows, and may fall below 0.
    ``ValueError`` as ``frechet_distance``.
    """
    _check(a, b)
    a, b = a.astype(np.float64), b.astype(np.float64)
    random, size = np.random.default_rng(seed), min(subset_size, len(a), len(b))
    drawn = [
        [random.choice(len(rows), size, replace=False) for rows in (a, b)] for _ in range(subsets)
    ]
    # Whichever kernel is smaller: that of all rows once, or that of each subset.
    whole = subsets * size**2 > max(len(a), len(b)) ** 2
    sums = (_sums_of_whole if whole else _sums_of_subsets)(a, b, drawn)
    within_a, within_b, across = np.asarray(sums)
    values = (within_a + within_b) / (size * (size - 1)) - 2 * across / size**2
    return float(values.mean()), float(values.std())


_Drawn = list[list[np.ndarray]]
"""Numbers of the rows of either set, by subset."""


def _sums_of_whole(a: np.ndarray, b: np.ndarray, drawn: _Drawn) -> list[np.ndarray]:
    """Sums of the kernel within a, within b and across, by subset; a row with itself left out."""
    # A column a subset: 1 for the rows that it takes.
    of_a, of_b = (np.zeros((len(rows), len(drawn))) for rows in (a, b))
    for number, (some, others) in enumerate(drawn):
        of_a[some, number] = of_b[others, number] = 1
    sides = ((a, a, of_a, of_a), (b, b, of_b, of_b), (a, b, of_a, of_b))
    return [np.sum(of_x * (_kernel(x, y) @ of_y), 0) for x, y, of_x, of_y in sides]


def _sums_of_subsets(a: np.ndarray, b: np.ndarray, drawn: _Drawn) -> np.ndarray:
    """The same for sets much larger than their subsets."""
    pairs = [(a[some], b[others]) for some, others in drawn]
    return np.array(
        [[_kernel(*side).sum() for side in ((x, x), (y, y), (x, y))] for x, y in pairs]
    ).T


def _kernel(x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "n m"]:
    similar = x @ y.T / x.shape[1] + 1
    kernel = similar * similar * similar  # ``** 3`` takes 50 times as long.
    if x is y:
        np.fill_diagonal(kernel, 0)
    return kernel


def bias_note(rows: int, features: int) -> str | None:
    """A sentence for the reader where the covariance of so few rows is singular, else None."""
    if rows > features:
        return None
    return (
        f"N = {rows} is not above the {features} features: the Fréchet distance is biased upwards "
        "and compares only with others of the same N; the kernel distance (KID) is unbiased"
    )
