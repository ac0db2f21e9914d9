"""The generator that filters: its polynomials, its gain, its residual network, its styles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from scipy.interpolate import BarycentricInterpolator

from jaxharmo.models.filters import (
    FilterGenerator,
    Residual,
    coarse,
    filter_image,
    filter_reach,
    fine,
)

TERMS, WIDTH, SIDE, STYLE = 4, 3, 96, 5
SECOND = np.array([-1, 2, -1]) / 4
"""Its eigenvalues are sin²(πu)."""


@pytest.fixture(scope="module")
def params():
    """Random, of about the size that training gives them."""
    image, style = jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, STYLE))
    model = FilterGenerator(TERMS, WIDTH)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image, style, style)
    random = np.random.default_rng(0)
    return {
        name: jax.tree.map(
            lambda leaf, size=size: random.normal(0, size, leaf.shape), shapes["params"][name]
        )
        for name, size in {
            name: 0.006 if "gain" in name else 0.03 for name in shapes["params"]
        }.items()
    }


def apply(params, image, style, only=None):
    if only:
        params = {
            name: leaf if name == only else jax.tree.map(np.zeros_like, leaf)
            for name, leaf in params.items()
        }
    model = FilterGenerator(TERMS, 0 if only else WIDTH)
    return np.asarray(model.apply({"params": params}, image, style, jnp.zeros_like(style)))


def noise(scale=0.1):
    return scale * jax.random.normal(jax.random.key(0), (1, SIDE, SIDE, 1))


def literal_filter(image, coefficients, operator):
    dilation = {fine: 1, coarse: 4}[operator]
    second = np.zeros(2 * dilation + 1)
    second[::dilation] = SECOND

    def spread(x):
        down, along = (ndimage.correlate1d(x, second, axis, mode="nearest") for axis in (0, 1))
        both = ndimage.correlate1d(along, second, 0, mode="nearest")
        return x - 2 / 1.14 * (down + along - 0.86 * both)

    before, now, made = image, spread(image), np.zeros_like(image)
    for coefficient in coefficients:
        made += coefficient * (now - image)
        before, now = now, 2 * spread(now) - before
    return made


@pytest.mark.parametrize("operator", [fine, coarse])
def test_filter_against_a_literal_recursion(operator):
    random = np.random.default_rng(0)
    coefficients, image = random.normal(size=(2, 5)), random.normal(size=(2, 24, 31, 1))
    found = filter_image(jnp.asarray(image), jnp.asarray(coefficients), operator)
    for number in range(2):
        expected = literal_filter(image[number, ..., 0], coefficients[number], operator)
        np.testing.assert_allclose(found[number, ..., 0], expected, atol=1e-4)


@pytest.mark.parametrize("operator", [fine, coarse])
def test_gradient_of_the_filter_is_its_adjoint(operator):
    """It is linear in the image and in the coefficients."""
    random = np.random.default_rng(1)
    image, other, cotangent = random.normal(size=(3, 2, 24, 31, 1)).astype(np.float32)
    first, second = random.normal(size=(2, 2, 5)).astype(np.float32)
    _, pull_back = jax.vjp(lambda x, c: filter_image(x, c, operator), image, first)
    slope, slopes = pull_back(cotangent)
    by_image = (filter_image(other, first, operator) * cotangent).sum()
    np.testing.assert_allclose((slope * other).sum(), by_image, rtol=1e-3)
    by_coefficients = (filter_image(image, second, operator) * cotangent).sum()
    np.testing.assert_allclose((slopes * second).sum(), by_coefficients, rtol=1e-3)


def test_the_gain_is_the_exponential_of_the_polynomial_through_its_knots(params):
    style = jnp.full((1, STYLE), 0.5)
    impulse = jnp.zeros((1, SIDE, SIDE, 1)).at[0, SIDE // 2, SIDE // 2].set(1.0)
    response = np.abs(np.fft.fft2(apply(params, impulse, style, only="fine_gain")[0, ..., 0]))
    along = np.sin(np.pi * np.fft.fftfreq(SIDE)) ** 2
    eigenvalues = 1 - 2 / 1.14 * (np.add.outer(along, along) - 0.86 * np.outer(along, along))
    values = 20.0 * 0.5 * params["fine_gain"]["kernel"].sum(0)
    knots = np.cos(np.arange(TERMS + 1) * np.pi / (TERMS + 0.5))
    through = BarycentricInterpolator(knots, np.r_[0.0, values])
    assert response.std() > 0.02
    np.testing.assert_allclose(response, np.exp(through(eigenvalues)), rtol=2e-3)


def test_gains_are_round():
    """Frequencies of one eigenvalue lie on a circle, up to 0.45 per pixel."""
    radius, angle = np.meshgrid(np.linspace(0.05, 0.42, 20), np.linspace(0, np.pi / 4, 9))
    down, along = (np.sin(np.pi * radius * f(angle)) ** 2 for f in (np.sin, np.cos))
    value = down + along - 0.86 * down * along
    as_along_an_axis = np.arcsin(np.sqrt(value)) / np.pi
    np.testing.assert_allclose(as_along_an_axis, radius, atol=0.0075)


def test_opposite_styles_undo_each_other(params):
    style, image = jnp.full((1, STYLE), 0.5), noise()
    there = apply(params, image, style, only="fine_gain")
    back = apply(params, there, -style, only="fine_gain")
    inner = (0, slice(16, -16), slice(16, -16))
    assert np.abs(there - image)[inner].max() > 0.02
    np.testing.assert_allclose(back[inner], image[inner], atol=2e-3)


def test_a_style_of_zeros_changes_nothing(params):
    np.testing.assert_array_equal(apply(params, noise(), jnp.zeros((1, STYLE))), noise())


def test_the_same_style_at_both_ends_changes_nothing(params):
    image, style = noise(), jax.random.normal(jax.random.key(1), (1, STYLE))
    # Below the floor there is something to give back, and the cut takes it again.
    image = jnp.maximum(image - 0.95, -1)
    made = FilterGenerator(TERMS, WIDTH).apply({"params": params}, image, style, style)
    np.testing.assert_array_equal(made, image)


def test_only_what_lies_on_the_floor_is_given_back(params):
    image = jnp.maximum(noise() - 0.95, -1)
    cut, correction = Residual(WIDTH).apply(
        {"params": params["residual"]}, image, jnp.ones((1, STYLE))
    )
    np.testing.assert_array_equal(cut > 0, image == -1)
    twice = Residual(WIDTH).apply({"params": params["residual"]}, image, jnp.full((1, STYLE), 2.0))
    np.testing.assert_allclose(twice[1], 2 * correction, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(twice[0], cut)


def test_what_is_constant_is_only_shifted(params):
    image, style = jnp.full((1, SIDE, SIDE, 1), 0.3), jnp.ones((1, STYLE))
    change = apply(params, image, style) - image
    assert 0 < np.abs(change).max() < 0.05
    np.testing.assert_allclose(change, np.full_like(change, change[0, 0, 0, 0]), atol=1e-5)


def test_nothing_falls_below_the_floor(params):
    assert apply(params, noise() - 1, jnp.ones((1, STYLE))).min() == -1


def test_nothing_beyond_the_reach_is_seen(params):
    reach, centre, style = filter_reach(TERMS, WIDTH), SIDE // 2, jnp.ones((1, STYLE))
    before = apply(params, noise(), style)[0, centre, centre]
    beyond = noise().at[0, centre, centre + reach + 1 :].add(1e4)
    np.testing.assert_array_equal(apply(params, beyond, style)[0, centre, centre], before)
    nearer = noise().at[0, centre, centre + filter_reach(TERMS, 0)].add(1e4)
    assert apply(params, nearer, style)[0, centre, centre] != before


def test_gradients_are_finite(params):
    def total(params, style):
        image = jnp.maximum(noise() - 0.9, -1)
        made = FilterGenerator(TERMS, WIDTH).apply({"params": params}, image, style, 0 * style)
        return jnp.square(made).sum()

    for gradient in jax.tree.leaves(jax.jit(jax.grad(total, (0, 1)))(params, jnp.ones((1, STYLE)))):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
