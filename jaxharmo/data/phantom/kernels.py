"""The phantom's reconstruction kernels: transfer functions with ratios measured on patients.

A kernel is its scanner's standard kernel times a ratio. The ratios are cross-spectra of patients
reconstructed twice, where kernels are linear and shift-invariant (coherence above 0.95 up to
5 lp/cm): Siemens B10f, B50f and B70f over B30f (mean of two patients, who agree within 5 %), B70f
over B40f and Philips L over B (one patient each, Lung-PET-CT-Dx, doi 10.7937/TCIA.2020.NNC2-0461).
The kernel C is not measured but halfway between B and L in the logarithm.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Frequency = Float[np.ndarray, "..."]

_FREQUENCY = np.arange(0.125, 6.7, 0.5)
"""Of the ratios below, line pairs per cm; beyond the last they stay as they are."""
# fmt: off
_B10_TO_B30 = np.array([
    1.000, 1.004, 0.962, 0.899, 0.822, 0.732, 0.631, 0.525,
    0.418, 0.315, 0.223, 0.148, 0.065, 0.024])
_B50_TO_B30 = np.array([
    0.996, 0.965, 0.989, 1.083, 1.234, 1.444, 1.720, 2.087,
    2.565, 3.179, 3.995, 5.044, 6.369, 8.052])
_B70_TO_B30 = np.array([
    0.980, 0.966, 1.022, 1.180, 1.428, 1.786, 2.322, 3.071,
    4.170, 5.720, 8.009, 11.316, 15.921, 22.899])
_B70_TO_B40 = np.array([
    1.002, 1.006, 1.050, 1.153, 1.319, 1.553, 1.876, 2.286,
    2.779, 3.381, 4.116, 4.969, 5.932, 7.007])
_L_TO_B = np.array([
    1.012, 1.150, 1.468, 1.952, 2.626, 3.498, 4.570, 5.789,
    7.246, 8.887, 10.565, 12.751, 13.894, 13.938])
# fmt: on
_STANDARD = np.ones(len(_FREQUENCY))


def _hann(frequency: Frequency) -> Frequency:
    """Zero at 6.5 lp/cm; puts the peak of the noise at 2.0 lp/cm, where B30f has it."""
    return 0.5 * (1 + np.cos(np.pi * np.minimum(frequency / 6.5, 1)))


def _gaussian(frequency: Frequency) -> Frequency:
    """1/e at 3.9 lp/cm, as the noise of B in soft tissue has it between 2 and 6 lp/cm."""
    return np.exp(-((frequency / 3.9) ** 2))


KERNELS: dict[str, tuple[Callable[[Frequency], Frequency], Float[np.ndarray, "f"]]] = {
    "B10f": (_hann, _B10_TO_B30),
    "B30f": (_hann, _STANDARD),
    "B40f": (_hann, _B70_TO_B30 / _B70_TO_B40),
    "B50f": (_hann, _B50_TO_B30),
    "B70f": (_hann, _B70_TO_B30),
    "B": (_gaussian, _STANDARD),
    "C": (_gaussian, np.sqrt(_L_TO_B)),
    "L": (_gaussian, _L_TO_B),
}
"""Response of the scanner's standard kernel, and the ratio to it."""


def kernel_ratio(kernel: str, frequency: Frequency) -> Frequency:
    """Transfer function over that of the scanner's standard kernel; frequencies in lp/cm."""
    ratio = KERNELS[kernel][1]
    # The measured ratio at the lowest frequency is a gain; a scanner calibrates it away.
    return np.interp(frequency, _FREQUENCY, ratio) / ratio[0]


def kernel_response(kernel: str, frequency: Frequency) -> Frequency:
    """Transfer function of a kernel at frequencies in lp/cm; 1 at frequency 0."""
    return KERNELS[kernel][0](frequency) * kernel_ratio(kernel, frequency)


def apply_kernel(
    ramp_image: Float[np.ndarray, "h w"], kernel: str, pixel: float
) -> Float[np.ndarray, "h w"]:
    """Apply a kernel to an image reconstructed with the pure ramp filter; ``pixel`` in mm.

    By the projection-slice theorem the same as filtering the projections.
    """
    height, width = ramp_image.shape
    rows = np.fft.fftfreq(height, pixel / 10)
    columns = np.fft.rfftfreq(width, pixel / 10)
    response = kernel_response(kernel, np.hypot(rows[:, None], columns))
    return np.fft.irfft2(np.fft.rfft2(ramp_image) * response, (height, width))
