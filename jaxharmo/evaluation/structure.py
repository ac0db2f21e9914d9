"""Is the anatomy still there: masks, edges, similarity, and what clinicians read off the lung."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import skimage  # Its parts load on first use.
from jaxtyping import Array, Float
from scipy import ndimage
from scipy.spatial import KDTree

from jaxharmo.evaluation.exact import in_float64
from jaxharmo.evaluation.likeness import likeness
from jaxharmo.ops.blur import gaussian_blur
from jaxharmo.ops.tissue import SMOOTH, Image, Mask, Tissue, bounding_box, near, segment_smooth

EDGE_SCALE = 2.0
"""Width of the Gaussian before edges are sought, pixels; noise of sharp kernels is below it."""
EDGE_SLOPES = (18.0, 36.0)
"""Hysteresis thresholds, HU per pixel."""
EDGE_TOLERANCE = 1.0
"""Pixels within which edges count as the same in ``edge_iou``."""
_PRATT = 1 / 9
"""Weight of the squared distance in Pratt's figure of merit."""
_CHANGE_SCALE = 3.0
"""Width of the Gaussian under which kernels hardly differ, mm; a nodule is no smaller."""
_REACH = 4.0
"""Where that Gaussian ends, in its widths."""
_EMPHYSEMA = -950.0
"""HU below which lung counts as emphysema."""
_AIR = -900.0
"""HU below which what lies outside the body is air, not the couch."""
_AIR_MARGIN = 5
"""Pixels from the body, whose border every kernel spreads."""


def dice(a: Mask, b: Mask) -> float:
    """Dice overlap, 2 |a ∩ b| / (|a| + |b|); NaN where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else math.nan


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union; NaN where both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else math.nan


def hausdorff95(a: Mask, b: Mask, spacing: tuple[float, float]) -> float:
    """95 % Hausdorff distance of the borders of two masks, mm; NaN where one is empty.

    The larger of the 95th percentiles of the distances from either border to the other.
    ``spacing`` is that of rows and columns, mm.
    """
    if not a.any() or not b.any():
        return math.nan
    first, second = _border(a), _border(b)
    if not first.any() or not second.any():
        return 0.0 if (a == b).all() else math.nan
    return max(
        float(np.percentile(_distances(*sides, spacing), 95))
        for sides in ((first, second), (second, first))
    )


def _border(mask: Mask) -> Mask:
    """Pixels with one of four neighbours outside; beyond the image counts as inside."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return mask & ~inner


def _distances(
    start: Mask, goal: Mask, spacing: tuple[float, float] = (1.0, 1.0)
) -> Float[np.ndarray, "n"]:
    """From each pixel of ``start`` to the nearest of ``goal``; masks of lines, neither empty."""
    pixels = np.flatnonzero(start)
    apart = ~goal.ravel()[pixels]
    distances = np.zeros(pixels.size)
    # Few pixels of two versions of a slice lie apart, and only those need a search. A distance
    # transform would process every pixel of the slice.
    if apart.any():
        first, second = (
            np.stack(np.unravel_index(numbers, goal.shape), 1) * spacing
            for numbers in (pixels[apart], np.flatnonzero(goal))
        )
        distances[apart] = KDTree(second, compact_nodes=False, balanced_tree=False).query(first)[0]
    return distances


def edge_map(smooth: Image, window: tuple[float, float]) -> Mask:
    """Canny edges of a slice smoothed by ``EDGE_SCALE``, ``window`` (HU) mapped onto [0, 1]."""
    span = window[1] - window[0]
    # The Sobel operator inside is not normalised: a slope of 1 per pixel gives 8.
    weak, strong = (8 * slope / span for slope in EDGE_SLOPES)
    # Without a width, and with edges repeated, it takes the image as it is.
    edges = skimage.feature.canny(
        smooth, 0, low_threshold=weak, high_threshold=strong, mode="nearest"
    )
    return np.asarray(edges, bool)


class _Smoothed(NamedTuple):
    """A slice under the two Gaussians that masks and edges are found with."""

    tissue: Image
    """HU."""
    edges: Image
    """The window mapped onto [0, 1]."""


@in_float64
def _smoothed(hu: Float[Array, "h w"], low: Float[Array, ""], high: Float[Array, ""]) -> _Smoothed:
    """Of a slice in HU and the ends of the window."""
    inside = (jnp.clip(hu, low, high) - low) / (high - low)
    return _Smoothed(gaussian_blur(hu, SMOOTH), gaussian_blur(inside, EDGE_SCALE, "left out"))


class EdgeScores(NamedTuple):
    """Of the edge map of a slice against that of its source; each 1 for the same edges."""

    agreement: float
    """F measure with a graded tolerance. An edge pixel counts 1 if the other map has an edge at the
    same pixel, 1/2 at a distance of one pixel, and 0 beyond. Precision and recall are the means of
    these over each map."""
    iou: float
    """Intersection over union, edges within ``EDGE_TOLERANCE`` counting as the same."""
    figure_of_merit: float
    """Pratt 1978: Σ 1 / (1 + d² / 9) over the edge pixels, d pixels from the source's edges, over
    the number of pixels of the map that has more."""


def compare_edges(source: Mask, other: Mask) -> EdgeScores:
    """Scores of two edge maps; 1 where both are empty, 0 where one is."""
    if not source.any() or not other.any():
        return EdgeScores(*[float(source.any() == other.any())] * 3)
    missed, added = _distances(source, other), _distances(other, source)
    recall, precision = (float(np.clip(1 - d / 2, 0, 1).mean()) for d in (missed, added))
    f = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    met = (np.sum(missed <= EDGE_TOLERANCE) + np.sum(added <= EDGE_TOLERANCE)) / 2
    apart = np.sum(missed > EDGE_TOLERANCE) + np.sum(added > EDGE_TOLERANCE)
    merit = np.sum(1 / (1 + _PRATT * added**2)) / max(missed.size, added.size)
    return EdgeScores(f, float(met / (met + apart)), float(merit))


def largest_change(source: Image, other: Image, mask: Mask, spacing: tuple[float, float]) -> float:
    """Largest |other - source| in ``mask`` under a Gaussian of 3 mm, HU; NaN for an empty mask.

    Under it kernels hardly differ, and structures made up or erased stay: a nodule of 6 mm radius
    erased from the lung leaves about 600 HU. ``spacing`` in mm.
    """
    if not mask.any():
        return math.nan
    difference = other.astype(np.float64) - source
    if not difference.any():
        return 0.0
    widths = [_CHANGE_SCALE / step for step in spacing]
    # What lies farther from the mask than the filter reaches changes nothing in it.
    top, left, bottom, right = bounding_box(mask)
    down, across = (int(_REACH * width) + 1 for width in widths)
    box = np.s_[max(0, top - down) : bottom + down, max(0, left - across) : right + across]
    smooth = ndimage.gaussian_filter(difference[box], widths, truncate=_REACH)
    return float(np.abs(smooth[mask[box]]).max())


def outside_air(smooth: Image, body: Mask) -> Mask:
    """Air around the patient, couch and clothes left out, of a slice smoothed by one pixel."""
    return (smooth < _AIR) & ~near(body, _AIR_MARGIN)


class Emphysema(NamedTuple):
    """Densitometry of the lung in one slice; NaN where the mask is empty."""

    laa950: float
    """Low attenuation area: percentage of the lung below -950 HU."""
    perc15: float
    """HU below which 15 % of the lung lie."""


def emphysema(hu: Image, lung: Mask) -> Emphysema:
    """Emphysema index and 15th percentile of the lung (Lynch & Al-Qaisi 2013).

    Sharp kernels widen the distribution by noise and raise the index without any emphysema.
    """
    if not lung.any():
        return Emphysema(math.nan, math.nan)
    values = hu[lung]
    low = float(np.percentile(values, 15))
    return Emphysema(100 * float(np.mean(values < _EMPHYSEMA)), low)


class Anatomy(NamedTuple):
    """A slice with everything that comparisons need."""

    hu: Image
    """Clipped to the window."""
    tissue: Tissue
    air: Mask
    """That of ``outside_air``."""
    edges: Mask

    @classmethod
    def of(cls, hu: Image, window: tuple[float, float]) -> "Anatomy":
        """Segment a slice and find its edges, clipped to ``window`` (HU)."""
        hu = np.clip(hu, *window)
        smooth = _smoothed(hu, *window)
        tissue = segment_smooth(smooth.tissue)
        return cls(
            hu, tissue, outside_air(smooth.tissue, tissue.body), edge_map(smooth.edges, window)
        )


def compare_anatomy(
    source: Anatomy, other: Anatomy, spacing: tuple[float, float], window: tuple[float, float]
) -> dict[str, float]:
    """All measures of a slice against its source; NaN where one has no meaning.

    Regions of HU come from the source, ``spacing`` is in mm. ``lung_dice``, ``lung_iou``,
    ``lung_hd95_mm``, ``edges``, ``edge_iou``, ``edge_merit``, ``edge_preservation`` (in the body),
    ``ssim``, ``largest_change_hu``, ``shift_hu_lung``, ``shift_hu_soft_tissue``, ``shift_hu_air``,
    and of the slice itself ``laa950`` (%) and ``perc15`` (HU).
    """
    body, lung, core, soft = source.tissue
    edges = compare_edges(source.edges, other.edges)
    density = emphysema(other.hu, lung)
    alike = likeness(source.hu, other.hu, window[1] - window[0], body, core, soft, source.air)
    return {
        "lung_dice": dice(lung, other.tissue.lung),
        "lung_iou": iou(lung, other.tissue.lung),
        "lung_hd95_mm": hausdorff95(lung, other.tissue.lung, spacing),
        "edges": edges.agreement,
        "edge_iou": edges.iou,
        "edge_merit": edges.figure_of_merit,
        **{name: float(value) for name, value in alike.items()},
        "largest_change_hu": largest_change(source.hu, other.hu, body, spacing),
        "laa950": density.laa950,
        "perc15": density.perc15,
    }
