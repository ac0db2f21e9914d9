"""Soft assignment of pixels to grey levels.

A pixel of intensity x has the level coordinate ``u = (x - low) / (high - low) * (L - 1)``, so that
level l is centred on ``u = l`` and the outermost centres are the ends of the range. Its weight on
level l is

- linear: ``max(0, 1 - |u - l|)``; a pixel on a centre has one level, as in a hard histogram;
- gaussian: ``exp(-(u - l)² / 2σ²)``, divided by its sum over the levels if ``normalised``.

u is clipped to [0, L - 1] first: intensities outside the range count as its nearest end.
"""

import dataclasses
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@dataclasses.dataclass(frozen=True)
class Binning:
    """A soft assignment to ``levels`` grey levels over ``value_range``; σ in bins."""

    kind: Literal["linear", "gaussian"]
    levels: int
    value_range: tuple[float, float]
    sigma: float
    normalised: bool


def linear_binning(levels: int, value_range: tuple[float, float]) -> Binning:
    """Triangular weights."""
    return Binning("linear", levels, value_range, sigma=0.0, normalised=True)


def level_coordinate(image: Float[Array, "h w"], binning: Binning) -> Float[Array, "h w"]:
    """Where each pixel lies on the axis of levels, within the outermost ones."""
    low, high = binning.value_range
    top = binning.levels - 1
    return jnp.clip((image - low) * (top / (high - low)), 0, top)


def linear_taps(
    image: Float[Array, "h w"], binning: Binning
) -> tuple[Int[Array, "h w"], Float[Array, "h w"]]:
    """The lower of the two levels that a pixel touches, and the weight of the upper one."""
    coordinate = level_coordinate(image, binning)
    lower = _lower(coordinate, binning.levels)
    return lower, coordinate - lower


def _lower(coordinate: Float[Array, "h w"], levels: int) -> Int[Array, "h w"]:
    return jnp.clip(jnp.floor(coordinate), 0, levels - 2).astype(jnp.int32)


def _linear(coordinate: Float[Array, "h w"], levels: int) -> Float[Array, "h w l"]:
    distance = jnp.abs(coordinate[..., None] - jnp.arange(levels, dtype=coordinate.dtype))
    return jnp.maximum(0, 1 - distance)


def weights(image: Float[Array, "h w"], binning: Binning) -> Float[Array, "h w l"]:
    """The weight of every pixel on every level."""
    coordinate = level_coordinate(image, binning)
    if binning.kind == "linear":
        return _linear(coordinate, binning.levels)
    levels = jnp.arange(binning.levels, dtype=image.dtype)
    exponent = -0.5 * ((coordinate[..., None] - levels) / binning.sigma) ** 2
    return jax.nn.softmax(exponent) if binning.normalised else jnp.exp(exponent)


def soft_histogram(images: Float[Array, "b h w"], binning: Binning) -> Float[Array, "b l"]:
    """The share of each image at every level, of linear weights."""
    return jax.vmap(lambda image: _shares(level_coordinate(image, binning), binning.levels))(images)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _shares(coordinate: Float[Array, "h w"], levels: int) -> Float[Array, "l"]:
    return _linear(coordinate, levels).mean((0, 1))


def _shares_forward(coordinate: Array, levels: int):
    return _shares(coordinate, levels), coordinate


def _shares_backward(levels: int, coordinate: Array, cotangent: Float[Array, "l"]):
    # A pixel touches two levels: the slopes of the others need not be written down.
    return (jnp.diff(cotangent)[_lower(coordinate, levels)] / coordinate.size,)


_shares.defvjp(_shares_forward, _shares_backward)


def by_level(
    images: Float[Array, "b h w"], values: Float[Array, "b l"], binning: Binning
) -> Float[Array, "b h w"]:
    """A value for each level, taken linearly in between: ``Σ_l w_l(x) v_l`` of linear weights."""
    of_image = lambda image, own: _by_level(level_coordinate(image, binning), own)  # noqa: E731
    return jax.vmap(of_image)(images, values)


@jax.custom_vjp
def _by_level(coordinate: Float[Array, "h w"], values: Float[Array, "l"]) -> Float[Array, "h w"]:
    lower = _lower(coordinate, len(values))
    return values[lower] + (coordinate - lower) * jnp.diff(values)[lower]


def _by_level_forward(coordinate: Array, values: Array):
    return _by_level(coordinate, values), (coordinate, values)


def _by_level_backward(kept: tuple[Array, Array], cotangent: Float[Array, "h w"]):
    coordinate, values = kept
    slopes = (_linear(coordinate, len(values)) * cotangent[..., None]).sum((0, 1))
    return cotangent * jnp.diff(values)[_lower(coordinate, len(values))], slopes


_by_level.defvjp(_by_level_forward, _by_level_backward)
