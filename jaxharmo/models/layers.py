"""The residual blocks that the networks of StarGAN v2 (arXiv 1912.01865) are made of."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Features = Float[Array, "b h w c"]

_SLOPE = 0.2
_EPSILON = 1e-5


he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
Conv = partial(nn.Conv, kernel_init=he_normal)
Dense = partial(nn.Dense, kernel_init=he_normal)


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
    """Zero mean and unit variance over the pixels of each channel of each image."""
    mean = x.mean((1, 2), keepdims=True)
    centred = x - mean
    variance = jnp.square(centred).mean((1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(variance + _EPSILON)


def _unit(x: Features) -> Features:
    return x / math.sqrt(2)


def with_detail(image: Float[Array, "b h w 1"], gain: float) -> Features:
    """The image, and as a second channel ``gain`` times what a 3×3 binomial blur takes away."""
    if not gain:
        return image
    padded = jnp.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    blurred = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
    return jnp.concatenate([image, gain * (image - blurred)], axis=-1)


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and shift a channel."""

    @nn.compact
    def __call__(self, x: Features) -> Features:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        shift = self.param("shift", nn.initializers.zeros, (x.shape[-1],))
        return instance_norm(x) * scale + shift


class StyleModulation(nn.Module):
    """AdaIN: scale and shift every channel by affine functions of the style, ``(1 + γ) x + β``."""

    normalize: bool = True

    @nn.compact
    def __call__(self, x: Features, style: Float[Array, "b s"]) -> Features:
        scale, shift = jnp.split(Dense(2 * x.shape[-1])(style)[:, None, None], 2, axis=-1)
        return (1 + scale) * (instance_norm(x) if self.normalize else x) + shift


class ResidualBlock(nn.Module):
    """Pre-activation residual block, halving the resolution if ``downsample``."""

    channels: int
    normalize: bool = False
    downsample: bool = False

    @nn.compact
    def __call__(self, x: Features) -> Features:
        norm = InstanceNorm if self.normalize else lambda: lambda features: features
        shortcut = x
        if x.shape[-1] != self.channels:
            shortcut = Conv(self.channels, (1, 1), use_bias=False)(shortcut)
        hidden = Conv(x.shape[-1], (3, 3))(leaky_relu(norm()(x)))
        if self.downsample:
            shortcut, hidden = average_pool(shortcut), average_pool(hidden)
        hidden = Conv(self.channels, (3, 3))(leaky_relu(norm()(hidden)))
        return _unit(shortcut + hidden)


class StyledBlock(nn.Module):
    """Residual block steered by a style code, doubling the resolution if ``upsample``."""

    channels: int
    normalize: bool = True
    upsample: bool = False

    @nn.compact
    def __call__(self, x: Features, style: Float[Array, "b s"]) -> Features:
        shortcut = x
        if x.shape[-1] != self.channels:
            # Before the upsampling: a 1×1 convolution commutes with it and is four times cheaper.
            shortcut = Conv(self.channels, (1, 1), use_bias=False)(shortcut)
        hidden = leaky_relu(StyleModulation(self.normalize)(x, style))
        if self.upsample:
            shortcut, hidden = upsample(shortcut), upsample(hidden)
        hidden = Conv(self.channels, (3, 3))(hidden)
        hidden = leaky_relu(StyleModulation(self.normalize)(hidden, style))
        return _unit(shortcut + Conv(self.channels, (3, 3))(hidden))


class DomainTrunk(nn.Module):
    """Convolutions from an image down to one vector, shared by discriminator and style encoder.

    The image's side is a power of two; it is halved down to 4 pixels.
    """

    width: int
    max_width: int
    detail_gain: float = 0.0

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 1"]) -> Float[Array, "b d"]:
        channels = self.width
        x = Conv(channels, (3, 3))(with_detail(image, self.detail_gain))
        while x.shape[1] > 4:
            channels = min(2 * channels, self.max_width)
            x = ResidualBlock(channels, downsample=True)(x)
        x = leaky_relu(Conv(channels, (4, 4), padding="VALID")(leaky_relu(x)))
        return x.reshape(x.shape[0], -1)


def pick_domain(heads: Float[Array, "b k d"], domain: Int[Array, "b"]) -> Float[Array, "b d"]:
    """The output of each sample's own domain head.

    ``take_along_axis`` stays on its device where the batch is sharded; ``heads[arange(b), domain]``
    would gather the batch.
    """
    return jnp.take_along_axis(heads, domain[:, None, None], axis=1)[:, 0]
