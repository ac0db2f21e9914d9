"""The phantom's physics, measured back from images of test objects as a physicist would."""

import functools
import itertools

import numpy as np
import pytest
import skimage

from jaxharmo.data.phantom.kernels import KERNELS, apply_kernel, kernel_ratio, kernel_response
from jaxharmo.data.phantom.scanner import (
    DOMAINS,
    SCANNERS,
    back_project,
    expose,
    noise_power,
    project,
    reconstruct,
    view_count,
)

SIZE = 192
ACQUISITIONS = 16
WATER_RADIUS = 130.0
"""mm"""
ROUNDING = 1 / 12
"""Variance of rounding to whole HU."""


def radius(scanner, size=SIZE):
    """Distance of every pixel from the centre of rotation, mm."""
    axis = np.arange(size) - size // 2
    return np.hypot(axis[:, None], axis) * scanner.field_of_view / size


@functools.cache
def water_lines(scanner, size=SIZE):
    """Line integrals of a water cylinder."""
    return project(np.where(radius(scanner, size) < WATER_RADIUS, 0.0, -1000.0), scanner)


@functools.cache
def water_images(scanner, size=SIZE, count=ACQUISITIONS):
    """Repeated acquisitions of the cylinder."""
    seeds = [(SCANNERS.index(scanner), number) for number in range(count)]
    return [
        expose(water_lines(scanner, size), scanner, np.random.default_rng(seed)) for seed in seeds
    ]


def rings(pixel, count, width):
    """Frequencies, lp/cm, and masks of rings up to the Nyquist frequency; ``pixel`` in mm."""
    axis = np.fft.fftfreq(count, pixel / 10)
    frequency = np.hypot(axis[:, None], axis)
    edges = np.arange(width / 2, 5 / pixel, width)
    masks = [(low < frequency) & (frequency <= high) for low, high in itertools.pairwise(edges)]
    return frequency, masks


def noise_spectra(name, size, acquisitions):
    """Ring by ring what is measured in water, tapered, and what theory says, HU² mm²."""
    scanner, kernel = DOMAINS[name]
    pixel = scanner.field_of_view / size
    half = 9 * size // 32
    region = np.s_[size // 2 - half : size // 2 + half, size // 2 - half : size // 2 + half]
    images = [
        np.rint(reconstruct(image, scanner, kernel)[region]).astype(np.int16)
        for image in water_images(scanner, size, acquisitions)
    ]
    taper = np.outer(np.hanning(2 * half), np.hanning(2 * half))
    weight = taper**2 / (taper**2).sum()
    noise = np.stack(images) - np.mean(images, 0)
    power = (np.abs(np.fft.fft2(noise * taper)) ** 2).sum(0) / (acquisitions - 1)
    power *= pixel**2 / (taper**2).sum()
    places = np.random.default_rng(0).choice(
        radius(scanner, size)[region].ravel(), 2000, p=weight.ravel()
    )
    offsets = places[:, None] * np.cos(np.linspace(0, np.pi, 90, endpoint=False))
    profile = water_lines(scanner, size).mean(1)
    lines = np.interp(offsets, (np.arange(size) - size // 2) * pixel, profile)
    frequency, masks = rings(pixel, 2 * half, 0.75)
    theory = [noise_power(scanner, kernel, size, frequency[mask], lines).mean() for mask in masks]
    measured = [power[mask].mean() for mask in masks]
    # Of a spectrum that falls to nothing there is nothing to measure.
    seen = np.array(theory) > 0.01 * max(theory)
    return np.array(measured)[seen], np.array(theory)[seen] + ROUNDING * pixel**2


@pytest.mark.parametrize("name", DOMAINS)
def test_noise_power_spectrum_of_every_domain(name):
    measured, theory = noise_spectra(name, SIZE, ACQUISITIONS)
    assert len(measured) >= 3
    np.testing.assert_allclose(measured, theory, rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", DOMAINS)
def test_noise_power_spectrum_at_full_resolution(name):
    measured, theory = noise_spectra(name, 384, 32)
    assert len(measured) >= 6
    np.testing.assert_allclose(measured, theory, rtol=0.05)


@pytest.mark.parametrize("size", [SIZE, pytest.param(384, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", DOMAINS)
def test_transfer_function_of_every_domain_over_its_standard_kernel(name, size):
    scanner, kernel = DOMAINS[name]
    standard = next(k for k in scanner.kernels if (KERNELS[k][1] == 1).all())
    spectra = wire_spectra(scanner, size)
    frequency, masks = rings(scanner.field_of_view / size, size, 0.25)
    masks = [mask for mask in masks if kernel_response(standard, frequency[mask]).mean() > 0.01]
    assert len(masks) >= 9
    measured = [spectra[kernel][mask].mean() / spectra[standard][mask].mean() for mask in masks]
    designed = [
        kernel_response(kernel, frequency[mask]).mean()
        / kernel_response(standard, frequency[mask]).mean()
        for mask in masks
    ]
    assert designed[8] == pytest.approx(kernel_ratio(kernel, np.array(2.25)), rel=0.01)
    np.testing.assert_allclose(measured, designed, rtol=0.05)


@functools.cache
def wire_spectra(scanner, size):
    """Spectra of the image of a thin wire in water, without noise, by kernel."""
    distance = radius(scanner, size)
    water = np.where(distance < WATER_RADIUS, 0.0, -1000.0)
    with_wire, without = (project(water + hu * (distance < 1), scanner) for hu in (2000.0, 0.0))
    angles = np.linspace(0, 180, with_wire.shape[1], endpoint=False)
    wire = back_project(with_wire - without, angles)
    return {
        kernel: np.abs(np.fft.fft2(apply_kernel(wire, kernel, scanner.field_of_view / size)))
        for kernel in scanner.kernels
    }


def test_water_and_air_have_their_hounsfield_units():
    for scanner in SCANNERS:
        for kernel in scanner.kernels:
            image = reconstruct(water_images(scanner)[0], scanner, kernel)
            assert image[radius(scanner) < 100].mean() == pytest.approx(scanner.hu_offset, abs=2.5)
            ring = np.abs(radius(scanner) - 147) < 10
            assert image[ring].mean() == pytest.approx(scanner.hu_offset - 1000, abs=2.5)


@pytest.mark.parametrize("size", [96, 100])
def test_projections_are_those_of_scikit_image(size):
    """With an even number of views and with an odd one."""
    scanner = SCANNERS[0]
    noise = np.random.default_rng(0).normal(0, 300, (size, size))
    hu = np.where(radius(scanner, size) < WATER_RADIUS, noise, -1000.0)
    angles = np.linspace(0, 180, view_count(size), endpoint=False)
    attenuation = 0.019 * (1 + hu / 1000)
    expected = skimage.transform.radon(attenuation, angles) * scanner.field_of_view / size
    np.testing.assert_allclose(project(hu, scanner), expected, atol=1e-12)


def test_sharper_kernels_are_noisier():
    for scanner in SCANNERS:
        images = [reconstruct(water_images(scanner)[0], scanner, k) for k in scanner.kernels]
        noise = [image[radius(scanner) < 80].std() for image in images]
        assert (np.diff(noise) > 0).all()
    doses = [water_images(scanner)[0][radius(scanner) < 80].std() for scanner in SCANNERS[:2]]
    assert doses[1] > 1.3 * doses[0]


def test_kernels_keep_the_mean():
    for kernel in KERNELS:
        assert kernel_response(kernel, np.array(0.0)) == pytest.approx(1)
        flat = apply_kernel(np.full((64, 64), 0.02), kernel, 1.0)
        np.testing.assert_allclose(flat, 0.02, rtol=1e-6)


def test_kernels_of_a_scanner_run_from_smooth_to_sharp():
    for scanner in SCANNERS:
        ratios = [kernel_ratio(kernel, np.array(4.125)) for kernel in scanner.kernels]
        assert (np.diff(ratios) > 0.1).all()
    # Measured: Siemens B50f over B30f and Philips L over B.
    assert kernel_ratio("B50f", np.array(3.125)) == pytest.approx(1.720 / 0.996)
    assert kernel_ratio("L", np.array(3.125)) == pytest.approx(4.570 / 1.012)


def test_scanners_differ_in_pixels_dose_and_calibration():
    assert len(DOMAINS) == 10
    assert len({scanner.manufacturer for scanner in SCANNERS}) == 2
    for part in ("field_of_view", "photons", "hu_offset"):
        assert len({getattr(scanner, part) for scanner in SCANNERS}) == len(SCANNERS)
