"""``jaxharmo profile glcm``: time, memory and counted floor of the GLCM texture loss."""

import math

import jax
from jaxtyping import Array

from jaxharmo.config import TextureConfig
from jaxharmo.losses.texture import texture_grids, texture_loss
from jaxharmo.ops.glcm import PAIR_FEATURES
from jaxharmo.profiling.timing import measure_device, time_calls

_PAIR_FLOPS = 14
"""Operations on a pair of pixels for the expectations of the polynomial features."""


def profile_glcm(texture: TextureConfig, *, size: int, batch: int, repeats: int) -> dict:
    """Profile the features alone, and value and gradient of the loss against fixed real images.

    Images are uniform noise in the GLCM's range, (batch, size, size, 1). ``flops`` and ``bytes``
    are closed forms of one step (features of the fake, and their gradient at twice the cost; the
    fake and the real grid read, the gradient written); ``floor_seconds`` is what the device's
    measured rates make of them.
    """
    low, high = texture.glcm.value_range
    first, second = (
        jax.random.uniform(jax.random.key(seed), (batch, size, size, 1), minval=low, maxval=high)
        for seed in range(2)
    )
    real = texture_grids(second, texture)

    def loss(fake: Array) -> Array:
        return texture_loss(texture_grids(fake, texture), real, texture, lambda grid: grid)[0]

    forward = jax.jit(lambda image: texture_grids(image, texture)).lower(first).compile()
    step = jax.jit(jax.value_and_grad(loss)).lower(first).compile()
    forward_time = time_calls(forward, first, repeats=repeats)
    step_time = time_calls(step, first, repeats=repeats)
    device = measure_device()
    flops = 3 * batch * _forward_flops(texture, min(size, texture.crop))
    moved = 2 * first.nbytes
    memory = step.memory_analysis()
    return {
        "device": device.name,
        "jax": jax.__version__,
        "size": size,
        "batch": batch,
        "levels": texture.glcm.levels,
        "binning": texture.glcm.binning,
        "sigma_bins": texture.glcm.soft_binning.sigma,
        "features": list(texture.features),
        "seconds_forward": forward_time.median,
        "seconds_forward_spread": [forward_time.minimum, forward_time.maximum],
        "seconds_step": step_time.median,
        "seconds_step_spread": [step_time.minimum, step_time.maximum],
        "temporary_bytes": memory.temp_size_in_bytes if memory else None,
        "flops": flops,
        "bytes": moved,
        "floor_seconds": device.floor(flops, moved),
    }


def _forward_flops(texture: TextureConfig, side: int) -> int:
    """Of all features of one image at all offsets."""
    glcm, pixels = texture.glcm, side**2
    offsets = len(glcm.offsets)
    taps = glcm.levels
    if glcm.binning == "gaussian":
        taps = min(glcm.levels, 2 * math.ceil(5.5 * glcm.soft_binning.sigma) + 1)
    flops = 0
    if set(texture.features) & set(PAIR_FEATURES):
        moments = 6 if glcm.binning == "linear" else 12 * taps
        flops += pixels * (moments + offsets * _PAIR_FLOPS)
    if set(texture.features) - set(PAIR_FEATURES):
        # Linear binning adds four products a pair; Gaussian binning is a dense matrix product.
        pair = 8 if glcm.binning == "linear" else 2 * glcm.levels**2
        flops += pixels * offsets * pair
    return flops
