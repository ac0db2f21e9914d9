"""Noise in soft tissue, as a differentiable figure of an image."""

from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.ops.blur import binomial_blur
from jaxharmo.ops.intensity import Window, normalize

_MUSCLE = (0.0, 120.0)
"""HU of muscle, blood and organs. Fat lies lower; its streaks in muscle would count as noise."""
_INSIDE = 0.99
"""Share of the neighbourhood that must be soft tissue."""
_ENOUGH = 0.01
"""Share of the image that must be soft tissue for the full weight."""
_LEAST_POWER = 1e-9


def soft_tissue_noise(
    images: Float[Array, "b h w 1"], window: Window
) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
    """Logarithm of the standard deviation of fine detail in soft tissue, and its weight.

    Images in [-1, 1] over ``window``. Fine detail is (1 - B) x, with the 3×3 binomial blur B; soft
    tissue is where the image under blurs of about 7 pixels lies between 0 and 120 HU, away from its
    borders. The weight is 0 where an image shows none, 1 from a hundredth of its pixels on. White
    noise of deviation s gives log(0.8004 s), with 0.8004² = 1 - 2 / 4 + (6 / 16)².
    """
    fine = images - binomial_blur(images)
    low, high = (normalize(jnp.asarray(hu), window) for hu in _MUSCLE)
    smooth = reduce(binomial_blur, (1, 2), images)
    soft = ((smooth > low) & (smooth < high)).astype(images.dtype)
    inside = reduce(binomial_blur, (1, 2, 4), soft) > _INSIDE
    inside = jax.lax.stop_gradient(inside.astype(images.dtype))
    area = inside.sum((1, 2, 3))
    power = (inside * jnp.square(fine)).sum((1, 2, 3)) / jnp.maximum(area, 1)
    weight = jnp.minimum(area / (_ENOUGH * images[0].size), 1)
    return 0.5 * jnp.log(power + _LEAST_POWER), weight
