"""Soft assignment of pixels to grey levels, and its moments.

A pixel of intensity x has the level coordinate ``u = (x - low) / (high - low) * (L - 1)``, so that
level l is centred on ``u = l`` and the outermost centres are the ends of the range. Its weight on
level l is

- linear: ``max(0, 1 - |u - l|)``, u clipped to [0, L - 1]; a pixel on a centre has one level, as in
  a hard histogram;
- gaussian: ``exp(-(u - l)² / 2σ²)``, divided by its sum over the levels if ``normalised``.
"""

import dataclasses
import math
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

# Beyond so many σ a float32 Gaussian weight is lost in rounding.
_GAUSSIAN_REACH = 5.5
_LEAST_MASS = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Binning:
    """A soft assignment to ``levels`` grey levels over ``value_range``; σ in bins."""

    kind: Literal["linear", "gaussian"]
    levels: int
    value_range: tuple[float, float]
    sigma: float
    normalised: bool


class Moments(NamedTuple):
    """Total, mean and variance of a pixel's weights over the levels, numbered from 0."""

    mass: Float[Array, "h w"]
    mean: Float[Array, "h w"]
    variance: Float[Array, "h w"]


def level_coordinate(image: Float[Array, "h w"], binning: Binning) -> Float[Array, "h w"]:
    """Where each pixel lies on the axis of levels."""
    low, high = binning.value_range
    return (image - low) * ((binning.levels - 1) / (high - low))


def linear_taps(
    image: Float[Array, "h w"], binning: Binning
) -> tuple[Int[Array, "h w"], Float[Array, "h w"]]:
    """The lower of the two levels that a pixel touches, and the weight of the upper one."""
    coordinate = jnp.clip(level_coordinate(image, binning), 0, binning.levels - 1)
    lower = jnp.clip(jnp.floor(lax.stop_gradient(coordinate)), 0, binning.levels - 2)
    return lower.astype(jnp.int32), coordinate - lower


def weights(image: Float[Array, "h w"], binning: Binning) -> Float[Array, "h w l"]:
    """The weight of every pixel on every level."""
    levels = jnp.arange(binning.levels, dtype=image.dtype)
    coordinate = level_coordinate(image, binning)[..., None]
    if binning.kind == "linear":
        return jnp.maximum(0, 1 - jnp.abs(jnp.clip(coordinate, 0, binning.levels - 1) - levels))
    exponent = -0.5 * ((coordinate - levels) / binning.sigma) ** 2
    return jax.nn.softmax(exponent) if binning.normalised else jnp.exp(exponent)


def moments(image: Float[Array, "h w"], binning: Binning) -> Moments:
    """Total, mean and variance of each pixel's weights, without forming them.

    Taken about the pixel's own coordinate: about a common centre, float32 would lose the variance
    (of order 1) in the square of the level (of order L²).
    """
    if binning.kind == "linear":
        lower, upper_weight = linear_taps(image, binning)
        variance = upper_weight * (1 - upper_weight)
        return Moments(jnp.ones_like(image), lower + upper_weight, variance)
    coordinate = level_coordinate(image, binning)
    if binning.normalised:
        # A pixel far outside the range would have no weight to normalise.
        reach = binning.sigma
        coordinate = jnp.clip(coordinate, -reach, binning.levels - 1 + reach)
    mass, first, second = _gaussian_sums(coordinate, binning.levels, binning.sigma)
    # Far outside the range an unnormalised pixel has no weight, and its moments no meaning.
    weighs = mass > _LEAST_MASS
    divisor = jnp.where(weighs, mass, 1)
    shift = jnp.where(weighs, first / divisor, 0)
    variance = jnp.where(weighs, second / divisor - shift**2, 0)
    total = jnp.ones_like(mass) if binning.normalised else mass
    return Moments(total, coordinate + shift, variance)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _gaussian_sums(
    u: Float[Array, "h w"], levels: int, sigma: float
) -> tuple[Float[Array, "h w"], Float[Array, "h w"], Float[Array, "h w"]]:
    """``s_k = Σ_l (l - u)^k exp(-(l - u)² / 2σ²)`` for k = 0, 1, 2."""
    s0, s1, s2, _ = _power_sums(u, levels, sigma)
    return s0, s1, s2


@_gaussian_sums.defjvp
def _gaussian_sums_jvp(levels, sigma, primals, tangents):
    # ds_k/du = s_{k+1} / σ² - k s_{k-1}: one more sum instead of a stored (h, w, l) array.
    (u,), (du,) = primals, tangents
    s0, s1, s2, s3 = _power_sums(u, levels, sigma)
    scale = 1 / sigma**2
    slopes = (s1 * scale, s2 * scale - s0, s3 * scale - 2 * s1)
    return (s0, s1, s2), tuple(slope * du for slope in slopes)


def _power_sums(u: Float[Array, "h w"], levels: int, sigma: float) -> tuple[Array, ...]:
    half = math.ceil(_GAUSSIAN_REACH * sigma)
    windowed = 2 * half + 1 < levels
    terms = 2 * half + 1 if windowed else levels
    start = jnp.round(u) - half if windowed else jnp.zeros_like(u)

    def add(term, sums):
        level = start + term
        distance = level - u
        weight = jnp.exp(-0.5 * (distance / sigma) ** 2)
        weight = jnp.where((level >= 0) & (level <= levels - 1), weight, 0)
        powers = (weight, distance * weight, distance**2 * weight, distance**3 * weight)
        return tuple(total + power for total, power in zip(sums, powers, strict=True))

    return lax.fori_loop(0, terms, add, (jnp.zeros_like(u),) * 4)
