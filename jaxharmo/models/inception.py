"""Inception v3 as the FID uses it: TensorFlow's network of 2015-12-05.

Szegedy et al. 2016 (arXiv 1512.00567) without the auxiliary head. Two things differ from the
network of the paper: averages leave the padding out, and the last block pools by the maximum.
Inference only: each batch normalisation is folded into its convolution
(``evaluation.weights.inception``), and modules bear the names of the published weights.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SIDE = 299
"""Side of the images that the weights were trained on, pixels."""
WIDTHS = {"64": 64, "192": 192, "768": 768, "2048": 2048}
"""Taps and their lengths: after the first and second pooling, the 17×17 blocks, and all blocks."""

Maps = Float[Array, "b h w c"]
Pool = Callable[[Maps], Maps]


def _unit(
    channels: int,
    kernel: int | tuple[int, int],
    name: str,
    stride: int = 1,
    padding: str = "SAME",
) -> Callable[[Maps], Maps]:
    shape = (kernel, kernel) if isinstance(kernel, int) else kernel
    convolution = nn.Conv(
        channels,
        shape,
        (stride, stride),
        padding,
        # FID compares covariances: full precision also on TPUs.
        precision=jax.lax.Precision.HIGHEST,
        name=name,
    )
    return lambda x: nn.relu(convolution(x))


def _average(x: Maps) -> Maps:
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def _maximum(x: Maps) -> Maps:
    return nn.max_pool(x, (3, 3), (1, 1), "SAME")


def _halved(x: Maps) -> Maps:
    return nn.max_pool(x, (3, 3), (2, 2), "VALID")


class _Chain(nn.Module):
    """Branches of units in a row, each given as (name, channels, kernel)."""

    def branch(self, x: Maps, *units: tuple[str, int, int | tuple[int, int]]) -> Maps:
        for name, channels, kernel in units:
            x = _unit(channels, kernel, name)(x)
        return x

    def reduced(self, x: Maps, name: str, channels: int) -> Maps:
        return _unit(channels, 3, name, stride=2, padding="VALID")(x)


class Block35(_Chain):
    """35×35 maps: 1×1, 5×5, twice 3×3 and pooling."""

    pooled: int

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        parts = [
            self.branch(x, ("branch1x1", 64, 1)),
            self.branch(x, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
            self.branch(
                x, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)
            ),
            self.branch(_average(x), ("branch_pool", self.pooled, 1)),
        ]
        return jnp.concatenate(parts, -1)


class Reduction17(_Chain):
    """35×35 to 17×17 maps."""

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        double = self.branch(x, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
        parts = [
            self.reduced(x, "branch3x3", 384),
            self.reduced(double, "branch3x3dbl_3", 96),
            _halved(x),
        ]
        return jnp.concatenate(parts, -1)


class Block17(_Chain):
    """17×17 maps: 1×1, factorised 7×7 once and twice, and pooling."""

    width: int

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        width, row, column = self.width, (1, 7), (7, 1)
        parts = [
            self.branch(x, ("branch1x1", 192, 1)),
            self.branch(
                x,
                ("branch7x7_1", width, 1),
                ("branch7x7_2", width, row),
                ("branch7x7_3", 192, column),
            ),
            self.branch(
                x,
                ("branch7x7dbl_1", width, 1),
                ("branch7x7dbl_2", width, column),
                ("branch7x7dbl_3", width, row),
                ("branch7x7dbl_4", width, column),
                ("branch7x7dbl_5", 192, row),
            ),
            self.branch(_average(x), ("branch_pool", 192, 1)),
        ]
        return jnp.concatenate(parts, -1)


class Reduction8(_Chain):
    """17×17 to 8×8 maps."""

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        single = self.branch(x, ("branch3x3_1", 192, 1))
        factorised = self.branch(
            x,
            ("branch7x7x3_1", 192, 1),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
        )
        parts = [
            self.reduced(single, "branch3x3_2", 320),
            self.reduced(factorised, "branch7x7x3_4", 192),
            _halved(x),
        ]
        return jnp.concatenate(parts, -1)


class Block8(_Chain):
    """8×8 maps: 1×1, 3×3 spread over a row and a column once and twice, and pooling."""

    pool: Pool

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        single = self.branch(x, ("branch3x3_1", 384, 1))
        double = self.branch(x, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
        parts = [
            self.branch(x, ("branch1x1", 320, 1)),
            self.branch(single, ("branch3x3_2a", 384, (1, 3))),
            self.branch(single, ("branch3x3_2b", 384, (3, 1))),
            self.branch(double, ("branch3x3dbl_3a", 384, (1, 3))),
            self.branch(double, ("branch3x3dbl_3b", 384, (3, 1))),
            self.branch(self.pool(x), ("branch_pool", 192, 1)),
        ]
        return jnp.concatenate(parts, -1)


class Inception(nn.Module):
    """Grey images of 299×299 pixels in about [-1, 1] to the global averages at the four taps."""

    @nn.compact
    def __call__(self, images: Float[Array, "b h w"]) -> dict[str, Float[Array, "b d"]]:
        x = jnp.repeat(images[..., None], 3, axis=-1)
        x = _unit(32, 3, "Conv2d_1a_3x3", stride=2, padding="VALID")(x)
        x = _unit(32, 3, "Conv2d_2a_3x3", padding="VALID")(x)
        x = _unit(64, 3, "Conv2d_2b_3x3")(x)
        first = x = _halved(x)
        x = _unit(80, 1, "Conv2d_3b_1x1")(x)
        x = _unit(192, 3, "Conv2d_4a_3x3", padding="VALID")(x)
        second = x = _halved(x)
        for letter, pooled in zip("bcd", (32, 64, 64), strict=True):
            x = Block35(pooled, name=f"Mixed_5{letter}")(x)
        x = Reduction17(name="Mixed_6a")(x)
        for letter, width in zip("bcde", (128, 160, 160, 192), strict=True):
            x = Block17(width, name=f"Mixed_6{letter}")(x)
        third = x
        x = Reduction8(name="Mixed_7a")(x)
        x = Block8(_average, name="Mixed_7b")(x)
        x = Block8(_maximum, name="Mixed_7c")(x)
        return {
            tap: maps.mean((1, 2))
            for tap, maps in zip(WIDTHS, (first, second, third, x), strict=True)
        }
