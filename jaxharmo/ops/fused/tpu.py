"""The kernel for TPUs, by Pallas: a matrix stays in VMEM while the pixels stream past it."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from jaxharmo.ops.binning import Binning
from jaxharmo.ops.fused.weights import weigh

PIXELS = 512
"""Pairs multiplied at a time."""


def counts(
    first: Float[Array, "2 n"],
    second: Float[Array, "o 2 n"],
    levels: Float[Array, "l"],
    binning: Binning,
    interpret: Any = False,
) -> Float[Array, "o l l"]:
    """Counts of all offsets; n is a multiple of ``PIXELS``.

    Rows of ``first`` and ``second`` are coordinates and factors. ``interpret`` as in ``pl``.
    """
    offsets, size = second.shape[0], levels.shape[0]

    def kernel(first, second, levels, out):
        @pl.when(pl.program_id(1) == 0)
        def _():
            out[...] = jnp.zeros_like(out)

        a = weigh(first[0:1, :] - levels[...], binning) * first[1:2, :]
        b = weigh(second[0, 0:1, :] - levels[...], binning) * second[0, 1:2, :]
        out[0] += lax.dot_general(
            a.astype(jnp.bfloat16),
            b.astype(jnp.bfloat16),
            (((1,), (1,)), ((), ())),
            preferred_element_type=jnp.float32,
        )

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((offsets, size, size), jnp.float32),
        grid=(offsets, first.shape[-1] // PIXELS),
        in_specs=[
            pl.BlockSpec((2, PIXELS), lambda offset, block: (0, block)),
            pl.BlockSpec((1, 2, PIXELS), lambda offset, block: (offset, 0, block)),
            pl.BlockSpec((size, 1), lambda offset, block: (0, 0)),
        ],
        out_specs=pl.BlockSpec((1, size, size), lambda offset, block: (offset, 0, 0)),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        interpret=interpret,
    )(first, second, levels[:, None])
