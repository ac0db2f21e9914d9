"""Tissue of a chest slice: body, lungs and soft tissue as masks, by thresholds and shape."""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int32
from scipy import ndimage

Mask: TypeAlias = Bool[np.ndarray, "h w"]
Image: TypeAlias = Float[np.ndarray, "h w"]

TISSUE_RANGES = (
    (-1020.0, -1005.0, -980.0, -930.0),
    (-20.0, 30.0, 60.0, 110.0),
    (110.0, 170.0, 400.0, 800.0),
)
"""Air, soft tissue, bone and vessels with contrast agent: HU at which a smoothed level begins to
count as the tissue, counts fully, begins to count less, counts no more.

Not lung, whose level differs from patient to patient by more than scanners do. Not fat: most of it
is a mixture after smoothing, whose mean level hardly moves with a shift."""
TISSUE_LEVELS = tuple((full + end) / 2 for _, full, end, _ in TISSUE_RANGES)
"""The middle of each, HU."""
AIR_BELOW = -320.0
"""HU between lung and soft tissue."""
SOFT_TISSUE = (-150.0, 150.0)
"""HU range of soft tissue, fat included."""
MIN_LUNG = 0.02
"""Smallest share of the body that counts as lung; less is bowel gas or airway."""
SECOND_LUNG = 0.1
"""Smallest size of the second lung, as a share of the first."""

SMOOTH = 1.0
"""Width of the Gaussian before thresholds apply, pixels."""
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


def segment(hu: Image, grid: int | None = None) -> Tissue:
    """Body, lungs and soft tissue by thresholds (HU), components and hole filling.

    Thresholds apply to the slice smoothed by one pixel: the noise of a sharp kernel must not decide
    what is lung. With ``grid``, slices of twice as many pixels a side and more are looked at on a
    coarser grid of about that many: several times faster, borders true to one or two pixels.
    """
    factor = max(1, min(hu.shape) // grid) if grid else 1
    smooth = ndimage.gaussian_filter(_block_means(hu, factor), SMOOTH / factor)
    return Tissue(*(_enlarged(mask, factor, hu.shape) for mask in segment_smooth(smooth, factor)))


def segment_smooth(smooth: Image, factor: int = 1) -> Tissue:
    """``segment`` of a slice that is smoothed by ``SMOOTH`` already, and coarser by ``factor``."""
    couch, vessel, border = _COUCH / factor, _VESSEL / factor, _BORDER / factor
    # Opening cuts the couch off; it is thin where it touches the patient.
    solid = near(~near(smooth <= AIR_BELOW, couch), couch)
    body = _filled(_largest(solid, 1))
    air = _off_border(smooth < AIR_BELOW, diagonal=True) & body
    lung = _filled(~near(~near(_largest(air, 2), vessel), vessel) & body)
    if lung.sum() < MIN_LUNG * body.sum():
        lung = np.zeros_like(body)
    low, high = SOFT_TISSUE
    core = lung & ~near(~lung, border)
    soft = body & ~lung & (smooth >= low) & (smooth <= high)
    return Tissue(body, lung, core, soft)


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Top, left, bottom, right (the last two exclusive); the whole image for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, *mask.shape
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def near(mask: Mask, radius: float) -> Mask:
    """Dilation by a disk: the pixels at most ``radius`` pixels from one of ``mask``."""
    height = len(mask)
    found, wide, half = mask.copy(), mask.copy(), 0
    # A disk is a stack of chords: the mask is widened by the shortest, moved up and down by their
    # distance from the centre, then widened further.
    for row in range(min(int(radius), height - 1), -1, -1):
        chord = int(np.sqrt(radius**2 - row**2))
        for step in range(half + 1, chord + 1):
            wide[:, step:] |= mask[:, :-step]
            wide[:, :-step] |= mask[:, step:]
        half = max(half, chord)
        found[row:] |= wide[: height - row]
        found[: height - row] |= wide[row:]
    return found


def _block_means(hu: Image, factor: int) -> Image:
    """Means of squares of ``factor`` pixels; the last row and column are repeated to fill up."""
    hu = hu.astype(np.float32, copy=False)
    if factor == 1:
        return hu
    height, width = (-length % factor for length in hu.shape)
    if height or width:
        hu = np.pad(hu, ((0, height), (0, width)), mode="edge")
    means = np.zeros_like(hu[::factor, ::factor])
    for row, column in np.ndindex(factor, factor):
        means += hu[row::factor, column::factor]
    return means / np.float32(factor**2)


def _enlarged(mask: Mask, factor: int, shape: tuple[int, ...]) -> Mask:
    if factor == 1:
        return mask
    return mask.repeat(factor, axis=0)[: shape[0]].repeat(factor, axis=1)[:, : shape[1]]


def _filled(mask: Mask) -> Mask:
    """Without holes: no background that is cut off from the border of the image."""
    return mask | _off_border(~mask, diagonal=False)


def _off_border(mask: Mask, *, diagonal: bool) -> Mask:
    """The components that do not touch the border of the image."""
    labels, count = _labelled(mask, diagonal)
    kept = np.ones(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        kept[edge] = False
    kept[0] = False
    return kept[labels]


def _largest(mask: Mask, count: int) -> Mask:
    """The largest components, at most ``count``, leaving out those far smaller than the first."""
    labels, found = _labelled(mask, diagonal=True)
    sizes = np.bincount(labels.ravel(), minlength=found + 1)
    sizes[0] = 0
    order = np.argsort(sizes, stable=True)[::-1][:count]
    kept = np.zeros(found + 1, bool)
    kept[order] = (sizes[order] > 0) & (sizes[order] >= SECOND_LUNG * sizes.max())
    return kept[labels]


def _labelled(mask: Mask, diagonal: bool) -> tuple[Int32[np.ndarray, "h w"], int]:
    labels, count = ndimage.label(mask, np.ones((3, 3)) if diagonal else None)  # pyright: ignore[reportGeneralTypeIssues]
    return labels, count
