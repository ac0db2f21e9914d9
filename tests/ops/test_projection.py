"""Projection, reconstruction and denoising against formulas, and against scikit-image."""

import functools
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle
from skimage.transform import radon

from jaxharmo.data.phantom.kernels import kernel_response
from jaxharmo.ops.iterative import Penalty, reconstruct
from jaxharmo.ops.projection import Geometry, adjoint, operations, project
from jaxharmo.ops.reconstruction import filter_lines, filtered_back_projection, noise_power
from jaxharmo.ops.total_variation import denoise

GEOMETRY = Geometry(views=180, elements=256, pitch=1.0)
SHAPE, SPACING = (128, 120), (1.5, 1.7)
WATER = functools.partial(kernel_response, "B30f")


def places(shape, spacing):
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def ellipse(centre, axes, shape=SHAPE, spacing=SPACING, fine=8):
    """Share of each pixel that the ellipse covers."""
    down, right = places([n * fine for n in shape], [step / fine for step in spacing])
    inside = ((down - centre[0]) / axes[0]) ** 2 + ((right - centre[1]) / axes[1]) ** 2 <= 1
    return inside.reshape(shape[0], fine, shape[1], fine).mean((1, 3))


def chords(centre, axes, geometry):
    """Lengths of an ellipse along all rays, mm (Kak & Slaney 1988, chapter 3.1)."""
    angle = np.arange(geometry.views)[:, None] * np.pi / geometry.views
    element = (np.arange(geometry.elements) - (geometry.elements - 1) / 2) * geometry.pitch
    offset = element - centre[0] * np.sin(angle) - centre[1] * np.cos(angle)
    width = (axes[0] * np.sin(angle)) ** 2 + (axes[1] * np.cos(angle)) ** 2
    return 2 * axes[0] * axes[1] * np.sqrt(np.maximum(width - offset**2, 0)) / width


@pytest.mark.parametrize("shape", [SHAPE, (65, 96)])
def test_adjoint_identity(shape):
    random = np.random.default_rng(0)
    # Positive on average, as inner products that nearly vanish have no relative error.
    images = random.uniform(-1, 2, (2, *shape)).astype(np.float32)
    lines = random.uniform(-1, 2, (2, GEOMETRY.views, GEOMETRY.elements)).astype(np.float32)
    forward = np.float64(project(images, GEOMETRY, SPACING))
    backward = np.float64(adjoint(lines, GEOMETRY, SPACING, shape))
    left, right = np.vdot(forward, lines), np.vdot(images, backward)
    assert left == pytest.approx(right, rel=1e-5)


def test_gradient_is_the_adjoint():
    random = np.random.default_rng(1)
    image = jnp.asarray(random.normal(size=(1, *SHAPE)), jnp.float32)
    lines = jnp.asarray(random.normal(size=(1, GEOMETRY.views, GEOMETRY.elements)), jnp.float32)
    gradient = jax.grad(lambda x: (project(x, GEOMETRY, SPACING) * lines).sum())(image)
    expected = adjoint(lines, GEOMETRY, SPACING, SHAPE)
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("centre", "axes"), [((0, 0), (60, 60)), ((12, -20), (50, 25)), ((-40, 30), (9, 14))]
)
def test_line_integrals_of_ellipses(centre, axes):
    exact = chords(centre, axes, GEOMETRY)
    made = np.asarray(project(ellipse(centre, axes)[None], GEOMETRY, SPACING))[0]
    # At the end of a chord its length falls with infinite slope, which no pixel has.
    inner = exact > 0.4 * exact.max()
    assert np.sqrt(np.mean((made - exact)[inner] ** 2)) < 0.01 * exact.max()
    assert made.sum(1) == pytest.approx(exact.sum(1), rel=0.01)


def test_projections_are_those_of_scikit_image():
    size, views = 128, 60
    distance = np.hypot(*places((size, size), (1, 1)))
    texture = np.random.default_rng(2).normal(size=(size, size))
    image = (1 + 3 * ndimage.gaussian_filter(texture, 2)) * np.clip((55 - distance) / 8, 0, 1)
    geometry = Geometry(views=views, elements=size, pitch=1.0)
    ours = np.asarray(project(image[None], geometry, (1.0, 1.0)))[0]
    angles = np.linspace(0, 180, views, endpoint=False)
    # Its middle is the pixel size // 2, ours lies between pixels; its angles run the other way.
    shifted = ndimage.shift(image, 0.5, order=1)
    theirs = ndimage.shift(radon(shifted, -angles, circle=True), (-0.5, 0), order=3).T
    assert np.linalg.norm(ours - theirs) < 0.01 * np.linalg.norm(theirs)


def test_operations_grow_with_views_and_pixels():
    small, _ = operations(GEOMETRY, SHAPE)
    more, _ = operations(Geometry(views=360, elements=256, pitch=1.0), SHAPE)
    large, _ = operations(GEOMETRY, (256, 240))
    assert small < more < 2 * small
    assert small < large < 5 * small


def reconstructed(lines, strength=0.0, variance=None, edge=0.04):
    size, pixel = 128, 1.6
    start = filtered_back_projection(lines, GEOMETRY, (pixel, pixel), (size, size), WATER)
    if not strength:
        return np.asarray(start)
    smoothed = filter_lines(lines, GEOMETRY, WATER, ramp=False)
    penalty = Penalty(length=strength, edge=edge, iterations=8)
    compiled = jax.jit(
        lambda lines, variance, start: reconstruct(
            lines, variance, GEOMETRY, (pixel, pixel), start, penalty
        )
    )
    return np.asarray(compiled(smoothed, variance, start))


def water_lines():
    return chords((0, 0), (80, 80), GEOMETRY).astype(np.float32)


def test_water_cylinder_is_flat():
    (image,) = reconstructed(water_lines()[None])
    hu = 1000 * (image - 1)
    distance = np.hypot(*places((128, 128), (1.6, 1.6)))
    for low, high in pairwise(range(0, 75, 10)):
        ring = (distance >= low) & (distance < high)
        assert hu[ring].mean() == pytest.approx(0, abs=3)
    assert hu[(distance > 88) & (distance < 100)].mean() == pytest.approx(-1000, abs=3)


def test_noise_power_spectrum_is_that_of_theory():
    count, deviation, pixel = 64, 0.3, 1.6
    noise = np.random.default_rng(3).normal(size=(count, 180, 256)) * deviation
    images = reconstructed(noise.astype(np.float32))[:, 32:96, 32:96]
    taper = np.outer(np.hanning(64), np.hanning(64))
    power = (np.abs(np.fft.fft2(images * taper)) ** 2).mean(0) * pixel**2 / (taper**2).sum()
    axis = np.fft.fftfreq(64, pixel / 10)
    frequency = np.hypot(axis[:, None], axis)
    for low, high in pairwise(np.arange(0.3, 3.0, 0.45)):
        ring = (frequency > low) & (frequency <= high)
        theory = noise_power(np.array(deviation**2), GEOMETRY, frequency[ring], WATER)
        assert power[ring].mean() == pytest.approx(theory.mean(), rel=0.05)


def test_iterative_reconstruction_has_its_known_signature():
    """Less noise at unchanged edges, and what is left is of lower frequencies."""
    random = np.random.default_rng(4)
    disk = ellipse((20, -10), (25, 25), (128, 128), (1.6, 1.6))
    lines = water_lines() + 0.3 * np.asarray(project(disk[None], GEOMETRY, (1.6, 1.6)))[0]
    variance = np.exp(0.019 * lines) * 0.01
    noise = random.normal(size=(4, *lines.shape)) * np.sqrt(variance)
    many = np.concatenate([np.broadcast_to(lines, (1, *lines.shape)), lines + noise])
    many = many.astype(np.float32)
    variances = np.broadcast_to(variance, many.shape).astype(np.float32)
    plain = reconstructed(many)
    strong = reconstructed(many, 2.5, variances)
    inside = np.s_[:, 40:88, 40:88]
    deviations, middles, edges = [], [], []
    for images in (plain, strong):
        left = (images[1:] - images[1:].mean(0))[inside]
        power = (np.abs(np.fft.fft2(left * np.outer(np.hanning(48), np.hanning(48)))) ** 2).mean(0)
        axis = np.fft.fftfreq(48, 0.16)
        deviations.append(left.std())
        middles.append((power * np.hypot(axis[:, None], axis)).sum() / power.sum())
        # The profile through the disk's edge, without noise.
        edges.append(np.abs(np.diff(images[0, 76, 50:86])).max())
    assert deviations[1] < 0.75 * deviations[0]
    assert middles[1] < 0.9 * middles[0]
    assert edges[1] == pytest.approx(edges[0], rel=0.05)


def test_iterative_reconstruction_without_penalty_is_filtered_back_projection():
    lines = water_lines()[None]
    plain = reconstructed(lines)
    again = reconstructed(lines, 1e-3, np.ones_like(lines))
    distance = np.hypot(*places((128, 128), (1.6, 1.6)))
    assert np.abs(again - plain)[0, distance < 70].max() < 0.003


def test_total_variation_is_that_of_scikit_image():
    random = np.random.default_rng(5)
    image = np.zeros((48, 64)) + random.normal(size=(48, 64)) * 0.1
    image[10:30, 20:50] += 1
    ours = np.asarray(denoise(jnp.asarray(image[None], jnp.float32), jnp.float32([0.2]), 300))[0]
    theirs = denoise_tv_chambolle(image, weight=0.2, eps=1e-9, max_num_iter=3000)
    np.testing.assert_allclose(ours, theirs, atol=0.01)
