"""The phantom's scanners: projection, noise and back-projection; the domains they give."""

import dataclasses

import numpy as np
import skimage  # Its parts load on first use.
from jaxtyping import Float

from jaxharmo.data.phantom.kernels import apply_kernel, kernel_response
from jaxharmo.ops.ramp import ramp_filter

Image = Float[np.ndarray, "h w"]
Lines = Float[np.ndarray, "h v"]

_WATER = 0.019
"""Linear attenuation of water, 1/mm, near 70 keV."""
_FINE = 8
"""Samples a detector element to which filtered projections are interpolated."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scanner:
    """What a scanner adds to the kernel."""

    manufacturer: str
    model: str
    field_of_view: float
    """Side of the image, mm."""
    photons: float
    """A detector element and view, unattenuated."""
    exposure: float
    """mAs, in proportion to the photons."""
    hu_offset: float
    """Error of its calibration, HU."""
    kernels: tuple[str, ...]


SCANNERS = (
    Scanner(
        manufacturer="PHANTOM",
        model="Ellipse",
        field_of_view=320.0,
        photons=2.0e5,
        exposure=100.0,
        hu_offset=0.0,
        kernels=("B10f", "B30f", "B40f", "B50f", "B70f"),
    ),
    Scanner(
        manufacturer="PHANTOM",
        model="Ellipse 64",
        field_of_view=330.0,
        photons=1.0e5,
        exposure=50.0,
        hu_offset=3.0,
        kernels=("B30f", "B70f"),
    ),
    Scanner(
        manufacturer="MIRAGE",
        model="Oval",
        field_of_view=350.0,
        photons=3.0e5,
        exposure=150.0,
        hu_offset=-5.0,
        kernels=("B", "C", "L"),
    ),
)
"""Two vendors; models of the first share kernels. 2e5 photons give B30f about 15 HU of noise."""

DOMAINS: dict[str, tuple[Scanner, str]] = {
    f"{scanner.manufacturer} {scanner.model} -- {kernel}": (scanner, kernel)
    for scanner in SCANNERS
    for kernel in scanner.kernels
}
"""Scanner and kernel of each domain of the phantom."""


def view_count(size: int) -> int:
    """Views over 180 degrees."""
    return round(1.25 * size)


def project(truth: Image, scanner: Scanner) -> Lines:
    """Line integrals of the attenuation of HU: Radon transform, a detector element a pixel.

    Sums over the image, turned with linear interpolation. The other sums of a turned image are
    the view at a right angle: half the turns of ``skimage.transform.radon``, the same result.
    """
    size, attenuation = len(truth), _WATER * (1 + truth / 1000)
    angles, lines = np.deg2rad(_angles(size)), np.empty((size, view_count(size)))
    half = len(angles) // 2 if len(angles) % 2 == 0 else len(angles)
    centre = size // 2
    # The turned image about its centre, which for an even size lies half a pixel off the middle.
    opposite = (2 * centre - np.arange(size)) % size
    for number, angle in enumerate(angles[:half]):
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        turn[:2, 2] = centre - turn[:2, :2].sum(1) * centre
        turned = skimage.transform.warp(attenuation, turn, clip=False)
        lines[:, number] = turned.sum(0)
        if half < len(angles):
            lines[:, number + half] = turned.sum(1)[opposite]
    return lines * scanner.field_of_view / size


def expose(lines: Lines, scanner: Scanner, random: np.random.Generator) -> Image:
    """Count photons (Poisson) behind the line integrals and reconstruct with the ramp filter.

    Returns attenuation, 1/mm.
    """
    counts = random.poisson(scanner.photons * np.exp(-lines))
    noisy = np.log(scanner.photons / np.maximum(counts, 1))
    return back_project(noisy, _angles(len(lines))) * len(lines) / scanner.field_of_view


def _angles(size: int) -> Float[np.ndarray, "v"]:
    return np.linspace(0, 180, view_count(size), endpoint=False)


def back_project(projections: Lines, angles: Float[np.ndarray, "v"]) -> Image:
    """Filtered back-projection with the ramp filter (Kak & Slaney 1988, chapter 3.3).

    ``angles`` in degrees. Filtered projections are interpolated band-limited: linear interpolation
    would damp the image below the Nyquist frequency and fold noise from above it.
    """
    size = len(projections)
    padded = 2 ** int(np.ceil(np.log2(2 * size)))
    spectrum = np.fft.rfft(projections, padded, axis=0) * ramp_filter(padded)[:, None]
    # In a longer transform the Nyquist frequency stands twice.
    spectrum[-1] /= 2
    filtered = np.fft.irfft(spectrum, padded * _FINE, axis=0) * _FINE
    rows = np.ascontiguousarray(filtered.T, dtype=np.float32)
    axis = np.arange(size) - size // 2
    inside = np.hypot(axis[:, None], axis) <= size // 2
    down, right = (part.astype(np.float32) * _FINE for part in np.nonzero(inside))
    down, right = down - size // 2 * _FINE, right - size // 2 * _FINE
    total = np.zeros(down.size)
    for row, angle in zip(rows, np.deg2rad(angles).astype(np.float32), strict=True):
        nearest = np.rint(right * np.cos(angle) - down * np.sin(angle)).astype(np.int32)
        total += row[nearest + size // 2 * _FINE]
    image = np.zeros((size, size))
    image[inside] = total * np.pi / len(angles)
    return image


def reconstruct(ramp_image: Image, scanner: Scanner, kernel: str) -> Image:
    """HU of an acquisition with one of the scanner's kernels."""
    pixel = scanner.field_of_view / len(ramp_image)
    return 1000 * (apply_kernel(ramp_image, kernel, pixel) / _WATER - 1) + scanner.hu_offset


def noise_power(
    scanner: Scanner,
    kernel: str,
    size: int,
    frequency: Float[np.ndarray, "..."],
    lines: Float[np.ndarray, "..."],
) -> Float[np.ndarray, "..."]:
    """Noise power spectrum in HU² mm² that theory expects behind the line integrals ``lines``.

    π / views · element · mean exp(line) / photons · f · H(f)² (Kak & Slaney 1988, chapter 5.2), up
    to the Nyquist frequency; ``frequency`` in lp/cm.
    """
    variance = np.mean(np.exp(lines)) / scanner.photons
    step = np.pi / view_count(size) * scanner.field_of_view / size
    power = step * variance * (frequency / 10) * kernel_response(kernel, frequency) ** 2
    return power * (1000 / _WATER) ** 2
