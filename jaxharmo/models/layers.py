"""The residual blocks that the networks of StarGAN v2 (arXiv 1912.01865) are made of."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxharmo.config import Sees
from jaxharmo.models.convolution import convolve
from jaxharmo.ops.pyramid import DETAIL_GAIN, detail

Features = Float[Array, "b h w c"]

_SLOPE = 0.2
_EPSILON = 1e-5


Dtype = Literal["float32", "bfloat16"]
"""Of what a network computes; its parameters, norms and results are float32."""

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
Dense = partial(nn.Dense, kernel_init=he_normal)
"""On features, a 1×1 convolution."""


class Conv(nn.Module):
    """3×3 convolution that keeps the size."""

    channels: int
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(self, x: Features) -> Features:
        kernel = self.param("kernel", he_normal, (3, 3, x.shape[-1], self.channels))
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        x, kernel, bias = (array.astype(self.dtype) for array in (x, kernel, bias))
        return convolve(x, kernel) + bias


def leaky_relu(x: Array) -> Array:
    """Leaky ReLU with slope 0.2."""
    return nn.leaky_relu(x, _SLOPE)


def average_pool(x: Features) -> Features:
    """Mean over 2×2 pixels."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def upsample(x: Features) -> Features:
    """Nearest neighbour, twice the size."""
    batch, height, width, channels = x.shape
    doubled = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return doubled.reshape(batch, 2 * height, 2 * width, channels)


def instance_norm(x: Features) -> Features:
    """Zero mean and unit variance over the pixels of each channel of each image, in float32."""
    x = x.astype(jnp.float32)
    mean = x.mean((1, 2), keepdims=True)
    centred = x - mean
    variance = jnp.square(centred).mean((1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(variance + _EPSILON)


def _unit(x: Features) -> Features:
    return x / math.sqrt(2)


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and shift per channel."""

    @nn.compact
    def __call__(self, x: Features) -> Features:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        shift = self.param("shift", nn.initializers.zeros, (x.shape[-1],))
        return (instance_norm(x) * scale + shift).astype(x.dtype)


class StyleModulation(nn.Module):
    """AdaIN: scale and shift every channel by affine functions of the style, ``(1 + γ) x + β``."""

    @nn.compact
    def __call__(self, x: Features, style: Float[Array, "b s"]) -> Features:
        scale, shift = jnp.split(Dense(2 * x.shape[-1])(style)[:, None, None], 2, axis=-1)
        modulated = (1 + scale) * instance_norm(x) + shift
        return modulated.astype(x.dtype)


class ResidualBlock(nn.Module):
    """Pre-activation residual block, halving the resolution if ``downsample``."""

    channels: int
    normalize: bool = False
    downsample: bool = False
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(self, x: Features) -> Features:
        norm = InstanceNorm if self.normalize else lambda: lambda features: features
        shortcut = x
        if x.shape[-1] != self.channels:
            shortcut = Dense(self.channels, use_bias=False, dtype=self.dtype)(shortcut)
        hidden = Conv(x.shape[-1], self.dtype)(leaky_relu(norm()(x)))
        if self.downsample:
            shortcut, hidden = average_pool(shortcut), average_pool(hidden)
        hidden = Conv(self.channels, self.dtype)(leaky_relu(norm()(hidden)))
        return _unit(shortcut + hidden)


class StyledBlock(nn.Module):
    """Residual block steered by a style code, doubling the resolution if ``upsample``."""

    channels: int
    upsample: bool = False
    dtype: Dtype = "float32"

    @nn.compact
    def __call__(self, x: Features, style: Float[Array, "b s"]) -> Features:
        shortcut = x
        if x.shape[-1] != self.channels:
            # Before the upsampling: a 1×1 convolution commutes with it and is four times cheaper.
            shortcut = Dense(self.channels, use_bias=False, dtype=self.dtype)(shortcut)
        hidden = leaky_relu(StyleModulation()(x, style))
        if self.upsample:
            shortcut, hidden = upsample(shortcut), upsample(hidden)
        hidden = Conv(self.channels, self.dtype)(hidden)
        hidden = leaky_relu(StyleModulation()(hidden, style))
        return _unit(shortcut + Conv(self.channels, self.dtype)(hidden))


def remembering_less(block: type[nn.Module], remat: bool) -> type[nn.Module]:
    """The block; with ``remat``, one that recomputes its activations for the gradient."""
    return nn.remat(block) if remat else block


class DomainTrunk(nn.Module):
    """Convolutions from an image down to one vector: a single patch.

    The image's side is a power of two; it is halved down to 4 pixels.
    """

    width: int
    max_width: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 1"]) -> Float[Array, "b 1 d"]:
        channels, block = self.width, remembering_less(ResidualBlock, self.remat)
        x = Conv(channels, self.dtype)(image)
        for number in range(int(math.log2(image.shape[1])) - 2):
            channels = min(2 * channels, self.max_width)
            name = f"ResidualBlock_{number}"
            x = block(channels, downsample=True, dtype=self.dtype, name=name)(x)
        # A 4×4 convolution without padding of 4×4 pixels.
        x = leaky_relu(x).reshape(x.shape[0], -1)
        x = leaky_relu(Dense(channels, dtype=self.dtype)(x)).astype(jnp.float32)
        return x[:, None]


class DetailTrunk(nn.Module):
    """Features of patches of the image's detail, on a grid of an eighth of the resolution.

    Detail at two resolutions, (1 - B_1) x and (1 - B_2) B_1 x, scaled and clipped at ±1, so that
    edges count no more than noise; 2×2 pixels become channels, which keeps all of it.
    """

    width: int
    max_width: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 1"]) -> Float[Array, "b p d"]:
        bands = jnp.concatenate(detail(image), axis=-1)
        batch, height, width, count = bands.shape
        x = jnp.clip(DETAIL_GAIN * bands, -1, 1)
        x = x.reshape(batch, height // 2, 2, width // 2, 2, count).transpose(0, 1, 3, 2, 4, 5)
        channels, block = self.width, remembering_less(ResidualBlock, self.remat)
        x = Conv(channels, self.dtype)(x.reshape(batch, height // 2, width // 2, 4 * count))
        for number in range(2):
            channels = min(2 * channels, self.max_width)
            name = f"ResidualBlock_{number}"
            x = block(channels, downsample=True, dtype=self.dtype, name=name)(x)
        return leaky_relu(x).astype(jnp.float32).reshape(batch, -1, channels)


TRUNKS: Mapping[Sees, type[DomainTrunk] | type[DetailTrunk]] = {
    "image": DomainTrunk,
    "detail": DetailTrunk,
}
"""Input of discriminator and style encoder -> its network; features of patches, ``(b, p, d)``."""


def pick_domain(heads: Float[Array, "#b k d"], domain: Int[Array, "b"]) -> Float[Array, "b d"]:
    """The output of each sample's own domain head; or, of one table for all, the domain's row.

    A sum over the heads rather than an index: the batch stays on its devices, and XLA joins the sum
    that is the gradient of a table with others. That of an index would be a scatter.
    """
    own = domain[:, None] == jnp.arange(heads.shape[1])
    return jnp.where(own[..., None], heads, 0).sum(1)
