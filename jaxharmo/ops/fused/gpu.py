"""The kernel for GPUs from Hopper on, by Mosaic GPU: TMA loads, weights in registers, wgmma.

A block of threads holds a square block of one offset's matrix in registers and goes through its
share of the pixels; the shares are summed outside, so the result does not depend on timing.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, Float

from jaxharmo.ops.binning import Binning
from jaxharmo.ops.fused.weights import weigh

PIXELS = 128
"""Pairs multiplied at a time."""
SPLITS = 8
"""Shares of the pixels: with 16 offsets of 256 levels, 512 blocks of threads."""
# JAX 0.10.1 calls types shapes.
_ARGUMENTS = (
    ("out_type", "scratch_types")
    if "out_type" in inspect.signature(plgpu.kernel).parameters
    else ("out_shape", "scratch_shapes")
)


def counts(
    first: Float[Array, "2 n"],
    second: Float[Array, "o 2 n"],
    levels: Float[Array, "l"],
    binning: Binning,
    level_block: int,
    interpret: Any = None,
) -> Float[Array, "o l l"]:
    """Counts of all offsets; n is a multiple of ``PIXELS * SPLITS``, l of ``level_block``.

    Rows of ``first`` and ``second`` are coordinates and factors. ``interpret`` as in ``plgpu``.
    """
    offsets, rounds = second.shape[0], second.shape[-1] // (PIXELS * SPLITS)
    blocks = levels.shape[0] // level_block
    block = (level_block, level_block)

    def kernel(
        first,
        second,
        levels,
        out,
        u,
        factor,
        v,
        other_factor,
        rows,
        columns,
        a,
        b,
        result,
        *barriers,
    ):
        offset, i, j, split = (lax.axis_index(name) for name in ("offset", "i", "j", "split"))

        levels_loaded, pixels_loaded = barriers

        def load(barrier, *copies):
            for source, target in copies:
                plgpu.copy_gmem_to_smem(source, target, barrier)
            plgpu.barrier_wait(barrier)

        in_block = lambda number: pl.ds(number * level_block, level_block)  # noqa: E731
        load(
            levels_loaded,
            (levels.at[in_block(i)], rows),
            (levels.at[in_block(j)], columns),
        )

        def accumulate(total):
            @pl.loop(0, rounds)
            def _(number):
                at = pl.ds((split * rounds + number) * PIXELS, PIXELS)
                load(
                    pixels_loaded,
                    (first.at[0, at], u),
                    (first.at[1, at], factor),
                    (second.at[offset, 0, at], v),
                    (second.at[offset, 1, at], other_factor),
                )
                a[...] = _weights(u, factor, rows, (level_block, PIXELS), 1, binning)
                b[...] = _weights(v, other_factor, columns, (PIXELS, level_block), 0, binning)
                plgpu.commit_smem()
                plgpu.wgmma(total, a, b)
                plgpu.wgmma_wait(0)

            return total[...]

        registers = plgpu.ACC(block, jnp.float32)  # pyright: ignore[reportPrivateImportUsage]
        result[...] = pl.run_scoped(accumulate, registers)
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(result, out.at[offset, split, in_block(i), in_block(j)])
        plgpu.wait_smem_to_gmem(0)

    operand = (plgpu.TilingTransform((8, 64)), plgpu.SwizzleTransform(128))
    pixels, some_levels = (
        plgpu.SMEM((PIXELS,), jnp.float32),
        plgpu.SMEM((level_block,), jnp.float32),
    )
    out = jax.ShapeDtypeStruct((offsets, SPLITS, *levels.shape * 2), jnp.float32)
    scratch = [
        *(pixels,) * 4,
        *(some_levels,) * 2,
        plgpu.SMEM((level_block, PIXELS), jnp.bfloat16, transforms=operand),
        plgpu.SMEM((PIXELS, level_block), jnp.bfloat16, transforms=operand),
        plgpu.SMEM(block, jnp.float32),
        plgpu.Barrier(num_arrivals=2),
        plgpu.Barrier(num_arrivals=4),
    ]
    arguments: dict[str, Any] = dict(zip(_ARGUMENTS, (out, scratch), strict=True))
    shares = plgpu.kernel(
        kernel,
        grid=(offsets, blocks, blocks, SPLITS),
        grid_names=("offset", "i", "j", "split"),
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        interpret=interpret,
        **arguments,
    )(first, second, levels)
    return shares.sum(1)


def _weights(
    coordinate: Any, factor: Any, level: Any, shape: tuple[int, int], along: int, binning: Binning
) -> Array:
    """Weights of pixels along one axis on levels along the other."""
    pixel = lambda ref: lax.broadcast_in_dim(ref[...], shape, (along,))  # noqa: E731
    distance = pixel(coordinate) - lax.broadcast_in_dim(level[...], shape, (1 - along,))
    return (weigh(distance, binning) * pixel(factor)).astype(jnp.bfloat16)
