"""Soft co-occurrence counts in one Pallas kernel: weights are made where they are multiplied.

The dense product needs the weight of every pixel on every level in memory; here a kernel reads the
intensities of a block of pairs, makes both blocks of weights on the chip, and multiplies them on
the matrix unit. Weights are rounded to bfloat16, their products summed in float32.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxharmo.ops.binning import Binning
from jaxharmo.ops.fused import gpu, tpu
from jaxharmo.ops.fused.weights import weigh

Counts = Float[Array, "o l l"]
FAR = 1e9
"""A level on which no pixel has a weight."""


class Pixels(NamedTuple):
    """Level coordinates, and factors of their weights: 0 where there is no pixel."""

    coordinate: Float[Array, "..."]
    factor: Float[Array, "..."]


def fused_counts(first: Pixels, second: Pixels, binning: Binning) -> Counts:
    """``Σ_p w_i(first_p) w_j(second_{o,p})`` for flat (n) and (o, n) pixels.

    A Mosaic kernel on CUDA devices, which must be Hopper or newer, and on TPUs; the plain product
    elsewhere. The counts are float32, whatever is given.
    """
    first, second = (Pixels(*(x.astype(jnp.float32) for x in pair)) for pair in (first, second))
    levels = jnp.arange(binning.levels, dtype=jnp.float32)
    pairs, level_block = jnp.stack(first), 64 if binning.levels <= 64 else 128
    others = jnp.stack(second, axis=1)
    pad = lambda x, block, value: jnp.pad(  # noqa: E731
        x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % block)], constant_values=value
    )
    padded = (
        pad(pairs, gpu.PIXELS * gpu.SPLITS, 0.0),
        pad(others, gpu.PIXELS * gpu.SPLITS, 0.0),
        pad(levels, level_block, FAR),
    )
    counts = lax.platform_dependent(
        *padded,
        cuda=partial(gpu.counts, binning=binning, level_block=level_block),
        tpu=partial(tpu.counts, binning=binning),
        default=partial(product, binning=binning),
    )
    return counts[:, : binning.levels, : binning.levels]


def product(
    first: Float[Array, "2 n"],
    second: Float[Array, "o 2 n"],
    levels: Float[Array, "l"],
    binning: Binning,
) -> Counts:
    """What the kernels compute, in float32 throughout."""

    def weights(pixels: Float[Array, "2 n"]) -> Float[Array, "l n"]:
        return weigh(pixels[0] - levels[:, None], binning) * pixels[1]

    own = weights(first)
    count = lambda other: jnp.matmul(own, weights(other).T, precision=lax.Precision.HIGHEST)  # noqa: E731
    return lax.map(count, second)
