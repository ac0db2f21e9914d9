"""HU of one slice -> what is stored of it: resampled, masked, cropped, clipped as configured."""

import dataclasses
import math

import numpy as np
import skimage  # Its parts load on first use.
from jaxtyping import Float32, Int16

from jaxharmo.data.body import body_box
from jaxharmo.data.prepare.config import SETTINGS, PrepareConfig
from jaxharmo.data.prepare.pixels import Pixels
from jaxharmo.ops.tissue import Tissue, bounding_box, segment

GRID = 256
"""Pixels along the shorter side on which tissue is looked for."""
SIDE_STEP = 64
"""Crops have sides of multiples of this, so that not every slice has a shape of its own."""
_CUBIC = 3

Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Preprocessed:
    """The stored part of a slice."""

    pixels: Int16[np.ndarray, "h w"]
    spacing: tuple[float, float]
    body: Box
    lung: Box | None
    origin: tuple[int, int]


def preprocess(
    pixels: Pixels, spacing: tuple[float, float], config: PrepareConfig, twin: Pixels | None = None
) -> Preprocessed | str:
    """The stored part of a slice, or why the settings leave it out.

    ``twin``: another reconstruction of the same acquisition at this place. Tissue is looked for in
    it instead, so that all reconstructions are masked and cropped alike.
    """
    hu, new_spacing = _on_grid(pixels, spacing, config)
    box: Box = (0, 0, *hu.shape)
    lung: Box | None = None
    if not config.masks:
        body = body_box(hu)
    else:
        tissue = segment(hu if twin is None else _on_grid(twin, spacing, config)[0], GRID)
        if tissue.lung.sum() * math.prod(new_spacing) / 100 < config.min_lung:
            return f"{SETTINGS}less than {config.min_lung:g} cm² of lung"
        if config.body_only:
            hu = np.where(tissue.body, hu, np.float32(config.window[0]))
        box = _crop_box(tissue, new_spacing, config)
        body = _within(bounding_box(tissue.body), box)
        lung = _within(bounding_box(tissue.lung), box) if tissue.lung.any() else None
    top, left, bottom, right = box
    part = np.clip(hu[top:bottom, left:right], *config.window)
    stored = np.rint(part, out=part).astype(np.int16)
    return Preprocessed(stored, new_spacing, body, lung, (top, left))


def _on_grid(
    pixels: Pixels, spacing: tuple[float, float], config: PrepareConfig
) -> tuple[Float32[np.ndarray, "h w"], tuple[float, float]]:
    """HU with padding as air on the common grid, and the spacing that whole pixels make of it."""
    hu = pixels.hu
    if pixels.padding.any():
        hu = np.where(pixels.padding, np.float32(config.window[0]), hu)
    if config.spacing is None:
        return hu, spacing
    shape = tuple(
        max(1, round(length * step / config.spacing))
        for length, step in zip(hu.shape, spacing, strict=True)
    )
    if shape == hu.shape:
        return hu, spacing
    # Clipped before, too: the scanner's floor and metal would ring.
    hu = np.clip(hu, *config.window)
    resampled = skimage.transform.resize(
        hu, shape, order=_CUBIC, mode="edge", anti_aliasing=True, clip=True
    )
    rows, columns = (
        length * step / new for length, step, new in zip(hu.shape, spacing, shape, strict=True)
    )
    return np.asarray(resampled, np.float32), (round(rows, 6), round(columns, 6))


def _crop_box(tissue: Tissue, spacing: tuple[float, float], config: PrepareConfig) -> Box:
    height, width = tissue.body.shape
    if config.crop == "none":
        return 0, 0, height, width
    mask = tissue.lung if config.crop == "lung" and tissue.lung.any() else tissue.body
    top, left, bottom, right = bounding_box(mask)
    rows = _range(top, bottom, height, config.crop_margin / spacing[0])
    columns = _range(left, right, width, config.crop_margin / spacing[1])
    return rows[0], columns[0], rows[1], columns[1]


def _range(low: int, high: int, length: int, margin: float) -> tuple[int, int]:
    """``low`` to ``high`` with the margin, widened around its middle to a whole side."""
    side = math.ceil((high - low + 2 * margin) / SIDE_STEP) * SIDE_STEP
    side = min(side, length)
    start = min(max(0, (low + high - side) // 2), length - side)
    return start, start + side


def _within(inner: Box, outer: Box) -> Box:
    """``inner``, cut to ``outer`` and counted from its corner."""
    top, left, bottom, right = outer
    rows = np.clip((inner[0], inner[2]), top, bottom) - top
    columns = np.clip((inner[1], inner[3]), left, right) - left
    return int(rows[0]), int(columns[0]), int(rows[1]), int(columns[1])
