"""Filtered back-projection of parallel rays, and the noise that theory expects in it."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxharmo.ops.projection import Geometry, Spacing, adjoint, back_projection_scale
from jaxharmo.ops.ramp import ramp_filter

Response = Callable[[Float[np.ndarray, "f"]], Float[np.ndarray, "f"]]
"""Transfer function of a reconstruction kernel, of frequencies in line pairs per cm."""


def filtered_back_projection(
    lines: Float[Array, "b v m"],
    geometry: Geometry,
    spacing: Spacing,
    shape: tuple[int, ...],
    response: Response,
) -> Float[Array, "b h w"]:
    """Images of line integrals in mm (Kak & Slaney 1988, chapter 3.3), in units of the object.

    ``response`` times the ramp is the filter. Frequencies beyond the Nyquist frequency of the image
    are left out, so that nothing is folded back.
    """
    filtered = filter_lines(lines, geometry, response, ramp=True)
    return adjoint(filtered, geometry, spacing, shape) * back_projection_scale(geometry, spacing)


def filter_lines(
    lines: Float[Array, "b v m"], geometry: Geometry, response: Response, *, ramp: bool
) -> Float[Array, "b v m"]:
    """Each view filtered along the detector with ``response``, and with the ramp (1/mm)."""
    gains = _gains(geometry, response, ramp)
    padded = 2 * geometry.elements
    return jnp.fft.irfft(jnp.fft.rfft(lines, padded) * gains, padded)[..., : geometry.elements]


def noise_power(
    variance: Float[np.ndarray, "..."],
    geometry: Geometry,
    frequency: Float[np.ndarray, "f"],
    response: Response,
) -> Float[np.ndarray, "f"]:
    """Noise power spectrum of ``filtered_back_projection``, squared units of the object times mm².

    π pitch / views · mean variance · f · H(f)² (Kak & Slaney 1988, chapter 5.2), for white noise of
    ``variance`` (mm²) on the line integrals through a point; ``frequency`` in lp/cm, up to the
    Nyquist frequency.
    """
    step = np.pi * geometry.pitch / geometry.views
    return step * np.mean(variance) * (frequency / 10) * response(frequency) ** 2


@functools.lru_cache(32)
def _gains(geometry: Geometry, response: Response, ramp: bool) -> Float[np.ndarray, "f"]:
    frequency = np.fft.rfftfreq(2 * geometry.elements, geometry.pitch / 10)
    gains = response(frequency)
    if ramp:
        gains = gains * ramp_filter(2 * geometry.elements) / geometry.pitch
    return gains.astype(np.float32)
