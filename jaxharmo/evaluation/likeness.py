"""How alike two slices are, pixel by pixel: one compiled call in float64 for all measures."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxharmo.evaluation.exact import in_float64

Hu = Float[Array, "h w"]
Region = Bool[Array, "h w"]
Value = Float[Array, ""]

_LOCAL = 7
"""Side of the window of the structural similarity, pixels."""


def mean_shift(source: Hu, other: Hu, region: Region) -> Value:
    """Mean of ``other`` - ``source`` in a region, HU; NaN where the region is empty."""
    return _mean(other - source, region)


def root_mean_square_error(truth: Hu, other: Hu, region: Region) -> Value:
    """Of ``other`` against ``truth`` in a region, HU; NaN where the region is empty."""
    return jnp.sqrt(_mean((other - truth) ** 2, region))


def edge_preservation_index(source: Hu, other: Hu, region: Region) -> Value:
    """Correlation of the Laplacians of two slices in a region (Sattar et al. 1997).

    1 for the same edges; NaN where the region is empty or a slice flat in it.
    """
    centred = []
    for hu in (source, other):
        laplacian = _laplacian(hu)
        centred.append(jnp.where(region, laplacian - _mean(laplacian, region), 0))
    first, second = centred
    size = jnp.sqrt(jnp.sum(first**2) * jnp.sum(second**2))
    return jnp.where(size > 0, jnp.sum(first * second) / size, jnp.nan)


def similarity(first: Hu, second: Hu, span: Value | float) -> Value:
    """Structural similarity (Wang et al. 2004) of two slices whose values span ``span`` HU at most.

    The mean over the pixels at least 3 from the border of
    (2 m_a m_b + C_1) (2 s_ab + C_2) / ((m_a² + m_b² + C_1) (v_a + v_b + C_2)) with means, unbiased
    variances and covariance over 7 × 7 pixels, C_i = (K_i span)², K = 0.01 and 0.03.
    """
    low, high = ((k * span) ** 2 for k in (0.01, 0.03))
    # In one piece: XLA would compute four apart ten times as slowly on a CPU.
    needed = jnp.stack([first, second, first * second, first**2 + second**2])
    mean_a, mean_b, product, squares = _local_mean(needed)
    both, power = mean_a * mean_b, mean_a**2 + mean_b**2
    unbiased = _LOCAL**2 / (_LOCAL**2 - 1)
    shared, variances = unbiased * (product - both), unbiased * (squares - power)
    return jnp.mean((2 * both + low) * (2 * shared + high) / ((power + low) * (variances + high)))


def _mean(values: Float[Array, "h w"], region: Region) -> Value:
    return jnp.sum(jnp.where(region, values, 0)) / jnp.sum(region)


def _laplacian(hu: Hu) -> Float[Array, "h w"]:
    """Of five points, edges repeated."""
    padded = jnp.pad(hu, 1, mode="edge")
    around = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
    return around - 4 * hu


def _local_mean(images: Float[Array, "n h w"]) -> Float[Array, "n i j"]:
    """Over all windows that lie inside."""
    images = lax.optimization_barrier(images)
    for axis in (1, 2):
        count = images.shape[axis] - _LOCAL + 1
        first, *others = (lax.slice_in_dim(images, k, k + count, axis=axis) for k in range(_LOCAL))
        # The barriers keep each pass from computing the one before anew for each of its sums.
        images = lax.optimization_barrier(sum(others, first))
    return images / _LOCAL**2


@in_float64
def likeness(
    source: Hu, other: Hu, span: Value, body: Region, core: Region, soft: Region, air: Region
) -> dict[str, Value]:
    """What ``compare_anatomy`` says of pixels; regions are the source's."""
    return {
        "edge_preservation": edge_preservation_index(source, other, body),
        "ssim": similarity(source, other, span),
        "shift_hu_lung": mean_shift(source, other, core),
        "shift_hu_soft_tissue": mean_shift(source, other, soft),
        "shift_hu_air": mean_shift(source, other, air),
    }


@in_float64
def errors(truth: Hu, other: Hu, span: Value, lung: Region) -> dict[str, Value]:
    """Of a slice against the paired real one: in all of it and in the lung, HU; ``ssim_truth``."""
    return {
        "rmse_hu": root_mean_square_error(truth, other, jnp.ones_like(lung)),
        "rmse_lung_hu": root_mean_square_error(truth, other, lung),
        "ssim_truth": similarity(truth, other, span),
    }
