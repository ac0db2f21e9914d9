"""Is the anatomy still there: overlap of tissue masks, edges, and shifts of mean HU."""

import math

import numpy as np
from scipy import ndimage
from skimage import feature

from jaxharmo.ops.tissue import Image, Mask

EDGE_SCALE = 2.0
"""Width of the Gaussian before edges are sought, pixels; noise of sharp kernels is below it."""
EDGE_SLOPES = (18.0, 36.0)
"""Hysteresis thresholds, HU per pixel."""


def dice(a: Mask, b: Mask) -> float:
    """Dice overlap, 2 |a ∩ b| / (|a| + |b|); NaN where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else math.nan


def edge_map(hu: Image, window: tuple[float, float]) -> Mask:
    """Canny edges of a slice clipped to ``window`` (HU)."""
    low, high = window
    span = high - low
    image = (np.clip(hu, low, high).astype(np.float64) - low) / span
    # The Sobel operator inside is not normalised: a slope of 1 per pixel gives 8.
    weak, strong = (8 * slope / span for slope in EDGE_SLOPES)
    return feature.canny(image, EDGE_SCALE, low_threshold=weak, high_threshold=strong)


def edge_agreement(a: Mask, b: Mask) -> float:
    """F measure of two edge maps with a graded tolerance of one pixel.

    An edge pixel that meets one of the other map exactly counts 1, at one pixel's distance 1/2, at
    two or more nothing; precision and recall are the means of these over each map. 1 where both
    maps are empty, 0 where one is.
    """
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    recall, precision = _found(a, b), _found(b, a)
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def _found(edges: Mask, others: Mask) -> float:
    distance = np.asarray(ndimage.distance_transform_edt(~others))[edges]
    return float(np.clip(1 - distance / 2, 0, 1).mean())


def mean_shift(source: Image, other: Image, mask: Mask) -> float:
    """Mean of ``other`` - ``source`` in ``mask``, HU; NaN where the mask is empty."""
    return float((other[mask] - source[mask]).mean(dtype=np.float64)) if mask.any() else math.nan
