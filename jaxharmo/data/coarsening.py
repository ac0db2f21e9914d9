"""Slices on a coarser grid."""

import dataclasses

import numpy as np
import scipy.fft

from jaxharmo.data.records import Slice

_SAME = 0.01
"""Relative difference of pixels that is left as it is."""


def coarsened(item: Slice, pixel: float) -> Slice:
    """The slice with pixels of about ``pixel`` mm; as it is along an axis with coarser ones.

    The cosine transform is cut off where the coarser grid ends: all that the grid can hold stays,
    so noise keeps its power per frequency, which interpolation would lower.
    """
    shape, spacing = item.pixels.shape, item.header.spacing
    lengths = tuple(
        round(length * step / pixel) if step < (1 - _SAME) * pixel else length
        for length, step in zip(shape, spacing, strict=True)
    )
    if lengths == shape:
        return item
    waves = np.asarray(scipy.fft.dctn(item.pixels.astype(np.float32), norm="ortho"))
    scale = np.sqrt(np.prod(lengths) / np.prod(shape))
    hu = np.asarray(scipy.fft.idctn(scale * waves[: lengths[0], : lengths[1]], norm="ortho"))
    ratios = [new / old for new, old in zip(lengths, shape, strict=True)]
    top, left, bottom, right = (
        round(ratio * place) for ratio, place in zip(2 * ratios, item.header.body, strict=True)
    )
    header = dataclasses.replace(
        item.header,
        spacing=tuple(step / ratio for step, ratio in zip(spacing, ratios, strict=True)),
        body=(top, left, bottom, right),
        lung=None,
    )
    return Slice(header, np.rint(hu).astype(np.int16))
