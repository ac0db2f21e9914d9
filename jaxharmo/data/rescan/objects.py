"""A slice as an object to scan: without its own noise, and in attenuation instead of HU."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import skimage  # Its parts load on first use.
from jaxtyping import Array, Float, Real
from scipy import ndimage

from jaxharmo.ops.tissue import segment
from jaxharmo.ops.total_variation import denoise

CUTOFF = 4.0
"""Line pairs per cm at which the object has lost half; beyond it, source kernels differ most."""
_GRID = 256
_HIGHEST = 3071.0
_AREA = 8.0
"""Side of the squares of soft tissue that noise is measured in, mm."""
_QUIETEST = 0.25
"""Quantile of their noise that is taken: in others there is anatomy as well."""
_LEAST_NOISE = 0.5
"""HU; what a slice without noise is taken to have."""
_PATCH, _REACH, _LIKENESS = 5, 6, 1.6
"""Of the non-local means: patch and search radius, pixels; bandwidth over the noise."""
_VARIATION, _ITERATIONS = 0.75, 60
"""Weight of the total variation over the noise, and steps."""

Image = Float[np.ndarray, "h w"]


def make_object(hu: Real[np.ndarray, "h w"], spacing: tuple[float, float], width: float) -> Image:
    """The object that a slice in HU shows: attenuation over that of water at 70 keV.

    Nothing farther than ``width`` / 2 mm from the middle.

    Low-pass, non-local means (Buades, Coll & Morel 2005, doi 10.1109/CVPR.2005.38), then total
    variation for what patches without a like keep. All three are steered by the noise in the
    slice's soft tissue. What is finer or fainter than that noise is lost.
    """
    smooth = _low_pass(np.clip(hu, -1000, _HIGHEST).astype(np.float32), spacing)
    noise = noise_level(smooth, spacing)
    means = skimage.restoration.denoise_nl_means(
        smooth,
        patch_size=_PATCH,
        patch_distance=_REACH,
        h=_LIKENESS * noise,
        sigma=noise,
        fast_mode=True,
    )
    flat = np.asarray(_flatten()(means[None], jnp.float32([_VARIATION * noise])))[0]
    places = [
        (np.arange(length) - (length - 1) / 2) * step
        for length, step in zip(hu.shape, spacing, strict=True)
    ]
    inside = np.hypot(places[0][:, None], places[1]) < width / 2
    return np.maximum(1 + flat / 1000, 0).astype(np.float32) * inside


def noise_level(hu: Image, spacing: tuple[float, float]) -> float:
    """Standard deviation of the noise in soft tissue, HU; of the whole slice where none is."""
    sides: Any = [max(3, round(_AREA / step)) for step in spacing]
    mean = ndimage.uniform_filter(hu.astype(np.float64), sides)
    variance = ndimage.uniform_filter(hu.astype(np.float64) ** 2, sides) - mean**2
    soft = np.asarray(ndimage.minimum_filter(segment(hu, _GRID).soft, sides))
    found = np.extract(soft if soft.any() else np.ones_like(soft), variance)
    return max(_LEAST_NOISE, float(np.sqrt(max(0.0, np.quantile(found, _QUIETEST)))))


def _low_pass(hu: Image, spacing: tuple[float, float]) -> Image:
    height, width = hu.shape
    rows = np.fft.fftfreq(height, spacing[0] / 10)
    columns = np.fft.rfftfreq(width, spacing[1] / 10)
    gain = 0.5 ** ((rows[:, None] ** 2 + columns**2) / CUTOFF**2)
    return np.fft.irfft2(np.fft.rfft2(hu) * gain, (height, width)).astype(np.float32)


@lru_cache(1)
def _flatten() -> Callable[..., Array]:
    return jax.jit(lambda images, weights: denoise(images, weights, _ITERATIONS))
