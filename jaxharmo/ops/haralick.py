"""Haralick features of one normalised, symmetric GLCM.

Names and definitions follow IBSI and pyradiomics; grey levels are numbered from 1, logarithms are
to base 2.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

Matrix = Float[Array, "l l"]


def _levels(matrix: Matrix) -> tuple[Array, Array]:
    level = jnp.arange(1, matrix.shape[0] + 1, dtype=matrix.dtype)
    return level[:, None], level[None, :]


def _entropy(p: Array) -> Array:
    # Both branches of the inner where stay finite, so that the gradient at p = 0 does too.
    return -jnp.sum(xlogy(p, jnp.where(p > 0, p, 1))) / jnp.log(2.0)


def _sum_distribution(matrix: Matrix) -> Array:
    """p(i + j = k) for k = 2 … 2L."""
    size = matrix.shape[0]
    rows = jnp.pad(matrix, ((0, 0), (0, size)))
    # Row i, flattened with one column less, is shifted right by i.
    skewed = rows.reshape(-1)[: size * (2 * size - 1)].reshape(size, 2 * size - 1)
    return skewed.sum(0)


def _difference_distribution(matrix: Matrix) -> Array:
    """p(|i - j| = k) for k = 0 … L - 1; the matrix is symmetric."""
    differences = _sum_distribution(matrix[:, ::-1])[matrix.shape[0] - 1 :: -1]
    return differences.at[1:].multiply(2)


def _marginal(matrix: Matrix) -> Array:
    return matrix.sum(0)


def central_moment(raw: Sequence[Array]) -> Array:
    """The central moment of the last order given (2 to 4), from those about any point up to it."""
    mean, *others = raw
    match others:
        case [second]:
            return second - mean**2
        case [second, third]:
            return third - 3 * mean * second + 2 * mean**3
        case [second, third, fourth]:
            return fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
    raise ValueError(f"{len(raw)} moments given, expected 2 to 4")


def _cluster(order: int) -> Callable[[Matrix], Array]:
    """E[(i + j - 2 μ)^order]."""

    def feature(matrix: Matrix) -> Array:
        p = _sum_distribution(matrix)
        k = jnp.arange(p.size, dtype=p.dtype)
        # About a point near the mean: the rounding of the mean itself would outweigh a small skew.
        from_mean = k - jnp.round(jnp.sum(k * p))
        return central_moment([jnp.sum(from_mean**n * p) for n in range(1, order + 1)])

    return feature


def _difference_mean(matrix: Matrix) -> Array:
    p = _difference_distribution(matrix)
    return jnp.sum(jnp.arange(p.size, dtype=p.dtype) * p)


def _difference_variance(matrix: Matrix) -> Array:
    p = _difference_distribution(matrix)
    k = jnp.arange(p.size, dtype=p.dtype)
    return jnp.sum((k - jnp.sum(k * p)) ** 2 * p)


def _inverse(power: int, normalise: bool) -> Callable[[Matrix], Array]:
    def feature(matrix: Matrix) -> Array:
        i, j = _levels(matrix)
        scale = matrix.shape[0] if normalise else 1
        return jnp.sum(matrix / (1 + (jnp.abs(i - j) / scale) ** power))

    return feature


def _inverse_variance(matrix: Matrix) -> Array:
    p = _difference_distribution(matrix)[1:]
    return jnp.sum(p / jnp.arange(1, p.size + 1, dtype=p.dtype) ** 2)


def _information(matrix: Matrix) -> tuple[Array, Array, Array]:
    """HXY, HXY1 = HXY2 for a symmetric matrix, HX."""
    p = _marginal(matrix)
    independent = 2 * _entropy(p)
    return _entropy(matrix), independent, _entropy(p)


def _information_correlation_1(matrix: Matrix) -> Array:
    joint, independent, single = _information(matrix)
    return jnp.where(single > 0, (joint - independent) / jnp.where(single > 0, single, 1), 0)


def _information_correlation_2(matrix: Matrix) -> Array:
    joint, independent, _ = _information(matrix)
    # The exponent is in nats, though the entropies are in bits, as published and in pyradiomics.
    inner = -jnp.expm1(-2 * (independent - joint))
    return jnp.where(inner > 0, jnp.sqrt(jnp.where(inner > 0, inner, 1)), 0)


def _maximal_correlation(matrix: Matrix) -> Array:
    """Second largest |eigenvalue| of ``p(i, j) / sqrt(p(i) p(j))``; 1 for a flat region."""
    p = _marginal(matrix)
    scale = jnp.where(p > 0, 1 / jnp.sqrt(jnp.where(p > 0, p, 1)), 0)
    values = jnp.sort(jnp.abs(jnp.linalg.eigvalsh(scale[:, None] * matrix * scale)))
    return jnp.where(jnp.sum(p > 0) > 1, values[-2], 1.0)


def _polynomial(weight: Callable[[Array, Array], Array]) -> Callable[[Matrix], Array]:
    return lambda matrix: jnp.sum(weight(*_levels(matrix)) * matrix)


def _sum_squares(matrix: Matrix) -> Array:
    i, _ = _levels(matrix)
    return jnp.sum((i - jnp.sum(i * matrix)) ** 2 * matrix)


def _correlation(matrix: Matrix) -> Array:
    i, j = _levels(matrix)
    mean = jnp.sum(i * matrix)
    variance = jnp.sum((i - mean) ** 2 * matrix)
    covariance = jnp.sum((i - mean) * (j - mean) * matrix)
    return jnp.where(variance > 0, covariance / jnp.where(variance > 0, variance, 1), 1.0)


MATRIX_FEATURES: dict[str, Callable[[Matrix], Array]] = {
    "autocorrelation": _polynomial(lambda i, j: i * j),
    "cluster_prominence": _cluster(4),
    "cluster_shade": _cluster(3),
    "cluster_tendency": _cluster(2),
    "contrast": _polynomial(lambda i, j: (i - j) ** 2),
    "correlation": _correlation,
    "difference_average": _difference_mean,
    "difference_entropy": lambda matrix: _entropy(_difference_distribution(matrix)),
    "difference_variance": _difference_variance,
    "id": _inverse(1, normalise=False),
    "idm": _inverse(2, normalise=False),
    "idmn": _inverse(2, normalise=True),
    "idn": _inverse(1, normalise=True),
    "imc1": _information_correlation_1,
    "imc2": _information_correlation_2,
    "inverse_variance": _inverse_variance,
    "joint_average": _polynomial(lambda i, j: i + 0 * j),
    "joint_energy": lambda matrix: jnp.sum(matrix**2),
    "joint_entropy": _entropy,
    "maximum_probability": jnp.max,
    "mcc": _maximal_correlation,
    "sum_average": _polynomial(lambda i, j: i + j),
    "sum_entropy": lambda matrix: _entropy(_sum_distribution(matrix)),
    "sum_squares": _sum_squares,
}
"""The 24 GLCM features of pyradiomics, each a function of one matrix."""

SIGNED_FEATURES = frozenset({"cluster_shade", "correlation", "imc1"})
"""Those that can be negative: domains differ in them by a difference, in the others by a factor."""
