"""Crops of whole slices as the style encoder saw them in training: squares in the body's box."""

import itertools
import math

import numpy as np
from jaxtyping import Float, Num

from jaxharmo.data.body import body_box
from jaxharmo.data.evenly import evenly

MOST_CROPS = 64
"""Crops taken of a series; more would not change their mean style."""


def body_crops(
    hu: Num[np.ndarray, "n h w"], size: int, floor: float, most: int = MOST_CROPS
) -> Float[np.ndarray, "m c c"]:
    """Square crops that cover the body evenly, at most ``most`` over all slices, float32.

    Neighbours touch or overlap. Slices smaller than ``size`` are filled up with ``floor`` (HU), as
    in training.
    """
    height, width = hu.shape[1:]
    margins = [max(0, size - length) for length in (height, width)]
    padding = [(margin // 2, margin - margin // 2) for margin in margins]
    corners = [
        (number, *corner)
        for number in evenly(len(hu), most)
        for corner in _corners(hu[number], size, [before for before, _ in padding])
    ]
    chosen = evenly(len(corners), most)
    crops = []
    for number, top, left in (corners[index] for index in chosen):
        whole = np.pad(hu[number], padding, constant_values=round(floor))
        crops.append(whole[top : top + size, left : left + size])
    return np.stack(crops).astype(np.float32)


def _corners(hu: Num[np.ndarray, "h w"], size: int, shift: list[int]) -> list[tuple[int, int]]:
    """Top left corners in the filled-up slice."""
    box = body_box(hu)
    starts = []
    for axis, length in enumerate(hu.shape):
        low, high = box[axis], box[axis + 2]
        count = max(1, math.ceil((high - low) / size))
        first, last = (low, high - size) if high - low > size else [(low + high - size) // 2] * 2
        limit = max(length, size) - size
        rounded = np.linspace(first, last, count).round().astype(int) + shift[axis]
        starts.append(np.clip(rounded, 0, limit).tolist())
    return list(itertools.product(*starts))
