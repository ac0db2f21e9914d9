"""Smoothing by small kernels."""

from functools import partial, reduce
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

ALONG_BOTH = (1, 2)


# A step blurs many images of one shape; a function of its own is traced once.
@partial(jax.jit, static_argnames=("dilation", "axes"))
def binomial_blur(
    image: Float[Array, "b h w c"], dilation: int = 1, axes: tuple[int, ...] = ALONG_BOTH
) -> Float[Array, "b h w c"]:
    """Weights 1, 2, 1 along rows and columns, or one of them (``axes`` 2 and 1), edges repeated.

    The weights are ``dilation`` pixels apart.
    """
    blurred: Array = _blur(image, dilation, axes)
    return blurred


def wide_blur(image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """A blur of about 3 pixels, by which tissues are told apart."""
    return reduce(binomial_blur, (1, 2, 4), image)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _blur(
    image: Float[Array, "b h w c"], dilation: int, axes: tuple[int, ...]
) -> Float[Array, "b h w c"]:
    margin = [(dilation, dilation) if axis in axes else (0, 0) for axis in range(image.ndim)]
    blurred = jnp.pad(image, margin, mode="edge")
    for axis in axes:
        blurred = _spread(blurred, axis, dilation)
    return blurred


def _spread(x: Float[Array, "b h w c"], axis: int, dilation: int) -> Float[Array, "b i j c"]:
    """Along an axis, shorter by twice the dilation."""
    parts = (slice(-2 * dilation), slice(dilation, -dilation), slice(2 * dilation, None))
    before, middle, behind = (x[(slice(None),) * axis + (part,)] for part in parts)
    return (before + 2 * middle + behind) / 4


def _adjoint(x: Float[Array, "b h w c"], axis: int, dilation: int) -> Float[Array, "b h w c"]:
    """Of edge padding and ``_spread``: the padding's part falls back on the edges."""
    length = x.shape[axis]
    margin = [(0, 0)] * x.ndim
    margin[axis] = (2 * dilation, 2 * dilation)
    spread = _spread(jnp.pad(x, margin), axis, dilation)

    def part(start: int, stop: int) -> Array:
        return lax.slice_in_dim(spread, start, stop, axis=axis)

    def at(edge: Array, before: int) -> Array:
        margin[axis] = (before, length - 1 - before)
        return jnp.pad(edge.sum(axis, keepdims=True), margin)

    low, high = part(0, dilation), part(length + dilation, length + 2 * dilation)
    return part(dilation, length + dilation) + at(low, 0) + at(high, length - 1)


def _forward(image: Array, dilation: int, axes: tuple[int, ...]) -> tuple[Array, None]:
    return _blur(image, dilation, axes), None


def _backward(dilation: int, axes: tuple[int, ...], _: None, cotangent: Array) -> tuple[Array]:
    # What XLA derives from the padding and the slices takes ten times as long on a CPU.
    for axis in reversed(axes):
        cotangent = _adjoint(cotangent, axis, dilation)
    return (cotangent,)


_blur.defvjp(_forward, _backward)


Outside = Literal["mirrored", "left out"]
"""What lies beyond the border for a filter: the image in a mirror, or nothing, in which case the
weights inside sum to 1."""
_REACH = 4.0
"""Where a Gaussian ends, in its widths, as in SciPy."""


@partial(jax.jit, static_argnames=("width", "outside"))
def gaussian_blur(
    image: Float[Array, "h w"], width: float, outside: Outside = "mirrored"
) -> Float[Array, "h w"]:
    """Gaussian of a standard deviation of ``width`` pixels, cut off at 4 of them.

    That of ``scipy.ndimage.gaussian_filter``; with ``left out``, that of scikit-image's Canny.
    """
    half = np.exp(-0.5 * (np.arange(int(_REACH * width + 0.5) + 1) / width) ** 2)
    weights = half / (2 * half.sum() - half[0])
    for axis in range(image.ndim):
        image = _correlated(image, weights, axis, outside)
    return image


def _correlated(
    image: Float[Array, "h w"], weights: Float[np.ndarray, "k"], axis: int, outside: Outside
) -> Float[Array, "h w"]:
    """Sum of shifted images along an axis; ``weights`` from the middle outwards."""
    length, reach = image.shape[axis], len(weights) - 1
    margin = [(0, 0)] * image.ndim
    margin[axis] = (reach, reach)
    mode = "symmetric" if outside == "mirrored" else "constant"
    # The barriers keep one pass from computing the other anew for each of its weights.
    padded = lax.optimization_barrier(jnp.pad(image, margin, mode=mode))

    def moved(step: int) -> Array:
        return lax.slice_in_dim(padded, reach + step, reach + step + length, axis=axis)

    middle, *others = weights.tolist()
    total = middle * moved(0)
    for step, weight in enumerate(others, 1):
        total += weight * (moved(-step) + moved(step))
    if outside == "left out":
        both = np.concatenate([weights[:0:-1], weights])
        inside = np.convolve(np.ones(length), both)[reach : reach + length]
        total /= jnp.asarray(np.expand_dims(inside, 1 - axis), image.dtype)
    return lax.optimization_barrier(total)
