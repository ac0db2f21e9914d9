"""Noise in soft tissue against its formula; what it does not depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxharmo.ops.intensity import normalize
from jaxharmo.ops.noise import soft_tissue_noise

WINDOW = (-1024.0, 1500.0)
UNIT = 2 / (WINDOW[1] - WINDOW[0])


def chest(deviation, *, tissue=40.0, size=128, seed=0):
    """HU: soft tissue around lungs, with white noise of its own in each."""
    random = np.random.default_rng(seed)
    hu = tissue + random.normal(0, deviation, (size, size))
    hu[size // 4 : size // 2, size // 4 : -size // 4] = -850 + random.normal(0, 90, (32, 64))
    return hu


def level(*slices):
    found = soft_tissue_noise(normalize(jnp.asarray(np.stack(slices)), WINDOW)[..., None], WINDOW)
    return [np.asarray(part) for part in found]


def test_white_noise_is_its_formula():
    found, weight = level(*(chest(sd) for sd in (5.0, 15.0, 40.0)))
    expected = np.log(np.array([5.0, 15.0, 40.0]) * UNIT * np.sqrt(1 - 2 / 4 + (6 / 16) ** 2))
    # Some 8,000 pixels of soft tissue: a deviation is known to a hundredth.
    np.testing.assert_allclose(found, expected, atol=0.03)
    np.testing.assert_array_equal(weight, 1)


def test_lungs_levels_and_borders_do_not_count():
    plain = level(chest(15.0))[0]
    np.testing.assert_allclose(level(chest(15.0, tissue=90.0))[0], plain, atol=0.01)
    softer = chest(15.0)
    softer[32:64, 32:-32] = -850
    # The lungs decide no more than which pixels lie at their border.
    np.testing.assert_allclose(level(softer)[0], plain, atol=1e-3)


def test_no_soft_tissue_has_no_weight():
    noise, weight = level(chest(15.0) - 900, chest(15.0) + 400)
    np.testing.assert_array_equal(weight, 0)
    assert np.isfinite(noise).all()


def noise(image):
    return soft_tissue_noise(image, WINDOW)[0].sum()


def test_the_gradient_is_that_of_finite_differences():
    image = normalize(jnp.asarray(chest(15.0)), WINDOW)[None, ..., None]
    slope = jax.grad(noise)(image)
    step = 1e-4 * jnp.sign(slope)
    change = (noise(image + step) - noise(image - step)) / 2
    assert float(change) == pytest.approx(float((slope * step).sum()), rel=0.01)


def test_the_gradient_is_finite_without_soft_tissue():
    slope = jax.grad(noise)(jnp.full((1, 64, 64, 1), -1.0))
    assert jnp.isfinite(slope).all()
