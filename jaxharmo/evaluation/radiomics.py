"""Radiomic features of masked slices: an engine of our own, or pyradiomics with all of its classes.

The native engine gives the 18 first-order and 24 GLCM features of pyradiomics with its names and
conventions: bins of fixed width aligned at 0 HU, level = floor(x / w) - floor(min / w) + 1, pairs
at distance 1 in four directions of the slice, each direction's matrix symmetric and normalised,
the features averaged over directions. Slices count as having unit spacing. Values are sorted and
pairs counted on the host, exactly and with a thread a core; the features of the matrices of many
slices are one compiled call.
"""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxharmo.errors import InputError
from jaxharmo.evaluation.clock import in_threads
from jaxharmo.evaluation.exact import in_float64
from jaxharmo.evaluation.filling import filled_length
from jaxharmo.evaluation.pyradiomics import pyradiomics_features
from jaxharmo.ops.haralick import MATRIX_FEATURES

Engine = Literal["native", "pyradiomics"]
Row = dict[str, float]
_Crop = tuple[np.ndarray, np.ndarray]

DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""(row, column) steps."""

_LEVEL_BLOCK = 16
_SLICE_BLOCK = 16
_NORMALISED_BY_LEVELS = {"idmn": 2, "idn": 1}


def check_engine(engine: Engine) -> Engine:
    """``EvalConfig.radiomics``; ``InputError`` where that engine is not installed."""
    if engine == "pyradiomics" and importlib.util.find_spec("radiomics") is None:
        raise InputError(
            "--eval.radiomics pyradiomics: it is not installed; pip install 'jaxharmo[radiomics]', "
            "or take 'native'"
        )
    return engine


def radiomic_features(
    slices: Sequence[Float[np.ndarray, "h w"]],
    masks: Sequence[Bool[np.ndarray, "h w"]],
    bin_width: float,
    engine: Engine,
) -> list[Row]:
    """Features of the pixels of each slice in its mask, by pyradiomics name (``glcm_Contrast``).

    Slices and ``bin_width`` in HU. ``ValueError`` for an empty mask or values that are not finite.
    """
    crops: list[_Crop] = []
    for hu, mask in zip(slices, masks, strict=True):
        if not mask.any():
            raise ValueError("the mask is empty")
        if not np.isfinite(hu[mask]).all():
            raise ValueError("the slice holds values that are not finite")
        crops.append(_crop(hu, mask))
    if engine == "pyradiomics":
        return pyradiomics_features(crops, bin_width)
    return _native_features(crops, bin_width)


def _crop(hu: np.ndarray, mask: np.ndarray) -> _Crop:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return hu[box], mask[box]


def _native_features(crops: list[_Crop], bin_width: float) -> list[Row]:
    measured = in_threads(lambda crop: _on_the_host(crop[0], crop[1], bin_width), crops)
    rows, counts = [row for row, _ in measured], [count for _, count in measured]
    return [row | texture for row, texture in zip(rows, _glcm_features(counts), strict=True)]


def _on_the_host(
    hu: np.ndarray, mask: np.ndarray, bin_width: float
) -> tuple[Row, Float[np.ndarray, "o l l"]]:
    """First-order features and co-occurrence counts of one slice."""
    bins = np.floor(np.where(mask, hu, 0).astype(np.float64) / bin_width).astype(np.int32)
    levels = np.where(mask, bins - bins[mask].min() + 1, 0)
    row = _first_order(np.sort(hu[mask]).astype(np.float64), levels[mask])
    counts = glcm_counts(levels, int(levels.max()))
    return {f"firstorder_{name}": float(value) for name, value in row.items()}, counts


def _first_order(x: Float[np.ndarray, "n"], levels: Int[np.ndarray, "n"]) -> dict[str, Any]:
    """Of values in rising order and their levels."""
    mean = x.mean()
    deviation = x - mean
    squares = deviation * deviation
    variance = squares.mean()
    low, lower, middle, upper, high = (_quantile(x, share) for share in (0.1, 0.25, 0.5, 0.75, 0.9))
    core = x[np.searchsorted(x, low, "left") : np.searchsorted(x, high, "right")]
    share = np.bincount(levels) / x.size
    share = share[share > 0]
    energy = x @ x
    flat = variance == 0
    return {
        "10Percentile": low,
        "90Percentile": high,
        "Energy": energy,
        "Entropy": -np.sum(share * np.log2(share)),
        "InterquartileRange": upper - lower,
        "Kurtosis": 0.0 if flat else squares @ squares / x.size / variance**2,
        "Maximum": x[-1],
        "Mean": mean,
        "MeanAbsoluteDeviation": np.abs(deviation).mean(),
        "Median": middle,
        "Minimum": x[0],
        "Range": x[-1] - x[0],
        "RobustMeanAbsoluteDeviation": np.abs(core - core.mean()).mean(),
        "RootMeanSquared": np.sqrt(energy / x.size),
        "Skewness": 0.0 if flat else squares @ deviation / x.size / variance**1.5,
        "TotalEnergy": energy,
        "Uniformity": np.sum(share**2),
        "Variance": variance,
    }


def _quantile(rising: Float[np.ndarray, "n"], share: float) -> Any:
    """Linear between neighbours, as ``numpy.percentile``, which would sort again."""
    position = share * (rising.size - 1)
    low = int(position)
    high = min(low + 1, rising.size - 1)
    return rising[low] + (rising[high] - rising[low]) * (position - low)


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


def _glcm_features(counts: list[Float[np.ndarray, "o l l"]]) -> list[Row]:
    """Features of each slice's matrices, averaged over the directions that have pairs.

    Matrices and their number are filled up to few sizes, so that few shapes are compiled: an absent
    grey level changes no feature but those that divide by the number of levels.
    """
    rows: list[Row] = []
    for first in range(0, len(counts), _SLICE_BLOCK):
        block = counts[first : first + _SLICE_BLOCK]
        longest = max(count.shape[-1] for count in block)
        size = -(-longest // _LEVEL_BLOCK) * _LEVEL_BLOCK
        length = filled_length(len(block), _SLICE_BLOCK)
        matrices = np.zeros((length, len(DIRECTIONS), size, size))
        levels = np.ones(length)
        for number, count in enumerate(block):
            total = count.sum((1, 2), keepdims=True)
            levels[number] = count.shape[-1]
            matrices[number, :, : count.shape[-1], : count.shape[-1]] = count / np.maximum(total, 1)
        by_name = _matrix_features()(matrices, levels)
        rows += [_averaged(by_name, number, count) for number, count in enumerate(block)]
    return rows


def _averaged(by_name: dict[str, np.ndarray], number: int, counts: np.ndarray) -> Row:
    # pyradiomics has no answer for a region without neighbours either.
    present = counts.any((1, 2))
    return {
        f"glcm_{_pyradiomics_name(name)}": float(values[number][present].mean())
        if present.any()
        else float("nan")
        for name, values in by_name.items()
    }


@functools.cache
def _matrix_features() -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
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

    # A skew near zero is what is left of numbers a hundred times larger.
    return in_float64(jax.vmap(jax.vmap(evaluate, in_axes=(0, None))))


def _pyradiomics_name(name: str) -> str:
    """``joint_energy`` to ``JointEnergy``, ``imc1`` to ``Imc1``, ``mcc`` to ``MCC``."""
    return "MCC" if name == "mcc" else "".join(word.capitalize() for word in name.split("_"))
