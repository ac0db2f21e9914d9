"""The losses on the spread of styles against their formulas, and what minimises them."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import energy_distance as energy_root

from jaxharmo.losses.spread import energy_distance, squared_mean

KEY = jax.random.key(0)


def pairs(mean, deviation, count=200_000, seed=0):
    random = np.random.default_rng(seed)
    first, second = random.normal(mean, deviation, (2, count, 1)).astype(np.float32)
    return jnp.asarray(first), jnp.asarray(second)


def test_it_is_the_energy_distance():
    drawn, real = pairs(0.1, 0.5), pairs(-0.3, 0.2, seed=1)
    root = energy_root(*(np.concatenate(pair)[:, 0] for pair in (drawn, real)))
    np.testing.assert_allclose(energy_distance(drawn, real), root**2, rtol=0.02)
    np.testing.assert_allclose(energy_distance(real, pairs(-0.3, 0.2, seed=2)), 0, atol=1e-3)


def test_drawn_styles_take_on_the_distribution_of_the_real_ones():
    """By gradient descent from another mean and another spread, with batches of four."""

    def loss(parameters, latents, real):
        drawn = tuple(parameters[0] + parameters[1] * z for z in latents)
        return energy_distance(drawn, real)

    slope = jax.jit(jax.grad(loss))
    parameters = jnp.array([-1.0, 0.05])
    for step in range(2000):
        latents, real = pairs(0, 1, 4, seed=(0, step)), pairs(0.5, 0.3, 4, seed=(1, step))
        parameters -= 0.05 * (1 - step / 2000) * slope(parameters, latents, real)
    np.testing.assert_allclose(np.abs(parameters), [0.5, 0.3], atol=0.05)


def test_real_styles_are_constants():
    def loss(real):
        return energy_distance((jnp.zeros((4, 1)), jnp.ones((4, 1))), (real, 2 * real))

    np.testing.assert_array_equal(jax.grad(loss)(jnp.ones((4, 1))), 0)


def test_the_squared_mean_does_not_hold_the_variance():
    mean = jnp.array([0.3, -0.4])
    first, second = mean + jax.random.normal(KEY, (2, 200_000, 2))
    np.testing.assert_allclose(squared_mean(first, second), 0.25, atol=0.02)
