"""Soft assignment of pixels to grey levels.

A pixel of intensity x has the level coordinate ``u = (x - low) / (high - low) * (L - 1)``, so that
level l is centred on ``u = l`` and the outermost centres are the ends of the range. Its weight on
level l is

- linear: ``max(0, 1 - |u - l|)``; a pixel on a centre has one level, as in a hard histogram;
- gaussian: ``exp(-(u - l)² / 2σ²)``, divided by its sum over the levels if ``normalised``.

u is clipped to [0, L - 1] first: intensities outside the range count as its nearest end.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Binning:
    """A soft assignment to ``levels`` grey levels over ``value_range``; σ in bins."""

    kind: Literal["linear", "gaussian"]
    levels: int
    value_range: tuple[float, float]
    sigma: float
    normalised: bool


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
    lower = jnp.clip(jnp.floor(lax.stop_gradient(coordinate)), 0, binning.levels - 2)
    return lower.astype(jnp.int32), coordinate - lower


def weights(image: Float[Array, "h w"], binning: Binning) -> Float[Array, "h w l"]:
    """The weight of every pixel on every level."""
    levels = jnp.arange(binning.levels, dtype=image.dtype)
    coordinate = level_coordinate(image, binning)[..., None]
    if binning.kind == "linear":
        return jnp.maximum(0, 1 - jnp.abs(coordinate - levels))
    exponent = -0.5 * ((coordinate - levels) / binning.sigma) ** 2
    return jax.nn.softmax(exponent) if binning.normalised else jnp.exp(exponent)
