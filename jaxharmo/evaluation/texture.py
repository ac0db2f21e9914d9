"""Texture of slices: GLCM grids, noise power spectra and radial power, and distances of them."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from jaxharmo.ops.glcm import GlcmConfig, glcm_features
from jaxharmo.ops.intensity import Window, normalize
from jaxharmo.ops.tissue import Image, Mask

FREQUENCIES = np.arange(0.25, 10, 0.5)
"""Middles of the bands of all spectra, line pairs per cm."""
_BAND = 0.5
PATCH = 20
"""Side of the patches that noise is measured in, pixels."""
_TRANSFORM = 64
"""Patches are filled up to this, so that every band holds a frequency."""
_SMOOTH = 3.0
"""Width of the Gaussian that takes the noise out before a patch is called uniform, pixels."""
UNIFORM = 100.0
"""Largest range of smoothed HU in a uniform patch."""


class Spectrum(NamedTuple):
    """Power by ``FREQUENCIES``, HU² mm²; NaN beyond what the pixels resolve."""

    power: Float[np.ndarray, "f"]
    count: int
    """Patches or slices that it is the mean of; NaN throughout where there is none."""


def glcm_grids(
    slices: Float[np.ndarray, "n h w"],
    masks: Bool[np.ndarray, "n h w"],
    window: Window,
    config: GlcmConfig | None = None,
) -> Float[np.ndarray, "n 16"]:
    """GLCM contrast of slices in HU at the 16 offsets of the texture loss, within ``masks``.

    ``window`` maps onto [-1, 1]. A slice whose mask is empty has a row of NaN.
    """
    shown = np.asarray(masks.any((1, 2)))
    # A mask without a pixel is refused; what it would give is not used.
    filled = masks | ~shown[:, None, None]
    images = normalize(jnp.asarray(slices), window)
    found = glcm_features(images, config or GlcmConfig(), mask=jnp.asarray(filled))["contrast"]
    return np.where(shown[:, None], np.asarray(found, np.float64), np.nan)


def grid_gap(a: Float[np.ndarray, "n o"], b: Float[np.ndarray, "m o"]) -> float:
    """How far the mean grids of two sets lie apart: mean over offsets of |ln (ā / b̄)|.

    0 for like textures; 0.1 is a contrast that differs by about 10 %. NaN where a set has no row.
    """
    means = [_finite_mean(rows) for rows in (a, b)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(np.abs(np.log(means[0] / means[1]))))


def _finite_mean(rows: np.ndarray) -> np.ndarray:
    kept = rows[np.isfinite(rows).all(1)]
    return kept.mean(0) if len(kept) else np.full(rows.shape[1], np.nan)


def noise_power(
    hu: Image, patches: list[tuple[int, int]], spacing: tuple[float, float]
) -> Spectrum:
    """Noise power spectrum of the patches of one slice at these top left corners.

    Δr Δc / N² <|DFT (x - plane)|²> over patches of N × N pixels (ICRU 87), averaged over rings of
    frequency; the plane is fitted to each patch. ``spacing`` is that of rows and columns, mm.
    """
    if not patches:
        return Spectrum(np.full(FREQUENCIES.size, np.nan), 0)
    cut = np.stack([hu[r : r + PATCH, c : c + PATCH] for r, c in patches]).astype(np.float64)
    noise = cut.reshape(len(cut), -1) @ _without_plane()
    images = noise.reshape(cut.shape)
    power = np.abs(np.fft.fft2(images, (_TRANSFORM, _TRANSFORM))) ** 2
    scale = spacing[0] * spacing[1] / PATCH**2
    rings = _rings((_TRANSFORM, _TRANSFORM), spacing)
    return Spectrum(_radial(power.mean(0) * scale, rings), len(patches))


def uniform_patches(hu: Image, mask: Mask) -> list[tuple[int, int]]:
    """Corners of patches inside ``mask`` without edges or vessels, half overlapping.

    Where the slice smoothed by 3 pixels spans less than ``UNIFORM`` HU. Use those of the source for
    its translation too.
    """
    if min(hu.shape) < PATCH or not mask.any():
        return []
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), _SMOOTH)
    half = PATCH // 2
    highest, lowest, inside = (
        np.asarray(ranked(array, PATCH, origin=-half))
        for ranked, array in (
            (ndimage.maximum_filter, smooth),
            (ndimage.minimum_filter, smooth),
            (ndimage.minimum_filter, mask.astype(np.uint8)),
        )
    )
    allowed = (inside > 0) & (highest - lowest < UNIFORM)
    rows, columns = (range(0, side - PATCH + 1, half) for side in hu.shape)
    return [(r, c) for r in rows for c in columns if allowed[r, c]]


def radial_power(hu: Image, spacing: tuple[float, float]) -> Spectrum:
    """Radial power of a whole slice about its mean, under a Hann window; HU² mm²."""
    height, width = hu.shape
    hann = np.hanning(height)[:, None] * np.hanning(width)
    x = hu.astype(np.float64)
    x = (x - np.sum(x * hann) / hann.sum()) * hann
    scale = spacing[0] * spacing[1] / np.sum(hann**2)
    power = np.abs(np.fft.fft2(x)) ** 2 * scale
    return Spectrum(_radial(power, _rings(hu.shape, spacing)), 1)


def log_spectral_distance(a: Spectrum, b: Spectrum) -> float:
    """Root mean square of 10 lg (P_a / P_b) over the bands of both, dB; NaN without one."""
    held = (a.power > 0) & (b.power > 0)
    if not held.any():
        return float("nan")
    return float(np.sqrt(np.mean((10 * np.log10(a.power[held] / b.power[held])) ** 2)))


@functools.lru_cache(32)
def _rings(shape: tuple[int, int], spacing: tuple[float, float]) -> np.ndarray:
    """Band of each frequency of a transform; the last stands for all that is left out."""
    # Pixels per mm to line pairs per cm.
    rows = np.fft.fftfreq(shape[0], spacing[0] / 10)
    columns = np.fft.fftfreq(shape[1], spacing[1] / 10)
    frequency = np.hypot(rows[:, None], columns)
    limit = min(10 / (2 * step) for step in spacing)
    band = np.floor(frequency / _BAND).astype(int)
    left_out = (frequency > limit) | (frequency == 0) | (band >= FREQUENCIES.size)
    return np.where(left_out, FREQUENCIES.size, band)


def _radial(power: np.ndarray, rings: np.ndarray) -> np.ndarray:
    count = np.bincount(rings.ravel(), minlength=FREQUENCIES.size + 1)[:-1]
    total = np.bincount(rings.ravel(), power.ravel(), FREQUENCIES.size + 1)[:-1]
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


@functools.cache
def _without_plane() -> np.ndarray:
    """Projection of a patch onto what no plane explains."""
    r, c = np.mgrid[:PATCH, :PATCH].reshape(2, -1)
    basis = np.linalg.qr(np.stack([np.ones(r.size), r, c], 1))[0]
    return np.eye(r.size) - basis @ basis.T
