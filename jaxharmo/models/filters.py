"""A generator that filters and corrects, for translations between reconstruction kernels.

A kernel multiplies every spatial frequency by a gain. From one kernel to another an image changes
by a ratio of gains, a difference of logarithms. ``FilterGenerator`` makes the logarithm linear in
the style: filters of opposite styles undo each other, gains cannot change their sign, and a style
of zeros changes nothing. Iterative reconstruction spares edges, so its gains depend on the place as
well. A small residual network adds what no filter can do.
"""

import itertools
from functools import partial, reduce

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.models.layers import he_normal, leaky_relu
from jaxharmo.ops.activity import RANGE, active_bands
from jaxharmo.ops.binning import by_level, linear_binning
from jaxharmo.ops.blur import binomial_blur, wide_blur
from jaxharmo.ops.pyramid import detail

TISSUES = linear_binning(12, (-1.0, 1.0))
_OFFSET_UNIT = 0.01
"""About 10 HU: kernels shift levels by little."""
_CALIBRATION_UNIT = 0.03
"""About 40 HU: at low voltages, bone is brighter by as much and more."""
_GAIN_UNIT = 40.0
"""Gains are learned faster than offsets."""
_LOCAL_UNIT = 5.0
"""Each acts on a part of the pixels only, so they are learned slower than the filter's gains."""
_OCTAVES = linear_binning(RANGE[1] - RANGE[0] + 1, RANGE)
_CORRECTION_UNIT = 0.01
"""About 10 HU."""
_CUT_UNIT = 0.05
_DETAIL_GAIN = 10.0
"""Kernels differ by a few hundredths of the window."""


class FilterGenerator(nn.Module):
    """The image, filtered by a gain that the style decides, shifted by tissue, and corrected.

    The style is that of the target minus that of the source. The filter multiplies the waves of the
    image by a gain that depends on their frequency alone, as reconstruction kernels do
    (``filter_image``). The logarithm of the gain is linear in the style at each knot. Values at
    knots are learned because each acts on frequencies of its own. Frequencies are per pixel; with
    ``pixel``, they are per so many mm, and images come with the side of their pixels.

    Levels shift by an offset that is linear in the style and in the tissue of a pixel: its
    membership in 12 levels of intensity after a blur of about 3 pixels, or where it lies between
    ``levels``. With ``local_gains``, gains
    that depend on the activity around a pixel follow (``LocalGains``). The residual network
    (``Residual``) restores what the floor of the scale has cut off, before the filters, and adds a
    correction to the result. The output is clipped at -1, as scanners clip at the floor of their
    scale.
    """

    knots: int
    residual_width: int
    local_gains: bool
    levels: tuple[float, ...] = ()
    """Rising, in [-1, 1]: where offsets are learned, instead of at the 12 levels."""
    pixel: float = 0.0
    """mm; 0: the size of pixels plays no part."""

    def __call__(
        self,
        image: Float[Array, "b h w 1"],
        target: Float[Array, "b s"],
        source: Float[Array, "b s"],
        side: Float[Array, "b"] | None = None,
    ) -> Float[Array, "b h w 1"]:
        return self.with_levels(image, target, source, side)[0]

    @nn.compact
    def with_levels(
        self,
        image: Float[Array, "b h w 1"],
        target: Float[Array, "b s"],
        source: Float[Array, "b s"],
        side: Float[Array, "b"] | None = None,
    ) -> tuple[Float[Array, "b h w 1"], Float[Array, "b h w 1"]]:
        """The translation twice: with ``levels``, only the second has the gradient of offsets.

        And no other. Filters could shift a level as well, at the cost of everything else. ``side``:
        of the images' pixels, mm, which ``pixel`` needs.
        """
        style = target - source
        seen, correction = image, None
        if self.residual_width:
            cut, correction = Residual(self.residual_width, name="residual")(image, style)
            seen = image - cut
        values = _GAIN_UNIT * _linear(style, self.knots, "gain")
        relative = None if side is None or not self.pixel else side / self.pixel
        made = seen + filter_image(seen, values, relative)
        if self.levels:
            offsets = _CALIBRATION_UNIT * _linear(style, len(self.levels), "offset")
            around = jax.lax.stop_gradient(tissue(seen))
            shift = between_levels(around, offsets, self.levels)[..., None]
        else:
            offsets = _OFFSET_UNIT * _linear(style, TISSUES.levels, "offset")
            shift = by_level(tissue(seen), offsets, TISSUES)[..., None]
        made = made + (jax.lax.stop_gradient(shift) if self.levels else shift)
        if self.local_gains:
            made += LocalGains(name="local")(made, style)
        if correction is not None:
            made += correction
        levelled = made
        if self.levels:
            levelled = jax.lax.stop_gradient(made - shift) + shift
        return jnp.maximum(made, -1.0), jnp.maximum(levelled, -1.0)


def tissue(image: Float[Array, "b h w 1"]) -> Float[Array, "b h w"]:
    """Intensity after a blur of about 3 pixels, which ``TISSUES`` divides into levels."""
    return wide_blur(image)[..., 0]


def between_levels(
    image: Float[Array, "b h w"], values: Float[Array, "b n"], levels: tuple[float, ...]
) -> Float[Array, "b h w"]:
    """A value at each of the rising levels, taken linearly in between, constant beyond them."""
    steps = jnp.diff(values)[..., None, None]
    found = values[:, :1, None]
    for number, (low, high) in enumerate(itertools.pairwise(levels)):
        found += steps[:, number] * jnp.clip((image - low) / (high - low), 0, 1)
    return found


def _linear(style: Float[Array, "b s"], count: int, name: str) -> Float[Array, "b n"]:
    zeros = nn.initializers.zeros
    return nn.Dense(count, use_bias=False, kernel_init=zeros, name=name)(style)


class LocalGains(nn.Module):
    """What is added to an image by gains that depend on the activity around a pixel.

    Each band of detail has its own. The logarithm of a gain is linear in the style, and in the
    logarithm of the activity between levels that are an octave apart (``ops/activity.py``).
    """

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], style: Float[Array, "b s"]
    ) -> Float[Array, "b h w 1"]:
        added = jnp.zeros_like(image)
        for number, band in enumerate(active_bands(image)):
            values = _LOCAL_UNIT * _linear(style, _OCTAVES.levels, f"band_{number}")
            log_gain = by_level(band.activity, values, _OCTAVES)[..., None]
            added += jnp.expm1(log_gain) * band.detail
        return added


class Residual(nn.Module):
    """The part of a translation that is no linear filter, from the image and its detail.

    A dense network on the channels of a pixel, with blurs between its layers.

    Two images: how far below the floor of the scale, -1, the cut pixels lay (positive, elsewhere
    0), which is the same for all styles; and a correction that is linear in the style and starts at
    zero.
    """

    width: int

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], style: Float[Array, "b s"]
    ) -> tuple[Float[Array, "b h w 1"], Float[Array, "b h w 1"]]:
        # Channels in front: with so few, a CPU takes half of the time.
        planes = image[None, ..., 0]
        floor = (planes <= -1.0).astype(image.dtype)
        fine, medium = (_DETAIL_GAIN * band for band in detail(planes, axes=_ALONG_PLANES))
        around = reduce(_blur, (1, 2, 4), jnp.concatenate([floor, jnp.abs(fine)]))
        x = jnp.concatenate([planes, floor, fine, medium, around])
        x = leaky_relu(_OfPlanes(self.width)(x))
        for dilation in (1, 2):
            x = jnp.concatenate([x, _blur(x, dilation)])
            x = leaky_relu(_OfPlanes(self.width)(x))
        cut = floor * _CUT_UNIT * jax.nn.softplus(_OfPlanes(1, name="cut")(x) - 3.0)
        weights = _CORRECTION_UNIT * _linear(style, self.width, "correction")
        correction = (weights.T[..., None, None] * x).sum(0)
        return cut[0, ..., None], correction[..., None]


_ALONG_PLANES = (2, 3)
_blur = partial(binomial_blur, axes=_ALONG_PLANES)


class _OfPlanes(nn.Module):
    """A dense layer on the first axis."""

    channels: int

    @nn.compact
    def __call__(self, x: Float[Array, "c b h w"]) -> Float[Array, "d b h w"]:
        kernel = self.param("kernel", he_normal, (x.shape[0], self.channels))
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        mixed = kernel.T @ x.reshape(x.shape[0], -1)
        return mixed.reshape(self.channels, *x.shape[1:]) + bias[:, None, None, None]


def filter_image(
    image: Float[Array, "b h w 1"],
    values: Float[Array, "b n"],
    side: Float[Array, "b"] | None = None,
) -> Float[Array, "b h w 1"]:
    """What a filter with a round gain adds to ``image``; at its borders, the image is reflected.

    ``values`` are the logarithm of the gain at ``n`` knots, the frequencies (j / (n + 1))^1.5 / √2
    per pixel with j from 2 to n + 1: dense where kernels differ most. It is linear in j between
    them, and 0 up to j = 1, so that the mean of a region stays what it is. With ``side``, that of
    the image's pixels in a unit of length, the knots are frequencies per unit; beyond the last, the
    gain is that of the last. The waves are found by matrix products, which all devices are good at.
    """
    height, width = image.shape[1:3]
    rows, columns = cosines(height), cosines(width)
    down, along = (jnp.arange(length) / (2 * length) for length in (height, width))
    square = (jnp.square(down)[:, None] + jnp.square(along))[None]
    if side is not None:
        square = square / jnp.square(side)[:, None, None]
    place = (2 * square) ** (1 / 3)
    values = jnp.pad(values, ((0, 0), (2, 0)))
    knots = linear_binning(values.shape[1], (0.0, 1.0))
    log_gain = by_level(jnp.broadcast_to(place, image.shape[:3]), values, knots)
    # bfloat16, the default of some devices, would be off by several HU.
    product = partial(jnp.einsum, precision="highest")
    waves = product("kh,bhw,lw->bkl", rows, image[..., 0], columns)
    # Less 1: a style of zeros adds zeros.
    return product("kh,bkl,lw->bhw", rows, jnp.expm1(log_gain) * waves, columns)[..., None]


def cosines(length: int) -> Float[Array, "n n"]:
    """The orthonormal cosine transform (DCT-II) as a matrix; wave k has k / 2n cycles a pixel."""
    wave, pixel = jnp.arange(length)[:, None], jnp.arange(length)
    # In whole numbers as far as possible: large angles lose digits.
    phase = (wave * (2 * pixel + 1)) % (4 * length)
    scale = jnp.sqrt(jnp.where(wave == 0, 1.0, 2.0) / length)
    return scale * jnp.cos(phase * (jnp.pi / (2 * length)))
