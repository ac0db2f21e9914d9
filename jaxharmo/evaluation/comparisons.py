"""What is measured on one slice against another: a made one against its source and the truth."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from skimage import metrics

from jaxharmo.evaluation import structure
from jaxharmo.ops.intensity import Window
from jaxharmo.ops.tissue import Tissue, segment

Row = dict[str, Any]
"""Figures of one slice, and what tells which slice it is."""

EMPHYSEMA = -950.0
"""Lung voxels below it count as emphysema, HU (LAA-950)."""
_PERCENTILE = 15


class Look(NamedTuple):
    """A slice with all that comparisons ask of it."""

    hu: Float[np.ndarray, "h w"]
    tissue: Tissue
    edges: Bool[np.ndarray, "h w"]


def look(hu: Float[np.ndarray, "h w"], window: Window) -> Look:
    """Masks and edges of a slice clipped to ``window``."""
    return Look(hu, segment(hu), structure.edge_map(hu, window))


def with_source(source: Look, made: Look, spacing: tuple[float, float], window: Window) -> Row:
    """What became of the anatomy: every figure of the group structure, and of density."""
    return {name: measure(source, made) for name, measure in _STRUCTURE.items()} | {
        "ssim": similarity(source.hu, made.hu, window),
        **density(made.hu, source.tissue.core),
    }


def with_truth(made: Look, truth: Look | None, region: Bool[np.ndarray, "h w"], window: Window) -> Row:
    """Errors against the paired real slice; NaN without one."""
    if truth is None:
        return dict.fromkeys(("rmse_hu", "rmse_lung_hu", "ssim_truth"), math.nan)
    return {
        "rmse_hu": _rmse(made.hu - truth.hu),
        "rmse_lung_hu": _rmse((made.hu - truth.hu)[region]),
        "ssim_truth": similarity(truth.hu, made.hu, window),
    }


def density(hu: Float[np.ndarray, "h w"], lung: Bool[np.ndarray, "h w"]) -> Row:
    """LAA-950 (percent of the lung) and Perc15 (HU); NaN where there is no lung."""
    if not lung.any():
        return {"laa950": math.nan, "perc15": math.nan}
    inside = hu[lung]
    return {
        "laa950": 100 * float(np.mean(inside < EMPHYSEMA)),
        "perc15": float(np.percentile(inside, _PERCENTILE)),
    }


def similarity(a: np.ndarray, b: np.ndarray, window: Window) -> float:
    """SSIM (Wang et al. 2004) over the range of the window."""
    return float(metrics.structural_similarity(a, b, data_range=window[1] - window[0]))


def _rmse(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(difference**2, dtype=np.float64))) if difference.size else math.nan


def _shift(mask: Callable[[Tissue], np.ndarray]) -> Callable[[Look, Look], float]:
    return lambda source, made: structure.mean_shift(source.hu, made.hu, mask(source.tissue))


_STRUCTURE: dict[str, Callable[[Look, Look], float]] = {
    "lung_dice": lambda source, made: structure.dice(source.tissue.lung, made.tissue.lung),
    "edges": lambda source, made: structure.edge_agreement(source.edges, made.edges),
    "shift_hu_lung": _shift(lambda tissue: tissue.core),
    "shift_hu_soft_tissue": _shift(lambda tissue: tissue.soft),
    "shift_hu_air": _shift(lambda tissue: ~tissue.body),
}
