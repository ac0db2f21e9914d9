"""The 102 features of pyradiomics, slices spread over processes.

Seven classes: first order 18, GLCM 24, run lengths 16, size zones 16, dependences 14, tone
differences 5, and the shape of the region 9, which is that of the mask and not of the texture.
"""

import functools
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import current_process, get_context

import numpy as np
from jaxtyping import Bool, Float

_FEW = 4
"""Fewer slices are not worth a process."""
_CHUNK = 2
"""Slices that a process takes at a time."""


def pyradiomics_features(
    crops: Sequence[tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]], bin_width: float
) -> list[dict[str, float]]:
    """Features of slices (HU) in their masks, by pyradiomics name; pixels count as 1 mm wide.

    Processes are started once and kept. They import the program's main module, which therefore
    must not start anything on import. A worker of an evaluation may not start processes, and has a
    core of its own: there, slices are measured one by one.
    """
    if len(crops) < _FEW or _cores() == 1 or current_process().daemon:
        return [_features(crop, bin_width) for crop in crops]
    return list(_processes().map(_features, crops, repeat(bin_width), chunksize=_CHUNK))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _processes() -> ProcessPoolExecutor:
    # Spawned, not forked: JAX's threads do not survive a fork.
    return ProcessPoolExecutor(_cores(), mp_context=get_context("spawn"))


def _features(crop: tuple[np.ndarray, np.ndarray], bin_width: float) -> dict[str, float]:
    import SimpleITK
    from radiomics import firstorder, glcm, gldm, glrlm, glszm, ngtdm, shape2D

    # It announces on stderr, for every matrix, that GLCMs are symmetric.
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    hu, mask = crop
    image, inside = (
        SimpleITK.GetImageFromArray(array[None])
        for array in (hu.astype(np.float64), mask.astype(np.uint8))
    )
    row: dict[str, float] = {}
    for name, extractor in (
        ("firstorder", firstorder.RadiomicsFirstOrder),
        ("glcm", glcm.RadiomicsGLCM),
        ("glrlm", glrlm.RadiomicsGLRLM),
        ("glszm", glszm.RadiomicsGLSZM),
        ("gldm", gldm.RadiomicsGLDM),
        ("ngtdm", ngtdm.RadiomicsNGTDM),
        ("shape2D", shape2D.RadiomicsShape2D),
    ):
        extracted = extractor(image, inside, binWidth=bin_width, force2D=True, force2Ddimension=0)
        extracted.enableAllFeatures()
        row |= {f"{name}_{feature}": float(value) for feature, value in extracted.execute().items()}
    return row
