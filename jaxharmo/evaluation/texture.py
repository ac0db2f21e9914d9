"""Texture of slices: GLCM grids, noise power spectra and radial power, and distances of them."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import ndimage

from jaxharmo.evaluation.exact import in_float64
from jaxharmo.ops.blur import gaussian_blur
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
    values, planes = cut.reshape(len(cut), -1), _planes()
    noise = values - values @ planes @ planes.T
    power = _half_power(noise.reshape(cut.shape), (_TRANSFORM, _TRANSFORM))
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
    smooth = _smoothed(hu)
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


@in_float64
def _smoothed(hu: Float[Array, "h w"]) -> Float[Array, "h w"]:
    return gaussian_blur(hu, _SMOOTH)


def radial_power(hu: Image, spacing: tuple[float, float]) -> Spectrum:
    """Radial power of a whole slice about its mean, under a Hann window; HU² mm²."""
    height, width = hu.shape
    hann, total, square = _hann((height, width))
    x = hu.astype(np.float64)
    x = (x - np.vdot(x, hann) / total) * hann
    power = _half_power(x, (height, width)) * (spacing[0] * spacing[1] / square)
    return Spectrum(_radial(power, _rings((height, width), spacing)), 1)


def log_spectral_distance(a: Spectrum, b: Spectrum) -> float:
    """Root mean square of 10 lg (P_a / P_b) over the bands of both, dB; NaN without one."""
    held = (a.power > 0) & (b.power > 0)
    if not held.any():
        return float("nan")
    return float(np.sqrt(np.mean((10 * np.log10(a.power[held] / b.power[held])) ** 2)))


def _half_power(x: Float[np.ndarray, "... h w"], shape: tuple[int, int]) -> np.ndarray:
    """|DFT|² of real images filled up to ``shape``; the columns beyond the middle mirror others."""
    spectrum = np.fft.rfft2(x, shape)
    return spectrum.real**2 + spectrum.imag**2


@functools.lru_cache(8)
def _hann(shape: tuple[int, int]) -> tuple[np.ndarray, float, float]:
    """A window, its sum and that of its squares."""
    hann = np.hanning(shape[0])[:, None] * np.hanning(shape[1])
    return hann, float(hann.sum()), float(np.sum(hann**2))


@functools.lru_cache(32)
def _rings(
    shape: tuple[int, int], spacing: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bands of the frequencies of ``_half_power``; the last stands for all that is left out.

    With it how often each occurs in the whole transform, and the frequencies of each band.
    """
    # Pixels per mm to line pairs per cm.
    rows = np.fft.fftfreq(shape[0], spacing[0] / 10)
    columns = np.fft.rfftfreq(shape[1], spacing[1] / 10)
    frequency = np.hypot(rows[:, None], columns)
    limit = min(10 / (2 * step) for step in spacing)
    band = np.floor(frequency / _BAND).astype(int)
    left_out = (frequency > limit) | (frequency == 0) | (band >= FREQUENCIES.size)
    band = np.where(left_out, FREQUENCIES.size, band).ravel()
    own_mirror = 2 * np.arange(columns.size) % shape[1] == 0
    times = np.broadcast_to(np.where(own_mirror, 1.0, 2.0), frequency.shape).ravel()
    return band, times, np.bincount(band, times, FREQUENCIES.size + 1)[:-1]


def _radial(power: np.ndarray, rings: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    band, times, count = rings
    total = np.bincount(band, power.ravel() * times, FREQUENCIES.size + 1)[:-1]
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


@functools.cache
def _planes() -> np.ndarray:
    """Orthonormal basis of the planes over a patch."""
    r, c = np.mgrid[:PATCH, :PATCH].reshape(2, -1)
    return np.linalg.qr(np.stack([np.ones(r.size), r, c], 1))[0]
