"""Whole slices in pieces, where memory is short; the pieces give what the whole would give.

A generator without instance normalisation computes a pixel from its neighbourhood alone. Tiles
overlap by twice the reach of that neighbourhood, and of each only the part that is farther than the
reach from a cut is used: no seam is left to blend. With instance normalisation a pixel depends on
the mean and variance of whole feature maps, and tiles cannot give what the slice gives.
"""

import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Num

from jaxharmo.config import ModelConfig
from jaxharmo.errors import InputError
from jaxharmo.models.filters import filter_reach

Translate = Callable[[Num[np.ndarray, "n h w"]], Float[np.ndarray, "n h w"]]


def reach(model: ModelConfig) -> int:
    """Farthest pixel, along an axis, that can influence an output of the generator.

    The sum over its 3×3 convolutions of their steps in pixels of the slice, and one pixel of the
    lowest resolution for the grid that the halvings lay over the slice; a multiple of
    ``2**downsamples``. Of a generator that filters, the reach of its filters.
    """
    if model.filter_terms:
        return filter_reach(model.filter_terms)
    steps = [2**level for level in range(model.downsamples + 1)]
    lowest = steps[-1]
    pixels = 1 + (model.detail_gain > 0)
    # Down: a convolution on either side of the pooling. Up: both behind the upsampling.
    pixels += sum(fine + 2 * fine for fine in steps[:-1]) + sum(2 * fine for fine in steps[:-1])
    pixels += 4 * model.bottleneck * lowest
    pixels += lowest * (model.downsamples > 0)
    return -(-pixels // lowest) * lowest


def check_tile(tile: int, model: ModelConfig) -> None:
    """``InputError`` where tiles of this side cannot give what the whole slice gives."""
    if model.instance_norm and not model.filter_terms:
        raise InputError(
            "--tile: this model normalises over the whole slice (model.instance_norm), so tiles "
            "would change its result; leave the option out, or lower --batch to save memory"
        )
    least = 2 * reach(model) + 2**model.downsamples
    if tile < least:
        raise InputError(f"--tile {tile}: must be at least {least} for this model")


def tiled(translate: Translate, hu: Num[np.ndarray, "n h w"], tile: int, model: ModelConfig):
    """``translate`` of the slices, as if in one piece; tiles have at most ``tile`` rows, columns.

    Raises what ``check_tile`` raises.
    """
    check_tile(tile, model)
    multiple = 2**model.downsamples
    height, width = hu.shape[1:]
    padding = ((0, 0), (0, -height % multiple), (0, -width % multiple))
    # As the whole slice is padded by the translator; the outermost tiles then meet the same edge.
    padded = np.pad(hu, padding, mode="edge")
    spans = [_spans(length, tile // multiple * multiple, reach(model), multiple)
             for length in padded.shape[1:]]  # fmt: skip
    translated = np.empty(padded.shape, np.float32)
    for (top, rows, inner_rows), (left, columns, inner_columns) in itertools.product(*spans):
        piece = translate(padded[:, top : top + rows, left : left + columns])
        below, above = inner_rows
        before, behind = inner_columns
        translated[:, below:above, before:behind] = piece[
            :, below - top : above - top, before - left : behind - left
        ]
    return translated[:, :height, :width]


def _spans(
    length: int, tile: int, margin: int, multiple: int
) -> list[tuple[int, int, tuple[int, int]]]:
    """Start and size of each tile along an axis, and the range of the slice that it serves."""
    if length <= tile:
        return [(0, length, (0, length))]
    count = -(-(length - 2 * margin) // (tile - 2 * margin))
    last = (length - tile) // multiple
    starts = [round(index * last / (count - 1)) * multiple for index in range(count)]
    # Half-way through each overlap, which is at least two margins wide.
    cuts = [0, *((start + before + tile) // 2 for before, start in itertools.pairwise(starts))]
    return [
        (start, tile, (low, high))
        for start, low, high in zip(starts, cuts, [*cuts[1:], length], strict=True)
    ]
