"""The descriptions that change losses compare: texture, spectrum, histogram."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.config import TextureConfig
from jaxharmo.losses.changes import Descriptor
from jaxharmo.losses.texture import central
from jaxharmo.ops.binning import Binning, soft_histogram
from jaxharmo.ops.blur import binomial_blur
from jaxharmo.ops.glcm import glcm_features
from jaxharmo.ops.haralick import SIGNED_FEATURES
from jaxharmo.ops.pyramid import pyramid
from jaxharmo.ops.spectrum import radial_power

Images = Float[Array, "b h w 1"]

BANDS = 23
LEVELS = 56
"""Of the histogram, evenly over [-1, 1]."""
_BINNING = Binning(
    kind="linear", levels=LEVELS, value_range=(-1.0, 1.0), sigma=0.0, normalised=True
)
_LEAST_POWER = 1e-9
"""In [-1, 1] units squared; far below the rounding to whole HU."""
_LEAST_FEATURE = 1e-3


def texture(config: TextureConfig) -> Descriptor:
    """GLCM features by resolution, feature and offset; logarithms of those that have no sign."""

    def describe(images: Images) -> Float[Array, "b f"]:
        bands = pyramid(central(images, config.crop), config.resolutions)
        return jnp.concatenate(
            [
                values if name in SIGNED_FEATURES else jnp.log(values + _LEAST_FEATURE)
                for band in bands
                for name, values in glcm_features(
                    band[..., 0], config.glcm, config.features
                ).items()
            ],
            axis=1,
        )

    count = config.resolutions * len(config.features) * len(config.glcm.offsets)
    return Descriptor(describe, count, config.aggregation)


def spectrum(_: TextureConfig) -> Descriptor:
    """Logarithms of the power in ``BANDS`` bands of frequency."""

    def describe(images: Images) -> Float[Array, "b f"]:
        return jnp.log(radial_power(images[..., 0], BANDS) + _LEAST_POWER)

    return Descriptor(describe, BANDS, "noise")


def histogram(_: TextureConfig) -> Descriptor:
    """Shares of the image at ``LEVELS`` levels.

    Intensities are seen under a 3×3 binomial blur, and shared linearly between the two levels next
    to them.
    """

    def describe(images: Images) -> Float[Array, "b f"]:
        return soft_histogram(binomial_blur(images)[..., 0], _BINNING)

    return Descriptor(describe, LEVELS, "sum", shares=True)


DESCRIPTORS: Mapping[str, Callable[[TextureConfig], Descriptor]] = {
    "texture": texture,
    "spectrum": spectrum,
    "histogram": histogram,
}
"""By the name of their weight in the loss."""
