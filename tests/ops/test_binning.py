"""Soft assignment against the literal formula in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxharmo.ops.binning import Binning, moments, weights

CASES = [
    Binning(kind="linear", levels=32, value_range=(-1.0, 1.0), sigma=1.0, normalised=True),
    *(
        Binning(kind="gaussian", levels=32, value_range=(-1.0, 1.0), sigma=s, normalised=n)
        for s in (0.5, 1.0, 4.0, 16.0)
        for n in (True, False)
    ),
]


def literal_weights(image, binning):
    low, high = binning.value_range
    u = (image - low) / (high - low) * (binning.levels - 1)
    distance = u[..., None] - np.arange(binning.levels)
    if binning.kind == "linear":
        return np.maximum(0, 1 - np.abs(distance))
    w = np.exp(-0.5 * (distance / binning.sigma) ** 2)
    return w / w.sum(-1, keepdims=True) if binning.normalised else w


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(-1, 1, (9, 11))


@pytest.mark.parametrize("binning", CASES, ids=lambda b: f"{b.kind}-{b.sigma}-{b.normalised}")
def test_weights_are_the_formula(image, binning):
    np.testing.assert_allclose(
        weights(jnp.asarray(image, jnp.float32), binning),
        literal_weights(image, binning),
        atol=2e-5,
    )


@pytest.mark.parametrize("binning", CASES, ids=lambda b: f"{b.kind}-{b.sigma}-{b.normalised}")
def test_moments_are_those_of_the_weights(image, binning):
    w = literal_weights(image, binning)
    level = np.arange(binning.levels)
    mass = w.sum(-1)
    mean = (w * level).sum(-1) / mass
    variance = (w * (level - mean[..., None]) ** 2).sum(-1) / mass
    found = moments(jnp.asarray(image, jnp.float32), binning)
    np.testing.assert_allclose(found.mass, mass, rtol=2e-5)
    np.testing.assert_allclose(found.mean, mean, atol=1e-4)
    np.testing.assert_allclose(found.variance, variance, atol=2e-4 * max(1, binning.sigma**2))


@pytest.mark.parametrize("binning", CASES[1:], ids=lambda b: f"{b.kind}-{b.sigma}-{b.normalised}")
def test_gradient_of_the_moments_is_that_of_the_weights(image, binning):
    image = jnp.asarray(image, jnp.float32)
    level = jnp.arange(binning.levels, dtype=jnp.float32)

    def by_weights(x):
        w = weights(x, binning)
        mass = w.sum(-1)
        mean = w @ level / mass
        return jnp.sum(mass * jnp.sin(mean) + w @ level**2 / mass - mean**2)

    def by_moments(x):
        found = moments(x, binning)
        return jnp.sum(found.mass * jnp.sin(found.mean) + found.variance)

    expected, found = (jax.jit(jax.grad(f))(image) for f in (by_weights, by_moments))
    np.testing.assert_allclose(found, expected, atol=2e-3 * float(jnp.abs(expected).max()))


def test_values_beyond_the_range_stay_finite():
    image = jnp.array([[-9.0, 9.0, 1.06, 1.5, 2.0, 6.5, 7.6]])
    for binning in CASES:
        assert jnp.isfinite(weights(image, binning)).all()

        def total(x, b=binning):
            found = moments(x, b)
            return jnp.sum(found.mass * (found.mean + found.variance))

        value, gradient = jax.value_and_grad(total)(image)
        assert jnp.isfinite(value)
        assert jnp.isfinite(gradient).all()
