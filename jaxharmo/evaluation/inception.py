"""Inception features of whole CT slices, with the resizing of the tool to compare with.

Published FIDs differ by the filter that brings images to 299×299 pixels. Three are offered, named
after the tools that use them; none rounds intensities to 8 bits.
"""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxharmo.evaluation.weights.inception import load_variables
from jaxharmo.models.inception import SIDE, WIDTHS, Inception
from jaxharmo.ops.intensity import Window, normalize

Resize = Literal["torch-fidelity", "pytorch-fid", "clean-fid"]
BATCH = 8
"""Slices at a time; every batch is filled up to it, so that one shape is compiled."""


def inception_features(
    slices: Iterable[Float[np.ndarray, "h w"]],
    window: Window,
    weights: Path,
    resize: Resize = "clean-fid",
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Features of slices in HU at the taps 64, 192, 768 and 2048; slices may differ in size.

    ``window`` (HU) maps onto the range of the network, the same for every slice. ``weights`` is the
    user's file; ``InputError`` where it is not the known one.
    """
    extract = _extractor(weights)
    found: dict[str, list[np.ndarray]] = {tap: [] for tap in WIDTHS}
    batch: list[np.ndarray] = []

    def flush() -> None:
        filled = np.zeros((BATCH, SIDE, SIDE), np.float32)
        filled[: len(batch)] = batch
        for tap, values in extract(filled).items():
            found[tap].append(np.asarray(values)[: len(batch)])
        batch.clear()

    for hu in slices:
        batch.append(network_input(np.asarray(normalize(jnp.asarray(hu), window)), resize))
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    return {
        tap: np.concatenate([np.zeros((0, width), np.float32), *found[tap]])
        for tap, width in WIDTHS.items()
    }


def network_input(image: Float[np.ndarray, "h w"], resize: Resize) -> Float[np.ndarray, "299 299"]:
    """An image in [-1, 1] resized and scaled as the named tool does it to 8-bit values.

    ``torch-fidelity``: bilinear as in TensorFlow 1, corners at the corner, no antialiasing, then
    (x - 128) / 128. ``pytorch-fid``: bilinear about pixel centres, no antialiasing, x / 127.5 - 1.
    ``clean-fid``: Pillow's bicubic with antialiasing, clipped to 0-255, (x - 128) / 128.
    """
    rows, columns = (_resize_matrix(side, resize) for side in image.shape)
    bytes_like = rows @ ((image.astype(np.float64) + 1) * 127.5) @ columns.T
    if resize == "pytorch-fid":
        return (bytes_like / 127.5 - 1).astype(np.float32)
    if resize == "clean-fid":
        bytes_like = np.clip(bytes_like, 0, 255)
    return ((bytes_like - 128) / 128).astype(np.float32)


@functools.lru_cache(64)
def _resize_matrix(size: int, resize: Resize) -> Float[np.ndarray, "299 n"]:
    """Weights of the ``size`` old pixels along an axis in each of the new ones."""
    ratio = size / SIDE
    if resize == "clean-fid":
        # The filter widens with the step where the image shrinks.
        stretch = max(ratio, 1.0)
        centres = (np.arange(SIDE) + 0.5) * ratio - 0.5
        weights = _cubic((np.arange(size) - centres[:, None]) / stretch)
        return weights / weights.sum(1, keepdims=True)
    offset = 0.5 if resize == "pytorch-fid" else 0.0
    places = np.clip((np.arange(SIDE) + offset) * ratio - offset, 0, size - 1)
    return np.maximum(1 - np.abs(np.arange(size) - places[:, None]), 0)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys 1981 with a = -1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


@functools.lru_cache(1)
def _extractor(weights: Path) -> Callable[[np.ndarray], dict[str, Array]]:
    # Weights are an argument: as constants they would be compiled in.
    return functools.partial(jax.jit(Inception().apply), jax.device_put(load_variables(weights)))
