"""What is measured on one made slice: against its source, and against the paired real one."""

import math
from typing import Any

from jaxharmo.evaluation.likeness import errors
from jaxharmo.evaluation.structure import Anatomy, compare_anatomy
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
    if truth is None:
        found = dict.fromkeys(("rmse_hu", "rmse_lung_hu", "ssim_truth"), math.nan)
    else:
        found = errors(truth.hu, made.hu, window[1] - window[0], source.tissue.lung)
    anatomy = compare_anatomy(source, made, spacing, window)
    return {name: float(value) for name, value in found.items()} | anatomy
