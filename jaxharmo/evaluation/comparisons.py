"""What is measured on one made slice: against its source, and against the paired real one."""

import math
from typing import Any

import numpy as np

from jaxharmo.evaluation.structure import Anatomy, compare_anatomy, similarity
from jaxharmo.ops.intensity import Window

Row = dict[str, Any]
"""Figures of one slice, and which slice it is."""


def compare_slice(
    source: Anatomy,
    made: Anatomy,
    truth: Anatomy | None,
    spacing: tuple[float, float],
    window: Window,
) -> Row:
    """All figures of one slice; those against the truth are NaN where there is none.

    ``rmse_hu`` in the whole slice and ``rmse_lung_hu`` in the lung of the source, HU;
    ``ssim_truth``; and what ``compare_anatomy`` gives.
    """
    errors = dict.fromkeys(("rmse_hu", "rmse_lung_hu", "ssim_truth"), math.nan)
    if truth is not None:
        difference = made.hu - truth.hu
        errors = {
            "rmse_hu": _root_mean_square(difference),
            "rmse_lung_hu": _root_mean_square(difference[source.tissue.lung]),
            "ssim_truth": similarity(truth, made, window),
        }
    return errors | compare_anatomy(source, made, spacing, window)


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2, dtype=np.float64))) if values.size else math.nan
