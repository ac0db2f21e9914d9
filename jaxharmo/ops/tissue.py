"""Tissue of a chest slice: body, lungs and soft tissue as masks, by thresholds and shape."""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from skimage import measure, segmentation

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
