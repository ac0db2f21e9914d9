"""Random fields with a power law: the texture of lung between its vessels, fat in muscle, holes.

A field is a sum of waves, isotropic in space with power |k|^-γ. Each frequency of the plane has
several waves along z, drawn from what the power law leaves for z: Student's t with γ - 1 degrees of
freedom and the scale |k| / sqrt(γ - 1). So a slice of any height and thickness is one inverse
Fourier transform, neighbours continue each other, and the mean over the thickness is exact.
"""

import functools

import numpy as np
from jaxtyping import Float
from scipy import ndimage

_PERIOD = 224.0
"""Length after which a field repeats along x and y, mm: more than a lung measures."""
_STEP = 0.7
"""Finest wave's half length, mm: 7.1 lp/cm, beyond what the kernels pass."""
_WAVES = 6
_COUNT = int(_PERIOD / _STEP)


class Fractal:
    """A field with mean 0; power of a thin slice is f^(1 - γ), of a thick one f^-γ."""

    def __init__(self, seed: tuple[int, ...], gamma: float, coarsest: float = _PERIOD):
        """``gamma`` above 1; waves longer than ``coarsest`` mm are left out."""
        random = np.random.default_rng(seed)
        rows = np.fft.fftfreq(_COUNT, _STEP)
        columns = np.fft.rfftfreq(_COUNT, _STEP)
        frequency = np.hypot(rows[:, None], columns).astype(np.float32)
        shape = (_WAVES, *frequency.shape)
        along = random.standard_t(gamma - 1, shape) * frequency / np.sqrt(gamma - 1)
        self._along = along.astype(np.float32)
        waves = random.standard_normal((2, *shape), np.float32)
        inside = (frequency >= 1 / coarsest) & (frequency <= 0.5 / _STEP)
        amplitude = np.zeros_like(frequency)
        amplitude[inside] = (10 * frequency[inside]) ** ((1 - gamma) / 2)
        scale = _COUNT / (_STEP * np.sqrt(2 * _WAVES))
        self._waves = (waves[0] + 1j * waves[1]) * amplitude * scale

    def slab(self, z: float, thickness: float) -> Float[np.ndarray, "n n"]:
        """Mean over a slice around ``z``, on the field's own grid.

        Power of thin slices is 1 mm² at 1 lp/cm.
        """
        phase = np.exp(2j * np.pi * self._along * np.float32(z))
        spectrum = np.sum(self._waves * phase * np.sinc(self._along * thickness), 0)
        return np.fft.irfft2(spectrum, (_COUNT, _COUNT)).astype(np.float32)


def sample(
    field: Float[np.ndarray, "n n"], x: Float[np.ndarray, "1 w"], y: Float[np.ndarray, "h 1"]
) -> Float[np.ndarray, "h w"]:
    """A field's slice at points in mm."""
    places = np.broadcast_arrays(y / np.float32(_STEP), x / np.float32(_STEP))
    return ndimage.map_coordinates(field, places, order=1, mode="grid-wrap")


fractal = functools.lru_cache(8)(Fractal)
