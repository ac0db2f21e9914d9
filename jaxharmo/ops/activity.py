"""How much detail lies around each pixel, band by band.

Noise has about the same activity everywhere; edges and vessels have more. A reconstruction that
spares edges treats the two differently, which no mean over an image shows.
"""

from functools import reduce
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.ops.blur import binomial_blur
from jaxharmo.ops.pyramid import detail

ACTIVE_BANDS = 3
RANGE = (-10, -2)
"""Of the logarithms that occur: with a window of 2,500 HU, 1 to 310 HU."""
_LEAST = 2.0**-12
"""Far below the rounding to whole HU."""


class Band(NamedTuple):
    """A band of detail."""

    detail: Float[Array, "b h w 1"]
    activity: Float[Array, "b h w"]
    """Logarithm to base 2 of the mean modulus of the detail around a pixel."""


def active_bands(images: Float[Array, "b h w 1"]) -> list[Band]:
    """The finest ``ACTIVE_BANDS`` bands of images in [-1, 1] (``pyramid.detail``).

    The modulus of band n is averaged by binomial blurs of dilation 2^n and 2^(n + 1).
    """
    found = []
    for number, band in enumerate(detail(images, ACTIVE_BANDS)):
        around = reduce(binomial_blur, (2**number, 2 ** (number + 1)), jnp.abs(band))
        found.append(Band(band, jnp.log2(around[..., 0] + _LEAST)))
    return found
