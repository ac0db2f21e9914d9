"""Is the anatomy still there: tissue masks, their overlap, edges, and shifts of mean HU."""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from skimage import feature, measure, segmentation

Mask: TypeAlias = Bool[np.ndarray, "h w"]
Image: TypeAlias = Float[np.ndarray, "h w"]

AIR_BELOW = -320.0
"""HU between lung and soft tissue."""
SOFT_TISSUE = (-150.0, 150.0)
"""HU range of soft tissue, fat included."""
MIN_LUNG = 0.02
"""Smallest share of the body that counts as lung; less is bowel gas or airway."""
SECOND_LUNG = 0.1
"""Smallest size of the second lung, as a share of the first."""

EDGE_SCALE = 2.0
"""Width of the Gaussian before edges are sought, pixels; noise of sharp kernels is below it."""
EDGE_SLOPES = (18.0, 36.0)
"""Hysteresis thresholds, HU per pixel."""

_COUCH = 3
_VESSEL = 4
_BORDER = 3
"""Radii in pixels: half the thickness of the couch, of vessels in the lung, of its border."""


class Tissue(NamedTuple):
    """Masks of one slice; ``lung`` is empty where the slice shows none."""

    body: Mask
    lung: Mask
    core: Mask
    """Lung at a distance from its border, where every kernel spreads the chest wall differently."""
    soft: Mask


def segment(hu: Image) -> Tissue:
    """Body, lungs and soft tissue by thresholds (HU), components and hole filling.

    Thresholds apply to the slice smoothed by one pixel: the noise of a sharp kernel must not decide
    what is lung.
    """
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), 1.0)
    # Opening cuts the couch off; it is thin where it touches the patient.
    solid = _near(~_near(smooth <= AIR_BELOW, _COUCH), _COUCH)
    body = _filled(_largest(solid, 1))
    air = segmentation.clear_border(smooth < AIR_BELOW) & body
    lung = _filled(~_near(~_near(_largest(air, 2), _VESSEL), _VESSEL) & body)
    if lung.sum() < MIN_LUNG * body.sum():
        lung = np.zeros_like(body)
    low, high = SOFT_TISSUE
    core = lung & ~_near(~lung, _BORDER)
    return Tissue(body, lung, core, body & ~lung & (smooth >= low) & (smooth <= high))


def _near(mask: Mask, radius: float) -> Mask:
    """Dilation by a disk of ``radius`` pixels."""
    # Without a pixel to measure from, distances have no meaning.
    return np.asarray(ndimage.distance_transform_edt(~mask)) <= radius if mask.any() else mask


def _filled(mask: Mask) -> Mask:
    return np.asarray(ndimage.binary_fill_holes(mask))


def _largest(mask: Mask, count: int) -> Mask:
    """The largest components, at most ``count``, leaving out those far smaller than the first."""
    labels = np.asarray(measure.label(mask))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    order = np.argsort(sizes)[::-1][:count]
    kept = [
        label for label in order if sizes[label] > 0 and sizes[label] >= SECOND_LUNG * sizes.max()
    ]
    return np.isin(labels, kept)


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
