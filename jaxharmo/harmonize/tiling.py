"""Whole slices in pieces, where memory is short; the pieces give nearly what the whole would give.

What a filter takes from a pixel falls off with its distance. Tiles overlap by twice ``MARGIN``, and
of each only the part that is farther than the margin from a cut is used: no seam is left to blend.
With instance normalisation a pixel depends on the mean and variance of whole feature maps, and
tiles cannot give what the slice gives.
"""

import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Num

from jaxharmo.config import FilterGenerator, ModelConfig
from jaxharmo.errors import InputError

Translate = Callable[[Num[np.ndarray, "n h w"]], Float[np.ndarray, "n h w"]]


MARGIN = 96
"""Pixels."""
LEAST = 320
"""Side of a tile, pixels. With both, two slices of 512² through ``kernel-pairs`` differ from those
in one piece by 0.65 HU at most; with 64 and 256 pixels, by 1.8 HU."""


def check_tile(tile: int, model: ModelConfig) -> None:
    """``InputError`` where tiles of this side cannot give nearly what the whole slice gives."""
    if not isinstance(model.generator, FilterGenerator):
        raise InputError(
            "--tile: the published generator normalises over the whole slice, so tiles would "
            "change its result; leave the option out, or lower --batch to save memory"
        )
    if tile < LEAST:
        raise InputError(f"--tile {tile}: must be at least {LEAST}")


def tiled(translate: Translate, hu: Num[np.ndarray, "n h w"], tile: int, model: ModelConfig):
    """``translate`` of the slices in tiles of at most ``tile`` rows and columns.

    Raises what ``check_tile`` raises.
    """
    check_tile(tile, model)
    spans = [_spans(length, tile, MARGIN) for length in hu.shape[1:]]
    translated = np.empty(hu.shape, np.float32)
    for (top, rows, inner_rows), (left, columns, inner_columns) in itertools.product(*spans):
        piece = translate(hu[:, top : top + rows, left : left + columns])
        below, above = inner_rows
        before, behind = inner_columns
        translated[:, below:above, before:behind] = piece[
            :, below - top : above - top, before - left : behind - left
        ]
    return translated


def _spans(length: int, tile: int, margin: int) -> list[tuple[int, int, tuple[int, int]]]:
    """Start and size of each tile along an axis, and the range of the slice that it serves."""
    if length <= tile:
        return [(0, length, (0, length))]
    count = -(-(length - 2 * margin) // (tile - 2 * margin))
    starts = [round(index * (length - tile) / (count - 1)) for index in range(count)]
    # Half-way through each overlap, which is at least two margins wide.
    cuts = [0, *((start + before + tile) // 2 for before, start in itertools.pairwise(starts))]
    return [
        (start, tile, (low, high))
        for start, low, high in zip(starts, cuts, [*cuts[1:], length], strict=True)
    ]
