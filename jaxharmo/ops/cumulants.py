"""Cumulants of a pixel's weights over the grey levels, as functions of its intensity.

A pixel at the level coordinate u (``binning``) spreads its weight over the levels; κ₁ is the mean
level, κ₂ the variance, and so on. They are all that polynomial texture features need, and the
weights are never formed. Gaussian weights ``exp(-(u - l)² / 2σ²)`` are an exponential family in u,
hence (σ in bins)

    dκ_n/du = κ_{n+1} / σ²,    d(mass)/du = mass · (κ₁ - u) / σ².

Each is evaluated as a Chebyshev series over the range of levels where the Gaussian is wide, and as
a sum over the levels near u where it is narrow, with as many terms as the dtype resolves.
"""

import math
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxharmo.ops import chebyshev
from jaxharmo.ops.binning import Binning, level_coordinate, linear_taps

Cumulants = tuple[Float[Array, "..."], ...]
"""Mass, κ₁, κ₂, …; levels are numbered from 0."""

_NODES = 2048
_NARROWEST_SERIES = 1.0
"""Below it the sum over levels ripples from level to level, and no short series follows."""
_MOST_TERMS = 256


def cumulants(image: Float[Array, "..."], binning: Binning, order: int) -> Cumulants:
    """The mass and the first ``order`` (at most 4) cumulants of every pixel's weights.

    Intensities outside the range count as its nearest end, and have no gradient.
    """
    if binning.kind == "linear":
        lower, upper = linear_taps(image, binning)
        spread = upper * (1 - upper)
        mean = lower + upper
        all_orders = (mean, spread, spread * (1 - 2 * upper), spread * (1 - 6 * spread))
        return (jnp.ones_like(image), *all_orders[:order])
    coordinate = level_coordinate(image, binning)
    mass, shift, *rest = _gaussian(coordinate, binning.levels, binning.sigma, order)
    return (jnp.ones_like(mass) if binning.normalised else mass, coordinate + shift, *rest)


def count_operations(binning: Binning, dtype: str = "float32") -> int:
    """Operations a pixel for its mass, mean and variance."""
    if binning.kind == "linear":
        return 6
    series = _series(binning.levels, binning.sigma, 2, dtype)
    taps = min(2 * _half_window(binning.sigma, np.dtype(dtype)) + 1, binning.levels)
    return 3 * 3 * len(series) if _takes_series(series, taps) else 12 * taps


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _gaussian(u: Array, levels: int, sigma: float, order: int) -> Cumulants:
    """Mass, κ₁ - u, κ₂, …: the mean less u, because float32 would lose the difference."""
    series = _series(levels, sigma, order, str(u.dtype))
    taps = min(2 * _half_window(sigma, u.dtype) + 1, levels)
    if _takes_series(series, taps):
        return _by_series(u, levels, series)
    return _by_window(u, levels, sigma, order)


def _takes_series(series: Float[np.ndarray, "r n"], taps: int) -> bool:
    # A tap, with its exponential, costs about as much as two terms of all series.
    return 0 < len(series) <= 2 * taps


@_gaussian.defjvp
def _gaussian_jvp(levels, sigma, order, primals, tangents):
    (u,), (du,) = primals, tangents
    mass, shift, *orders = _gaussian(u, levels, sigma, order + 1)
    slopes = [value / sigma**2 for value in (mass * shift, *orders)]
    slopes[1] -= 1
    return (mass, shift, *orders[:-1]), tuple(slope * du for slope in slopes)


def _half_window(sigma: float, dtype: np.dtype) -> int:
    """Where a Gaussian weight falls below a thousandth of the dtype's precision, levels."""
    reach = math.sqrt(-2 * math.log(jnp.finfo(dtype).eps * 1e-3))
    return math.ceil(reach * sigma + 0.5)


def _by_window(u: Array, levels: int, sigma: float, order: int) -> Cumulants:
    """Sums over the levels near u."""
    half = _half_window(sigma, u.dtype)
    windowed = 2 * half + 1 < levels
    nearest = jnp.round(u)
    start = nearest - half if windowed else jnp.zeros_like(u)
    # Weights are taken relative to that of the nearest level, which may underflow where σ is small.
    least = (nearest - u) ** 2

    def add(tap, sums):
        level = start + tap
        distance = level - u
        weight = jnp.exp((least - distance**2) * (0.5 / sigma**2))
        weight = jnp.where((level >= 0) & (level <= levels - 1), weight, 0)
        return tuple(total + weight * distance**power for power, total in enumerate(sums))

    zeros = (jnp.zeros_like(u),) * (order + 1)
    total, *sums = lax.fori_loop(0, 2 * half + 1 if windowed else levels, add, zeros)
    mass = total * jnp.exp(least * (-0.5 / sigma**2))
    return (mass, *_cumulants_of([power / total for power in sums]))


def _cumulants_of(raw: list[Array]) -> list[Array]:
    """κ₁ … κ_n from raw moments: κ_n = m_n - Σ_k C(n-1, k-1) κ_k m_{n-k}."""
    found: list[Array] = []
    for n, moment in enumerate(raw, 1):
        lower = [math.comb(n - 1, k - 1) * found[k - 1] * raw[n - k - 1] for k in range(1, n)]
        found.append(moment - sum(lower))
    return found


def _by_series(u: Array, levels: int, series: Float[np.ndarray, "r n"]) -> Cumulants:
    middle = (levels - 1) / 2
    t = (u - middle) / middle
    values = [_clenshaw(column, 2 * t**2 - 1) for column in series.T]
    return tuple(t * value if number % 2 else value for number, value in enumerate(values))


def _clenshaw(coefficients: Float[np.ndarray, "r"], x: Array) -> Array:
    """``Σ c_r T_r(x)``."""
    last, before = jnp.zeros_like(x), jnp.zeros_like(x)
    for coefficient in coefficients[:0:-1].tolist():
        last, before = 2 * x * last - before + coefficient, last
    return x * last - before + coefficients[0].item()


@lru_cache(maxsize=64)
def _series(levels: int, sigma: float, order: int, dtype: str) -> Float[np.ndarray, "r n"]:
    """Chebyshev coefficients of mass, κ₁ - u, κ₂, …, in columns.

    By symmetry about the middle level c, the mass and the even orders are even functions of
    t = (u - c) / c, and the odd orders t times an even function: all are series in 2t² - 1. No rows
    where there would be too many.
    """
    if sigma < _NARROWEST_SERIES:
        return np.empty((0, order + 1))
    t = np.sqrt((chebyshev.nodes(_NODES) + 1) / 2)
    middle = (levels - 1) / 2
    values = _exact(t * middle, middle, levels, sigma, order)
    columns = [value / t if number % 2 else value for number, value in enumerate(values)]
    stacked = np.stack(columns, -1)
    coefficients, terms = chebyshev.fit(stacked, np.abs(stacked).max(0), dtype)
    return coefficients[:terms] if terms <= _MOST_TERMS else coefficients[:0]


def _exact(
    offset: np.ndarray, middle: float, levels: int, sigma: float, order: int
) -> list[np.ndarray]:
    """Mass, κ₁ - u, κ₂, … at ``u = middle + offset``, in float64 from all weights."""
    level = np.arange(levels) - middle
    exponent = -0.5 * ((offset[:, None] - level) / sigma) ** 2
    weights = np.exp(exponent)
    mass = weights.sum(1)
    share = weights / mass[:, None]
    mean = share @ level
    from_mean = level - mean[:, None]
    central = [np.sum(share * from_mean**power, axis=1) for power in range(1, order + 1)]
    central[0] = np.zeros_like(mean)
    return [mass, mean - offset, *map(np.asarray, _cumulants_of(central)[1:])]
