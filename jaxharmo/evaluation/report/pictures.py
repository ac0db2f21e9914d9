"""Still pictures of one slice: source, translation, target."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from jaxharmo.evaluation.methods import AFTER
from jaxharmo.evaluation.pairs import Example
from jaxharmo.ops.tissue import Tissue
from jaxharmo.pages.pictures import difference, figure, grey, lossless
from jaxharmo.pages.viewer import LUNG

DIFFERENCE = 150.0
"""Difference at full blue or red, HU."""
PATCH = 96
"""Side of a patch, pixels."""
_MARGIN = 4


def slice_strip(example: Example, window: Sequence[float]) -> str:
    """Source, translation, target and differences, cut to the body."""
    box = _body_box(example.tissue)
    made, source = example.made[AFTER], example.source
    figures = [
        _figure("source", grey(source[box], window)),
        _figure("translated", grey(made[box], window)),
        _figure(_target(example), grey(_cut(example.target, box, example.paired), window)),
        _figure("translated − source, HU", difference((made - source)[box], DIFFERENCE)),
    ]
    if example.paired:
        figures.append(
            _figure(
                "translated − paired target, HU",
                difference((made - example.target)[box], DIFFERENCE),
            )
        )
    return _strip(figures)


def patch_strip(example: Example, titles: dict[str, str]) -> str:
    """The same patch of lung: source, every method, target; and the edges of three of them."""
    box = _patch(example.tissue)
    figures = [_figure("source", grey(example.source[box], LUNG), "patch")]
    figures += [
        _figure(titles[name], grey(made[box], LUNG), "patch") for name, made in example.made.items()
    ]
    target = _cut(example.target, box, True)
    figures.append(_figure(_target(example), grey(target, LUNG), "patch"))
    return _strip(figures)


def edge_strip(example: Example) -> str:
    """Edges of source and translation over one another: shared white, lost blue, new red."""
    box = _body_box(example.tissue)
    source, made = example.edges["source"][box], example.edges[AFTER][box]
    figures = [_figure("source ∩ translated white; lost blue, new red", _overlay(source, made))]
    if example.paired:
        real = example.edges["target"][box]
        figures.append(_figure("the same for the paired target", _overlay(source, real)))
    return _strip(figures)


def _target(example: Example) -> str:
    return "paired target" if example.paired else "target domain, another slice"


def _strip(figures: Sequence[str]) -> str:
    return f'<div class="strip">{"".join(figures)}</div>'


def _cut(hu: np.ndarray, box: tuple[slice, slice], fits: bool) -> np.ndarray:
    """The crop to ``box``, or the whole slice if its shape is another."""
    if fits and box[0].stop <= hu.shape[0] and box[1].stop <= hu.shape[1]:
        return hu[box]
    return hu


def _body_box(tissue: Tissue) -> tuple[slice, slice]:
    body = tissue.body
    if not body.any():
        return slice(0, body.shape[0]), slice(0, body.shape[1])
    ends = [np.flatnonzero(body.any(axis)) for axis in (1, 0)]
    rows, columns = (
        slice(max(int(found[0]) - _MARGIN, 0), min(int(found[-1]) + 1 + _MARGIN, side))
        for found, side in zip(ends, body.shape, strict=True)
    )
    return rows, columns


def _patch(tissue: Tissue) -> tuple[slice, slice]:
    """Around the pixel deepest in the lung, or in the body where there is none."""
    mask = tissue.lung if tissue.lung.any() else tissue.body
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    centre = np.unravel_index(int(depth.argmax()), depth.shape)
    rows, columns = (
        slice(start, start + PATCH)
        for start in (
            max(0, min(int(middle) - PATCH // 2, side - PATCH))
            for middle, side in zip(centre, mask.shape, strict=True)
        )
    )
    return rows, columns


def _overlay(source: np.ndarray, other: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    near = np.ones((3, 3), bool)
    lost = source & np.logical_not(ndimage.binary_dilation(other, near))
    new = other & np.logical_not(ndimage.binary_dilation(source, near))
    picture = np.zeros((*source.shape, 3), np.uint8)
    picture[other | source] = 235
    picture[lost] = (70, 130, 255)
    picture[new] = (255, 70, 60)
    return picture


def _figure(caption: str, pixels: np.ndarray, kind: str = "slice") -> str:
    return figure(lossless(pixels), caption, kind)
