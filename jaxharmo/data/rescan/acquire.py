"""One virtual scanner at work: object -> expected signal -> counts -> image."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxharmo.data.rescan.beam import CORTICAL, spectrum, water_attenuation, water_correction
from jaxharmo.data.rescan.scanner import Scanner
from jaxharmo.ops.iterative import reconstruct
from jaxharmo.ops.projection import Geometry, Spacing, project
from jaxharmo.ops.reconstruction import filter_lines, filtered_back_projection

_BONE_FROM = 1.1
"""Attenuation over that of water (100 HU) above which a pixel holds bone."""
_THINNEST_BOWTIE = 0.1
"""Share of the beam that the bowtie lets through at least."""
_FEWEST = 1.0
"""Photons that a ray is taken to have, for its logarithm."""
_PATIENT = 280.0
"""Water that attenuates like the patient for whom the tube current is the scanner's own, mm."""
_BLOCK = 32
"""Elements that the tube current is ruled by together."""

Images = Float[Array | np.ndarray, "b h w"]
Lines = Float[Array | np.ndarray, "b v m"]
Seed = tuple[int, str, str, float]


def scan(
    objects: Images, spacing: Spacing, reconstructions: Sequence[Scanner], seeds: list[Seed]
) -> Iterator[Float[np.ndarray, "b n n"]]:
    """HU of ``objects`` (attenuation over that of water), for each of the reconstructions.

    These are one scanner, on several grids. ``seeds``: seed, name of the scanner, series and
    position of each slice.
    """
    scanner = reconstructions[0]
    expected, beam = _expected(scanner)(objects, jnp.asarray(spacing, jnp.float32))
    expected = np.asarray(expected)
    counts = np.stack(
        [count(each, scanner.electronic, seed) for each, seed in zip(expected, seeds, strict=True)]
    )
    for each in reconstructions:
        yield np.asarray(_image(each)(counts, beam))


def count(
    expected: Float[np.ndarray, "v m"], electronic: float, seed: Seed
) -> Float[np.ndarray, "v m"]:
    """Photons of every ray: Poisson, and electronic noise on top.

    The same for equal seeds, whatever else is drawn.
    """
    digest = hashlib.sha256(repr(seed).encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest, "big"))
    noise = random.standard_normal(expected.shape, np.float32) * np.float32(electronic)
    return random.poisson(expected).astype(np.float32) + noise


def expected_signal(
    objects: Images, spacing: Spacing, scanner: Scanner
) -> tuple[Lines, Float[Array, "b v m"]]:
    """Photons that every ray brings to the detector on average, and what it would without object.

    Focal spot and aperture blur the intensity, not its logarithm.
    """
    geometry = scanner.geometry
    bone = CORTICAL * jnp.maximum(objects - _BONE_FROM, 0) / (CORTICAL - _BONE_FROM)
    parts = jnp.stack([objects - bone, bone], 1).reshape(-1, *objects.shape[1:])
    lines = project(parts, geometry, spacing).reshape(
        len(objects), 2, geometry.views, geometry.elements
    )
    shares, water, denser = spectrum(scanner.kvp)
    passed = jnp.zeros_like(lines[:, 0])
    for share, soft, hard in zip(shares, water, denser, strict=True):
        passed = passed + share * jnp.exp(-soft * lines[:, 0] - hard * lines[:, 1])
    frequency = np.fft.rfftfreq(geometry.elements, geometry.pitch)
    blur = np.sinc(frequency * scanner.focal_spot) * np.sinc(frequency * scanner.aperture)
    passed = jnp.fft.irfft(jnp.fft.rfft(passed) * blur.astype(np.float32), geometry.elements)
    passed = jnp.maximum(passed, 1e-9)
    beam = scanner.photons * _current(passed, scanner) * _bowtie(scanner)
    return beam * passed, beam


def line_integrals(
    counts: Lines, beam: Lines, scanner: Scanner
) -> tuple[Float[Array, "b v m"], Float[Array, "b v m"]]:
    """Water behind the counts, mm, corrected for its beam hardening, and its variance.

    The variance is Poisson's and the electronics', at the counts as they are.
    """
    photons = jnp.maximum(counts, _FEWEST)
    logs = jnp.log(beam / photons)
    coefficients = water_correction(scanner.kvp)
    lines = jnp.zeros_like(logs)
    slope = jnp.zeros_like(logs)
    for power, coefficient in reversed(list(enumerate(coefficients, start=1))):
        slope = slope * logs + power * coefficient
        lines = (lines + coefficient) * logs
    return lines, slope**2 * (photons + scanner.electronic**2) / photons**2


def image(counts: Lines, beam: Lines, scanner: Scanner) -> Images:
    """HU reconstructed from counts, ``scanner.matrix`` pixels a side."""
    geometry, shape = scanner.geometry, (scanner.matrix, scanner.matrix)
    spacing = (scanner.pixel, scanner.pixel)
    lines, variance = line_integrals(jnp.asarray(counts), jnp.asarray(beam), scanner)
    water = filtered_back_projection(lines, geometry, spacing, shape, scanner.response)
    if scanner.strength:
        smoothed = filter_lines(lines, geometry, scanner.response, ramp=False)
        water = reconstruct(smoothed, variance, geometry, spacing, water, scanner.penalty)
    return 1000 * (water - 1) + scanner.offset


@lru_cache(64)
def _expected(scanner: Scanner) -> Callable[..., tuple[Array, Array]]:
    return jax.jit(partial(expected_signal, scanner=scanner))


@lru_cache(64)
def _image(scanner: Scanner) -> Callable[..., Array]:
    return jax.jit(partial(image, scanner=scanner))


def _current(passed: Lines, scanner: Scanner) -> Float[Array, "b v 1"]:
    """Tube current of every view over the scanner's, from the largest attenuation in the view.

    So it follows the views, the height in the body and the patient's size, as scanners' does.
    """
    # Of means over some elements: one ray through a vertebra must not decide.
    blocks = -jnp.log(passed).reshape(*passed.shape[:2], -1, _BLOCK).mean(-1)
    shares, water, _ = spectrum(scanner.kvp)
    usual = -np.log(np.exp(-_PATIENT * water) @ shares)
    return jnp.exp(scanner.modulation * (blocks.max(-1, keepdims=True) - usual))


def _bowtie(scanner: Scanner) -> Float[np.ndarray, "m"]:
    """What the bowtie lets through along the detector, 1 in the middle."""
    geometry: Geometry = scanner.geometry
    if not scanner.bowtie:
        return np.ones(geometry.elements, np.float32)
    place = (np.arange(geometry.elements) - (geometry.elements - 1) / 2) * geometry.pitch
    half = np.sqrt(np.maximum(scanner.bowtie**2 - place**2, 0))
    through = np.exp(-2 * water_attenuation() * (scanner.bowtie - half))
    return np.maximum(through, _THINNEST_BOWTIE).astype(np.float32)
