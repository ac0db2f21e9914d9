"""``jaxharmo profile glcm``: time, memory and counted floor of the GLCM texture loss."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxharmo.config import TextureConfig
from jaxharmo.losses.texture import texture_grids, texture_loss
from jaxharmo.ops.cumulants import count_operations
from jaxharmo.ops.matrices import Method, choose_method, low_rank_basis
from jaxharmo.ops.pairs import PAIR_FEATURES
from jaxharmo.profiling.timing import measure_device, time_in_a_loop

_PAIR_FLOPS = 10
"""Operations on a pair of pixels for a moment of the sum or the difference of their levels."""
_FEATURE_FLOPS = 6
"""Operations on a cell of a matrix for a feature of it."""


def profile_glcm(
    texture: TextureConfig,
    *,
    size: int,
    batch: int,
    repeats: int,
    dtype: Literal["float32", "bfloat16"] = "float32",
    compare: bool = False,
    trace: Path | None = None,
) -> dict:
    """Profile the features alone, and value and gradient of the loss against fixed real images.

    Images are uniform noise in the GLCM's range, (batch, size, size, 1). Calls are timed in a loop
    on the device, so the dispatch of a call does not count. ``flops`` and ``bytes`` are closed
    forms of one step (features of the fake, and their gradient at twice the cost; the fake and the
    real grid read, the gradient written); ``floor_seconds`` is what the device's measured rates
    make of them (the rate of matrix products, which single operations do not reach), and
    ``floor_fraction`` the share of the step that it is. With ``compare``, ``seconds_step_matrix``
    and ``seconds_step_dense`` time the same loss from the matrices, in their cheapest form and as
    products of all weights, each from one call. ``trace`` is a folder for a profiler trace.
    """
    low, high = texture.glcm.value_range
    first, second = (
        jax.random.uniform(jax.random.key(seed), (batch, size, size, 1), minval=low, maxval=high)
        for seed in range(2)
    )
    fake, real = first.astype(dtype), texture_grids(second.astype(dtype), texture)
    step = _Step(texture, real)
    compiled = jax.jit(step.gradient).lower(fake).compile()
    with jax.profiler.trace(str(trace)) if trace else contextlib.nullcontext():
        jax.block_until_ready(compiled(fake))
    forward_time = time_in_a_loop(step.features, fake, repeats=repeats)
    step_time = time_in_a_loop(step.descent, fake, repeats=repeats)
    device = measure_device()
    flops = 3 * batch * forward_flops(texture, min(size, texture.crop))
    moved = 2 * fake.nbytes
    memory = compiled.memory_analysis()
    floor = device.floor(flops, moved)
    figures = {
        "device": device.name,
        "jax": jax.__version__,
        "size": size,
        "batch": batch,
        "dtype": dtype,
        "levels": texture.glcm.levels,
        "binning": texture.glcm.binning,
        "sigma_bins": texture.glcm.soft_binning.sigma,
        "method": texture.glcm.method,
        "features": list(texture.features),
        "offsets": len(texture.glcm.offsets),
        "seconds_forward": forward_time.median,
        "seconds_forward_spread": [forward_time.minimum, forward_time.maximum],
        "seconds_step": step_time.median,
        "seconds_step_spread": [step_time.minimum, step_time.maximum],
        "temporary_bytes": memory.temp_size_in_bytes if memory else None,
        "flops": flops,
        "bytes": moved,
        "copy_bytes_per_second": device.bytes_per_second,
        "matmul_flops_per_second": device.flops_per_second,
        "floor_seconds": floor,
        "floor_fraction": floor / step_time.median,
    }
    if compare:
        for name, method in (("matrix", _matrix_method(texture)), ("dense", "product")):
            glcm = dataclasses.replace(texture.glcm, method=method)
            other = _Step(dataclasses.replace(texture, glcm=glcm), real)
            seconds = time_in_a_loop(other.descent, fake, repeats=1, rounds=1).median
            figures[f"seconds_step_{name}"] = seconds
            figures[f"ratio_{name}"] = seconds / step_time.median
    return figures


@dataclasses.dataclass(frozen=True)
class _Step:
    """What is timed, as functions from images to images that a loop can repeat."""

    texture: TextureConfig
    real: dict[str, Array]

    def loss(self, fake: Array) -> Array:
        grids = texture_grids(fake, self.texture)
        return texture_loss(grids, self.real, self.texture, lambda grid: grid)[0]

    def gradient(self, fake: Array) -> tuple[Array, Array]:
        return jax.value_and_grad(self.loss)(fake)

    def descent(self, fake: Array) -> Array:
        value, gradient = self.gradient(fake)
        return fake - (1e-6 * gradient + 1e-30 * value).astype(fake.dtype)

    def features(self, fake: Array) -> Array:
        grids = texture_grids(fake, self.texture)
        total = jnp.stack([grid.sum() for grid in grids.values()]).sum()
        return fake + (1e-30 * total).astype(fake.dtype)


def _matrix_method(texture: TextureConfig) -> Method:
    return choose_method(texture.glcm.soft_binning, jnp.dtype("float32"))


def forward_flops(texture: TextureConfig, side: int) -> int:
    """Of all features of one image at all offsets."""
    glcm, pixels, levels = texture.glcm, side**2, texture.glcm.levels
    offsets, binning = len(glcm.offsets), glcm.soft_binning
    by_pairs = [f for f in texture.features if glcm.method == "auto" and f in PAIR_FEATURES]
    by_matrix = [f for f in texture.features if f not in by_pairs]
    flops = 0
    if by_pairs:
        terms = {term for name in by_pairs for term in PAIR_FEATURES[name].needs}
        flops += pixels * (count_operations(binning) + offsets * len(terms) * _PAIR_FLOPS)
    if by_matrix:
        method = _matrix_method(texture) if glcm.method == "auto" else glcm.method
        rank = len(low_rank_basis(binning, "float32")) if method == "low_rank" else levels
        flops += (
            offsets
            * {
                # Four cells a pair, each a product and a sum.
                "scatter": 8 * pixels,
                "low_rank": 2 * (rank**2 * pixels + levels * rank**2 + levels**2 * rank),
                "product": 2 * levels**2 * pixels,
                "pallas": 2 * levels**2 * pixels,
            }[method]
        )
        flops += offsets * len(by_matrix) * _FEATURE_FLOPS * levels**2
    return flops
