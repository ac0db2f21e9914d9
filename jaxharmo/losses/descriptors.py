"""The descriptions that change losses compare: texture, spectrum, histogram, activity."""

import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.config import Config
from jaxharmo.losses.changes import Descriptor
from jaxharmo.losses.texture import central
from jaxharmo.ops.activity import ACTIVE_BANDS, RANGE, active_bands
from jaxharmo.ops.binning import linear_binning, soft_histogram
from jaxharmo.ops.blur import binomial_blur, wide_blur
from jaxharmo.ops.glcm import glcm_features
from jaxharmo.ops.haralick import SIGNED_FEATURES
from jaxharmo.ops.pyramid import pyramid
from jaxharmo.ops.spectrum import radial_power
from jaxharmo.ops.tissue import TISSUE_RANGES

Images = Float[Array, "b h w 1"]

BANDS = 23
LEVELS = 56
"""Of the histogram, evenly over [-1, 1]."""
_BINNING = linear_binning(LEVELS, (-1.0, 1.0))
_THIRDS = linear_binning(3 * (RANGE[1] - RANGE[0]) + 1, RANGE)
"""Thirds of an octave."""
_LEAST_TISSUE = 0.005
"""Share of an image."""
_TENS = 10.0
_LEAST_POWER = 1e-9
"""In [-1, 1] units squared; far below the rounding to whole HU."""
_LEAST_FEATURE = 1e-3


def texture(config: Config) -> Descriptor:
    """GLCM features by resolution, feature and offset; logarithms of those without a sign."""
    settings = config.texture

    def describe(images: Images) -> Float[Array, "b f"]:
        bands = pyramid(central(images, settings.crop), settings.resolutions)
        return jnp.concatenate(
            [
                values if name in SIGNED_FEATURES else jnp.log(values + _LEAST_FEATURE)
                for band in bands
                for name, values in glcm_features(
                    band[..., 0], settings.glcm, settings.features
                ).items()
            ],
            axis=1,
        )

    count = settings.resolutions * len(settings.features) * len(settings.glcm.offsets)
    return Descriptor(describe, count, settings.aggregation)


def spectrum(config: Config) -> Descriptor:
    """Logarithms of the power in ``BANDS`` bands of frequency."""
    low, high = config.data.window
    # Rounding errors are white and even over one HU: a variance of 1/12 HU².
    rounding = (2 / (high - low)) ** 2 / 12

    def describe(images: Images) -> Float[Array, "b f"]:
        return jnp.log(radial_power(images[..., 0], BANDS) + _LEAST_POWER)

    return Descriptor(describe, BANDS, "noise", rounding=math.log(rounding))


def histogram(_: Config) -> Descriptor:
    """Shares of the image at ``LEVELS`` levels.

    The image is smoothed by a 3×3 binomial blur. A pixel is split linearly between the two nearest
    levels.
    """

    def describe(images: Images) -> Float[Array, "b f"]:
        return soft_histogram(binomial_blur(images)[..., 0], _BINNING)

    return Descriptor(describe, LEVELS, "sum", shares=True, between=False)


def activity(_: Config) -> Descriptor:
    """Shares of the image by activity, for each band (``ops/activity.py``)."""

    def describe(images: Images) -> Float[Array, "b f"]:
        shares = [soft_histogram(band.activity, _THIRDS) for band in active_bands(images)]
        return jnp.concatenate(shares, axis=1)

    return Descriptor(describe, ACTIVE_BANDS * _THIRDS.levels, "sum", shares=True, between=False)


def levels(config: Config) -> Descriptor:
    """Mean level of each tissue, in tens of HU from the middle of its range.

    A pixel counts as a tissue by its level after a blur (``ops/tissue.py``). With little of a
    tissue in an image, its cell is near 0.
    """
    low, high = config.data.window

    def describe(images: Images) -> Float[Array, "b f"]:
        hu = (wide_blur(images)[..., 0] + 1) * ((high - low) / 2) + low
        cells = []
        for start, full, end, empty in TISSUE_RANGES:
            rising, falling = (hu - start) / (full - start), (empty - hu) / (empty - end)
            weight = jnp.clip(jnp.minimum(rising, falling), 0, 1)
            moment = (weight * (hu - (full + end) / 2)).mean((1, 2))
            cells.append(moment / (weight.mean((1, 2)) + _LEAST_TISSUE) / _TENS)
        return jnp.stack(cells, axis=1)

    return Descriptor(
        describe,
        len(TISSUE_RANGES),
        "mean",
    )


DESCRIPTORS: Mapping[str, Callable[[Config], Descriptor]] = {
    "texture": texture,
    "spectrum": spectrum,
    "histogram": histogram,
    "activity": activity,
    "levels": levels,
}
"""By the name of their weight in the loss."""
