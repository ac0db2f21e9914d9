"""Soft assignment against the literal formula in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from literal import CASES, literal_weights, name_of

from jaxharmo.ops.binning import by_level, linear_binning, soft_histogram, weights


@pytest.mark.parametrize("binning", CASES, ids=name_of)
def test_weights_are_the_formula(binning):
    image = np.random.default_rng(0).uniform(-1, 1, (9, 11))
    found = weights(jnp.asarray(image, jnp.float32), binning)
    np.testing.assert_allclose(found, literal_weights(image, binning), atol=2e-5)


@pytest.mark.parametrize("binning", CASES, ids=name_of)
def test_values_beyond_the_range_count_as_its_ends(binning):
    found = weights(jnp.array([[-9.0, 1.06, jnp.inf]]), binning)
    ends = weights(jnp.array([[-1.0, 1.0, 1.0]]), binning)
    np.testing.assert_array_equal(found, ends)


LEVELS = linear_binning(7, (-1.0, 1.0))


def test_shares_and_values_by_level_are_sums_of_weights():
    random = np.random.default_rng(0)
    images = jnp.asarray(random.uniform(-1.2, 1.2, (3, 9, 11)), jnp.float32)
    values, cotangent = random.normal(size=(3, 7)), random.normal(size=(3, 9, 11))
    dense = jax.vmap(lambda image: weights(image, LEVELS))(images)
    np.testing.assert_allclose(soft_histogram(images, LEVELS), dense.mean((1, 2)), atol=1e-6)
    found, pull_back = jax.vjp(lambda x, v: by_level(x, v, LEVELS), images, jnp.asarray(values))
    expected, literal = jax.vjp(
        lambda x, v: jnp.einsum(
            "bhwl,bl->bhw", jax.vmap(lambda image: weights(image, LEVELS))(x), v
        ),
        images,
        jnp.asarray(values),
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for one, other in zip(pull_back(cotangent), literal(cotangent), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_gradient_of_the_histogram_is_that_of_the_weights():
    images = jnp.asarray(np.random.default_rng(1).uniform(-1.2, 1.2, (3, 9, 11)), jnp.float32)
    target = jnp.linspace(-1, 1, 7) ** 2

    def total(shares):
        return (shares * target).sum()

    found = jax.grad(lambda x: total(soft_histogram(x, LEVELS)))(images)
    dense = jax.grad(
        lambda x: total(jax.vmap(lambda image: weights(image, LEVELS))(x).mean((1, 2)))
    )(images)
    np.testing.assert_allclose(found, dense, atol=1e-6)
