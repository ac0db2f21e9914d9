"""Classical baselines of image harmonization, fitted on real slices of both domains."""

from collections.abc import Callable, Iterable

import numpy as np
from scipy import fft

MAX_FREQUENCY = 1.0
BINS = 100
_QUANTILES = np.linspace(0, 1, 1025)


def fit_histogram(sources: Iterable, targets: Iterable) -> Callable:
    """Map quantiles."""
    first, second = (
        np.quantile(np.concatenate([hu[::2, ::2].ravel() for hu in some]), _QUANTILES)
        for some in (sources, targets)
    )
    first, keep = np.unique(first, return_index=True)
    # The last of equal quantiles.
    return lambda hu: np.interp(hu, first, second[keep]).astype(np.float32)


def _frequencies(shape, spacing):
    return np.hypot(fft.fftfreq(shape[0], spacing[0])[:, None], fft.rfftfreq(shape[1], spacing[1]))


def _binned(values, frequency):
    index = np.minimum((frequency / MAX_FREQUENCY * BINS).astype(int), BINS - 1).ravel()
    return np.bincount(index, values.ravel(), BINS), np.bincount(index, minlength=BINS)


def _spectrum(hu):
    return fft.rfft2(hu - hu.mean())


def _filter(gain):
    centres = (np.arange(BINS) + 0.5) / BINS * MAX_FREQUENCY
    known = np.isfinite(gain)
    centres, gain = np.r_[0, centres[known]], np.r_[1, gain[known]]

    def apply(hu, spacing):
        pad = 32
        padded = np.pad(hu, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
        response = np.interp(_frequencies(padded.shape[1:], spacing), centres, gain)
        made = fft.irfft2(fft.rfft2(padded) * response, padded.shape[1:])
        return made[:, pad:-pad, pad:-pad].astype(np.float32)

    return apply


def fit_radial_filter(sources, targets):
    """Root of the ratio of radial powers."""
    powers = []
    for some in (sources, targets):
        total, count = np.zeros(BINS), np.zeros(BINS)
        for hu, spacing in some:
            frequency = _frequencies(hu.shape, spacing)
            power, number = _binned(
                np.abs(_spectrum(hu)) ** 2 / hu.size * np.prod(spacing), frequency
            )
            total, count = total + power, count + number
        powers.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return _filter(np.sqrt(powers[1] / powers[0]))


def fit_paired_filter(pairs):
    """Least squares radial transfer."""
    cross, power = np.zeros(BINS), np.zeros(BINS)
    for source, target, spacing in pairs:
        frequency = _frequencies(source.shape, spacing)
        a, b = _spectrum(source), _spectrum(target)
        cross += _binned((a.conj() * b).real, frequency)[0]
        power += _binned(np.abs(a) ** 2, frequency)[0]
    return _filter(np.where(power > 0, cross / np.where(power > 0, power, 1), np.nan))
