"""The generator that filters: its polynomials, its gain, and what a style may do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxharmo.models.filters import FilterGenerator, blur_polynomials, filter_reach

TERMS, SIDE, STYLE = 4, 96, 5
BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16


@pytest.fixture(scope="module")
def params():
    """Random, of about the size that training gives them."""
    image, style = jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, STYLE))
    shapes = jax.eval_shape(FilterGenerator(TERMS).init, jax.random.key(0), image, style)
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.normal(0, 0.03, leaf.shape), shapes["params"])


def apply(params, image, style, only=None):
    if only:
        params = {
            name: leaf if name == only else jax.tree.map(np.zeros_like, leaf)
            for name, leaf in params.items()
        }
    return np.asarray(FilterGenerator(TERMS).apply({"params": params}, image, style))


def noise(scale=0.1):
    return scale * jax.random.normal(jax.random.key(0), (1, SIDE, SIDE, 1))


@pytest.mark.parametrize("dilation", [1, 4])
def test_polynomials_against_a_literal_recursion(dilation):
    image = np.asarray(noise(), np.float64)[0, :, :, 0]
    kernel = np.zeros((2 * dilation + 1,) * 2)
    kernel[::dilation, ::dilation] = BINOMIAL
    spread = lambda x: 2 * ndimage.correlate(x, kernel, mode="nearest") - x  # noqa: E731
    before, now = image, spread(image)
    found = np.asarray(blur_polynomials(noise(), 5, dilation))[0]
    for number in range(5):
        np.testing.assert_allclose(found[..., number], now - image, atol=2e-6)
        before, now = now, 2 * spread(now) - before


def test_the_gain_is_the_exponential_of_the_series(params):
    style = jnp.full((1, STYLE), 0.5)
    impulse = jnp.zeros((1, SIDE, SIDE, 1)).at[0, SIDE // 2, SIDE // 2].set(1.0)
    response = np.abs(np.fft.fft2(apply(params, impulse, style, only="fine")[0, ..., 0]))
    blur = np.outer(*[np.cos(np.pi * np.fft.fftfreq(SIDE)) ** 2] * 2)
    coefficients = 4.0 * 0.5 * params["fine"]["kernel"].sum(0)
    series = np.polynomial.chebyshev.chebval(2 * blur - 1, np.r_[-coefficients.sum(), coefficients])
    assert response.std() > 0.02
    np.testing.assert_allclose(response, np.exp(series), rtol=2e-3)


def test_opposite_styles_undo_each_other(params):
    style, image = jnp.full((1, STYLE), 0.5), noise()
    there = apply(params, image, style, only="fine")
    back = apply(params, there, -style, only="fine")
    inner = (0, slice(16, -16), slice(16, -16))
    assert np.abs(there - image)[inner].max() > 0.02
    np.testing.assert_allclose(back[inner], image[inner], atol=2e-3)


def test_a_style_of_zeros_changes_nothing(params):
    np.testing.assert_array_equal(apply(params, noise(), jnp.zeros((1, STYLE))), noise())


def test_what_is_constant_is_only_shifted(params):
    image, style = jnp.full((1, SIDE, SIDE, 1), 0.3), jnp.ones((1, STYLE))
    change = apply(params, image, style) - image
    assert 0 < np.abs(change).max() < 0.05
    np.testing.assert_allclose(change, np.full_like(change, change[0, 0, 0, 0]), atol=1e-5)


def test_nothing_falls_below_the_floor(params):
    assert apply(params, noise() - 1, jnp.ones((1, STYLE))).min() == -1


def test_nothing_beyond_the_reach_is_seen(params):
    reach, centre, style = filter_reach(TERMS), SIDE // 2, jnp.ones((1, STYLE))
    before = apply(params, noise(), style)[0, centre, centre]
    beyond = noise().at[0, centre, centre + reach + 1 :].add(1e4)
    np.testing.assert_array_equal(apply(params, beyond, style)[0, centre, centre], before)
    nearer = noise().at[0, centre, centre + reach].add(1e4)
    assert apply(params, nearer, style)[0, centre, centre] != before


def test_gradients_are_finite(params):
    def total(params, style):
        return jnp.square(FilterGenerator(TERMS).apply({"params": params}, noise(), style)).sum()

    for gradient in jax.tree.leaves(jax.grad(total, (0, 1))(params, jnp.ones((1, STYLE)))):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
