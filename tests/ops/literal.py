"""The formulas of soft-binned GLCMs written out, in the dtype of what they are given."""

import jax.numpy as jnp
import numpy as np

from jaxharmo.ops.binning import Binning


def gaussian(sigma, normalised=True, levels=32):
    return Binning(
        kind="gaussian",
        levels=levels,
        value_range=(-1.0, 1.0),
        sigma=sigma,
        normalised=normalised,
    )


LINEAR = Binning(kind="linear", levels=32, value_range=(-1.0, 1.0), sigma=1.0, normalised=True)
CASES = [
    LINEAR,
    *(gaussian(sigma, n) for sigma, n in ((0.5, True), (1, False), (4, True), (16, False))),
]


def name_of(binning):
    normalised = "normalised" if binning.normalised else "plain"
    return f"{binning.kind}-{binning.sigma:g}-{normalised}"


def literal_weights(image, binning):
    """(h w) in the range -> (h w l); NumPy or JAX."""
    low, high = binning.value_range
    u = (image - low) / (high - low) * (binning.levels - 1)
    distance = u[..., None] - np.arange(binning.levels)
    if binning.kind == "linear":
        return (1 - abs(distance)).clip(0)
    exponent = -0.5 * (distance / binning.sigma) ** 2
    weights = (np if isinstance(image, np.ndarray) else jnp).exp(exponent)
    return weights / weights.sum(-1, keepdims=True) if binning.normalised else weights


def literal_matrix(image, binning, offset, mask=None):
    """Symmetric GLCM with sum 1: the sum over all pairs, one product a pair."""
    weights = literal_weights(image, binning)
    if mask is not None:
        weights = weights * mask[..., None]
    height, width = image.shape
    rows, columns = np.mgrid[:height, :width]
    second_row, second_column = rows + offset[0], columns + offset[1]
    inside = (second_row >= 0) & (second_row < height) & (second_column >= 0)
    inside &= second_column < width
    first = weights[rows[inside], columns[inside]]
    second = weights[second_row[inside], second_column[inside]]
    counts = first.T @ second
    counts = counts + counts.T
    return counts / counts.sum()
