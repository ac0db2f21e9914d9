"""Is the anatomy still there: masks, edges, similarity, and what clinicians read off the lung."""

import dataclasses
import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
import skimage  # Its parts load on first use.
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import KDTree

from jaxharmo.ops.tissue import Image, Mask, Tissue, bounding_box, near, segment

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
_LOCAL = 7
"""Side of the window of the structural similarity, pixels."""


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
    return mask & ~np.asarray(ndimage.binary_erosion(mask, border_value=1), bool)


def _distances(
    start: Mask, goal: Mask, spacing: tuple[float, float] = (1.0, 1.0)
) -> Float[np.ndarray, "n"]:
    """From each pixel of ``start`` to the nearest of ``goal``; masks of lines, neither empty."""
    apart = ~goal[start]
    distances = np.zeros(apart.size)
    # Few pixels of two versions of a slice lie apart, and only those need a search. A distance
    # transform would process every pixel of the slice.
    if apart.any():
        places = KDTree(np.argwhere(goal) * spacing, compact_nodes=False, balanced_tree=False)
        distances[apart] = places.query(np.argwhere(start & ~goal) * spacing)[0]
    return distances


def edge_map(hu: Image, window: tuple[float, float]) -> Mask:
    """Canny edges of a slice clipped to ``window`` (HU)."""
    low, high = window
    span = high - low
    image = (np.clip(hu, low, high).astype(np.float64) - low) / span
    # The Sobel operator inside is not normalised: a slope of 1 per pixel gives 8.
    weak, strong = (8 * slope / span for slope in EDGE_SLOPES)
    edges = skimage.feature.canny(image, EDGE_SCALE, low_threshold=weak, high_threshold=strong)
    return np.asarray(edges, bool)


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


def mean_shift(source: Image, other: Image, mask: Mask) -> float:
    """Mean of ``other`` - ``source`` in ``mask``, HU; NaN where the mask is empty."""
    return float((other[mask] - source[mask]).mean(dtype=np.float64)) if mask.any() else math.nan


def edge_preservation_index(source: Image, other: Image, mask: Mask) -> float:
    """Correlation of the Laplacians of two slices in ``mask`` (Sattar et al. 1997).

    1 for the same edges; NaN where the mask is empty or a slice flat in it.
    """
    return _correlation(_laplacian(source)[mask], _laplacian(other)[mask])


def _laplacian(hu: Image) -> Image:
    return np.asarray(ndimage.laplace(hu.astype(np.float64)))


def _correlation(first: Float[np.ndarray, "n"], second: Float[np.ndarray, "n"]) -> float:
    """NaN where one of them is constant, or both are empty."""
    if not first.size:
        return math.nan
    first, second = first - first.mean(), second - second.mean()
    size = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / size if size else math.nan


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


class LocalMoments(NamedTuple):
    """Means over the 7 × 7 pixels around each, float32."""

    mean: Image
    square: Image
    """Of the squares."""

    @classmethod
    def of(cls, hu: Image) -> "LocalMoments":
        """Of a slice, HU."""
        x = hu.astype(np.float32)
        return cls(_local_mean(x), _local_mean(x * x))


def similarity(a: "Anatomy", b: "Anatomy", window: tuple[float, float]) -> float:
    """Structural similarity (Wang et al. 2004) of two slices, the data range that of ``window``.

    The mean over the pixels at least 3 from the border of
    (2 m_a m_b + C_1) (2 s_ab + C_2) / ((m_a² + m_b² + C_1) (v_a + v_b + C_2)) with means, unbiased
    variances and covariance over 7 × 7 pixels, C_i = (K_i range)², K = 0.01 and 0.03.
    """
    if a is b:
        return 1.0
    first, second = a.moments, b.moments
    unbiased = np.float32(_LOCAL**2 / (_LOCAL**2 - 1))
    low, high = (np.float32((k * (window[1] - window[0])) ** 2) for k in (0.01, 0.03))
    both = first.mean * second.mean
    shared = unbiased * (_local_mean(a.hu.astype(np.float32) * b.hu.astype(np.float32)) - both)
    power = first.mean**2 + second.mean**2
    variances = unbiased * (first.square + second.square - power)
    values = (2 * both + low) * (2 * shared + high) / ((power + low) * (variances + high))
    margin = _LOCAL // 2
    return float(values[margin:-margin, margin:-margin].mean(dtype=np.float64))


def _local_mean(x: Image) -> Image:
    return np.asarray(ndimage.uniform_filter(x, _LOCAL))


def outside_air(hu: Image, body: Mask) -> Mask:
    """Air around the patient, couch and clothes left out."""
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), 1.0)
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


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """A slice with everything that a comparison needs; what many comparisons share is kept."""

    hu: Image
    """Clipped to the window."""
    tissue: Tissue
    edges: Mask

    @cached_property
    def air(self) -> Mask:
        """``outside_air``, computed once per source."""
        return outside_air(self.hu, self.tissue.body)

    @cached_property
    def moments(self) -> LocalMoments:
        """What ``similarity`` needs of a slice alone."""
        return LocalMoments.of(self.hu)

    @cached_property
    def laplacian(self) -> Image:
        """What ``edge_preservation_index`` needs of a slice alone."""
        return _laplacian(self.hu)

    @classmethod
    def of(cls, hu: Image, window: tuple[float, float]) -> "Anatomy":
        """Segment a slice and find its edges, clipped to ``window`` (HU)."""
        hu = np.clip(hu, *window)
        return cls(hu, segment(hu), edge_map(hu, window))


def compare_anatomy(
    source: Anatomy, other: Anatomy, spacing: tuple[float, float], window: tuple[float, float]
) -> dict[str, float]:
    """All measures of this module of a slice against its source; NaN where one has no meaning.

    Regions of HU come from the source, ``spacing`` is in mm. ``lung_dice``, ``lung_iou``,
    ``lung_hd95_mm``, ``edges``, ``edge_iou``, ``edge_merit``, ``edge_preservation`` (in the body),
    ``ssim``, ``largest_change_hu``, ``shift_hu_lung``, ``shift_hu_soft_tissue``, ``shift_hu_air``,
    and of the slice itself ``laa950`` (%) and ``perc15`` (HU).
    """
    body, lung, core, soft = source.tissue
    edges = compare_edges(source.edges, other.edges)
    density = emphysema(other.hu, lung)
    return {
        "lung_dice": dice(lung, other.tissue.lung),
        "lung_iou": iou(lung, other.tissue.lung),
        "lung_hd95_mm": hausdorff95(lung, other.tissue.lung, spacing),
        "edges": edges.agreement,
        "edge_iou": edges.iou,
        "edge_merit": edges.figure_of_merit,
        "edge_preservation": _correlation(source.laplacian[body], other.laplacian[body]),
        "ssim": similarity(source, other, window),
        "largest_change_hu": largest_change(source.hu, other.hu, body, spacing),
        "shift_hu_lung": mean_shift(source.hu, other.hu, core),
        "shift_hu_soft_tissue": mean_shift(source.hu, other.hu, soft),
        "shift_hu_air": mean_shift(source.hu, other.hu, source.air),
        "laa950": density.laa950,
        "perc15": density.perc15,
    }
