"""Radiomic features of masked slices: pyradiomics where installed, or an engine of our own.

The native engine gives the 18 first-order and 24 GLCM features of pyradiomics with its names and
conventions: bins of fixed width aligned at 0 HU, level = floor(x / w) - floor(min / w) + 1, pairs
at distance 1 in four directions of the slice, each direction's matrix symmetric and normalised,
the features averaged over directions. Slices count as having unit spacing.
"""

import functools
import importlib.util
import logging
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxharmo.errors import InputError
from jaxharmo.ops.haralick import MATRIX_FEATURES

Engine = Literal["native", "pyradiomics"]
Row = dict[str, float]

FEATURE_CLASSES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
"""What the pyradiomics engine computes."""
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""(row, column) steps."""

_LEVEL_BLOCK = 32
_NORMALISED_BY_LEVELS = {"idmn": 2, "idn": 1}


def choose_engine(setting: Literal["auto", "native", "pyradiomics"]) -> Engine:
    """Resolve ``EvalConfig.radiomics``; ``InputError`` where an engine is not installed."""
    installed = importlib.util.find_spec("radiomics") is not None
    if setting == "pyradiomics" and not installed:
        raise InputError(
            "--eval.radiomics pyradiomics: it is not installed; pip install 'jaxharmo[radiomics]', "
            "or take 'native'"
        )
    return "pyradiomics" if setting != "native" and installed else "native"


def radiomic_features(
    hu: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"], bin_width: float, engine: Engine
) -> Row:
    """Features of the pixels of ``hu`` in ``mask``, by pyradiomics name (``glcm_Contrast``).

    ``bin_width`` in HU. ``ValueError`` for an empty mask or values that are not finite.
    """
    if not mask.any():
        raise ValueError("the mask is empty")
    if not np.isfinite(hu[mask]).all():
        raise ValueError("the slice holds values that are not finite")
    measure = _pyradiomics_features if engine == "pyradiomics" else _native_features
    return measure(*_crop(hu, mask), bin_width)


def _crop(hu: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return hu[box], mask[box]


def _pyradiomics_features(hu: np.ndarray, mask: np.ndarray, bin_width: float) -> Row:
    import SimpleITK
    from radiomics import firstorder, glcm, gldm, glrlm, glszm, ngtdm

    # It announces on stderr, for every matrix, that GLCMs are symmetric.
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    image, inside = (
        SimpleITK.GetImageFromArray(array[None])
        for array in (hu.astype(np.float64), mask.astype(np.uint8))
    )
    row: Row = {}
    for name, extractor in (
        ("firstorder", firstorder.RadiomicsFirstOrder),
        ("glcm", glcm.RadiomicsGLCM),
        ("glrlm", glrlm.RadiomicsGLRLM),
        ("glszm", glszm.RadiomicsGLSZM),
        ("gldm", gldm.RadiomicsGLDM),
        ("ngtdm", ngtdm.RadiomicsNGTDM),
    ):
        extracted = extractor(image, inside, binWidth=bin_width, force2D=True)
        extracted.enableAllFeatures()
        row |= {f"{name}_{feature}": float(value) for feature, value in extracted.execute().items()}
    return row


def _native_features(hu: np.ndarray, mask: np.ndarray, bin_width: float) -> Row:
    values = hu[mask].astype(np.float64)
    bins = np.floor(hu.astype(np.float64) / bin_width)
    levels = np.where(mask, bins - bins[mask].min() + 1, 0).astype(np.int64)
    row = {
        f"firstorder_{name}": value for name, value in _first_order(values, levels[mask]).items()
    }
    return row | {f"glcm_{name}": value for name, value in _glcm(levels).items()}


def _first_order(x: np.ndarray, levels: np.ndarray) -> Row:
    mean, variance = x.mean(), x.var()
    deviation = x - mean
    low, lower, middle, upper, high = np.percentile(x, (10, 25, 50, 75, 90))
    core = x[(x >= low) & (x <= high)]
    share = np.unique_counts(levels).counts / x.size
    energy = np.sum(x**2)
    flat = variance == 0
    return {
        "10Percentile": low,
        "90Percentile": high,
        "Energy": energy,
        "Entropy": -np.sum(share * np.log2(share)),
        "InterquartileRange": upper - lower,
        "Kurtosis": 0.0 if flat else np.mean(deviation**4) / variance**2,
        "Maximum": x.max(),
        "Mean": mean,
        "MeanAbsoluteDeviation": np.mean(np.abs(deviation)),
        "Median": middle,
        "Minimum": x.min(),
        "Range": np.ptp(x),
        "RobustMeanAbsoluteDeviation": np.mean(np.abs(core - core.mean())),
        "RootMeanSquared": np.sqrt(energy / x.size),
        "Skewness": 0.0 if flat else np.mean(deviation**3) / variance**1.5,
        "TotalEnergy": energy,
        "Uniformity": np.sum(share**2),
        "Variance": variance,
    }


def glcm_counts(levels: Int[np.ndarray, "h w"], size: int) -> Float[np.ndarray, "o l l"]:
    """Symmetric co-occurrence counts at ``DIRECTIONS``, exact; level 0 lies outside the mask."""
    height, width = levels.shape
    counts = []
    for row, column in DIRECTIONS:
        left, right = max(0, -column), max(0, column)
        first = levels[: height - row, left : width - right]
        second = levels[row:, right : width - left]
        inside = (first > 0) & (second > 0)
        cells = (first[inside] - 1) * size + second[inside] - 1
        count = np.bincount(cells, minlength=size * size).reshape(size, size)
        counts.append(count + count.T)
    return np.stack(counts).astype(np.float64)


def _glcm(levels: np.ndarray) -> Row:
    # Sizes in steps of a block: an absent grey level changes no feature but those that divide by
    # the number of levels, and few shapes are compiled.
    count = int(levels.max())
    counts = glcm_counts(levels, -(-count // _LEVEL_BLOCK) * _LEVEL_BLOCK)
    counts = counts[counts.sum((1, 2)) > 0]
    if not len(counts):
        # pyradiomics has no answer for a region without neighbours either.
        return dict.fromkeys(map(_pyradiomics_name, MATRIX_FEATURES), float("nan"))
    matrices = counts / counts.sum((1, 2), keepdims=True)
    filled = np.zeros((len(DIRECTIONS), *counts.shape[1:]), np.float32)
    filled[: len(matrices)] = matrices
    by_direction = _matrix_features()(filled, jnp.float32(count))
    return {
        _pyradiomics_name(name): float(np.asarray(values)[: len(matrices)].mean())
        for name, values in by_direction.items()
    }


@functools.cache
def _matrix_features() -> Callable[[np.ndarray, Array], dict[str, Array]]:
    def evaluate(matrix: Float[Array, "l l"], count: Float[Array, ""]) -> dict[str, Array]:
        found = {
            name: feature(matrix)
            for name, feature in MATRIX_FEATURES.items()
            if name not in _NORMALISED_BY_LEVELS
        }
        level = jnp.arange(matrix.shape[0], dtype=matrix.dtype)
        step = jnp.abs(level[:, None] - level) / count
        return found | {
            name: jnp.sum(matrix / (1 + step**power))
            for name, power in _NORMALISED_BY_LEVELS.items()
        }

    return jax.jit(jax.vmap(evaluate, in_axes=(0, None)))


def _pyradiomics_name(name: str) -> str:
    """``joint_energy`` to ``JointEnergy``, ``imc1`` to ``Imc1``, ``mcc`` to ``MCC``."""
    return "MCC" if name == "mcc" else "".join(word.capitalize() for word in name.split("_"))
