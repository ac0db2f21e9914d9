"""EfficientNet-Lite0, the frozen feature extractor of the evaluation.

Tan & Le 2019 (arXiv 1905.11946) in the Lite variant: no squeeze-and-excite, ReLU6, fixed stem and
head. Inference only: each batch normalisation is folded into the convolution before it
(``evaluation.weights``). Fully convolutional, so tiles can have any size.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class Stage(NamedTuple):
    """A run of inverted residual blocks; the stride is that of the first."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
TEXTURE_STAGES = (1, 2)
"""Shallow stages: their pooled maps differ between kernels and hardly depend on anatomy."""


class Depthwise(nn.Module):
    """Depthwise convolution with TensorFlow's SAME padding.

    A sum of shifted, scaled copies: XLA fuses it into one loop, which on a CPU is ten times faster
    than its grouped convolution.
    """

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
        size, stride, channels = self.kernel, self.stride, x.shape[-1]
        weights = self.param("kernel", nn.initializers.lecun_normal(), (size, size, 1, channels))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        spans = [(-(-length // stride) - 1) * stride + 1 for length in x.shape[1:3]]
        missing = [
            max(span + size - 1 - length, 0)
            for span, length in zip(spans, x.shape[1:3], strict=True)
        ]
        padding = [(total // 2, total - total // 2) for total in missing]
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        rows, columns = spans
        return bias + sum(
            x[:, i : i + rows : stride, j : j + columns : stride] * weights[i, j, 0]
            for i in range(size)
            for j in range(size)
        )


class InvertedResidual(nn.Module):
    """Expand, filter by channel, project; added to the input where shapes allow."""

    kernel: int
    stride: int
    expansion: int
    channels: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        entry = x
        if self.expansion > 1:
            x = nn.relu6(nn.Dense(x.shape[-1] * self.expansion, name="expand")(x))
        x = nn.relu6(Depthwise(self.kernel, self.stride, name="depthwise")(x))
        x = nn.Dense(self.channels, name="project")(x)
        return x + entry if self.stride == 1 and entry.shape == x.shape else x


class EfficientNetLite0(nn.Module):
    """Grey images in [-1, 1] to two descriptors of each.

    ``texture``: global averages of stages 1 and 2, (b, 24 + 40); ``semantic``: that of the head,
    (b, 1280).
    """

    @nn.compact
    def __call__(self, images: Float[Array, "b h w"]) -> dict[str, Float[Array, "b d"]]:
        # The published weights expect 8-bit values as (x - 127) / 128.
        grey = ((images + 1) * 127.5 - 127) / 128
        x = jnp.repeat(grey[..., None], 3, axis=-1)
        x = nn.relu6(nn.Conv(STEM_CHANNELS, (3, 3), strides=(2, 2), padding="SAME", name="stem")(x))
        texture, block = [], 0
        for number, stage in enumerate(STAGES):
            for repeat in range(stage.repeats):
                x = InvertedResidual(
                    stage.kernel,
                    stage.stride if repeat == 0 else 1,
                    stage.expansion,
                    stage.channels,
                    name=f"block_{block}",
                )(x)
                block += 1
            if number in TEXTURE_STAGES:
                texture.append(x.mean((1, 2)))
        x = nn.relu6(nn.Dense(HEAD_CHANNELS, name="head")(x))
        return {"texture": jnp.concatenate(texture, -1), "semantic": x.mean((1, 2))}
