"""The generator that filters: its waves, its gain, its residual network, its styles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from jaxharmo.models.filters import (
    FilterGenerator,
    LocalGains,
    Residual,
    between_levels,
    cosines,
    filter_image,
)

KNOTS, WIDTH, SIDE, STYLE = 6, 3, 96, 5


@pytest.fixture(scope="module")
def params():
    """Random, of about the size that training gives them."""
    image, style = jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, STYLE))
    model = FilterGenerator(KNOTS, WIDTH, local_gains=True)
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
    model = FilterGenerator(KNOTS, 0 if only else WIDTH, local_gains=True)
    return np.asarray(model.apply({"params": params}, image, style, jnp.zeros_like(style)))


def noise(scale=0.1):
    return scale * jax.random.normal(jax.random.key(0), (1, SIDE, SIDE, 1))


def literal_filter(image, values):
    """What is added, in float64 by SciPy's cosine transform."""
    down, along = (np.arange(length) / (2 * length) for length in image.shape)
    place = (np.hypot(down[:, None], along) * np.sqrt(2)) ** (2 / 3)
    knots = np.arange(1, len(values) + 2) / (len(values) + 1)
    log_gain = np.interp(place, knots, np.r_[0.0, values])
    return scipy.fft.idctn(np.expm1(log_gain) * scipy.fft.dctn(image, norm="ortho"), norm="ortho")


@pytest.mark.parametrize("length", [1, 7, 512])
def test_waves_against_scipy(length):
    expected = scipy.fft.dct(np.eye(length), axis=0, norm="ortho")
    np.testing.assert_allclose(cosines(length), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(24, 31), (256, 256)])
def test_filter_against_a_literal_one(shape):
    random = np.random.default_rng(0)
    values = random.normal(size=(2, KNOTS))
    image = random.uniform(-1, 1, size=(2, *shape, 1))
    found = filter_image(jnp.asarray(image, jnp.float32), jnp.asarray(values, jnp.float32))
    for number in range(2):
        expected = literal_filter(image[number, ..., 0], values[number])
        np.testing.assert_allclose(found[number, ..., 0], expected, atol=2e-5)


def test_a_filter_in_mm_does_the_same_on_every_grid():
    """Waves that a grid of 0.8 mm holds, on it and on one of 0.5 mm."""
    random = np.random.default_rng(0)
    values = jnp.asarray(random.normal(size=(1, KNOTS)), jnp.float32)
    waves, grids = np.zeros((64, 80)), {0.8: (40, 50), 0.5: (64, 80)}
    waves[:40, :50] = random.normal(size=(40, 50))
    found = {}
    for side, (height, width) in grids.items():
        image = scipy.fft.idctn(waves[:height, :width], norm="ortho")
        scaled = jnp.asarray(image[None, ..., None], jnp.float32)
        added = filter_image(scaled, values, jnp.array([side / 0.5]))[0, ..., 0]
        found[side] = scipy.fft.dctn(np.asarray(added), norm="ortho")
    np.testing.assert_allclose(found[0.5][:40, :50], found[0.8], atol=1e-4)
    assert np.abs(found[0.8]).max() > 1
    per_pixel = filter_image(scaled, values)[0, ..., 0]
    np.testing.assert_allclose(found[0.5], scipy.fft.dctn(per_pixel, norm="ortho"), atol=1e-5)


def test_gradients_of_the_filter():
    """It is linear in the image, and its operator is symmetric; by the values, differences."""
    random = np.random.default_rng(1)
    image, cotangent = random.normal(size=(2, 1, 24, 31, 1)).astype(np.float32)
    values = random.normal(size=(1, KNOTS)).astype(np.float32)
    _, pull_back = jax.vjp(filter_image, image, values)
    by_image, by_values = pull_back(jnp.asarray(cotangent))
    np.testing.assert_allclose(by_image, filter_image(cotangent, values), atol=1e-4)
    for knot in range(KNOTS):
        step = 1e-5 * np.eye(KNOTS)[knot]
        ends = [literal_filter(image[0, ..., 0], values[0] + sign * step) for sign in (1, -1)]
        slope = ((ends[0] - ends[1]) * cotangent[0, ..., 0]).sum() / 2e-5
        np.testing.assert_allclose(by_values[0, knot], slope, rtol=1e-3, atol=1e-3)


def test_opposite_styles_undo_each_other(params):
    style, image = jnp.full((1, STYLE), 0.5), noise()
    there = apply(params, image, style, only="gain")
    back = apply(params, there, -style, only="gain")
    assert np.abs(there - image).max() > 0.02
    np.testing.assert_allclose(back, image, atol=1e-5)


def test_a_style_of_zeros_changes_nothing(params):
    np.testing.assert_array_equal(apply(params, noise(), jnp.zeros((1, STYLE))), noise())


def test_the_same_style_at_both_ends_changes_nothing(params):
    image, style = noise(), jax.random.normal(jax.random.key(1), (1, STYLE))
    # Below the floor there is something to give back, and the cut takes it again.
    image = jnp.maximum(image - 0.95, -1)
    made = FilterGenerator(KNOTS, WIDTH, local_gains=True).apply(
        {"params": params}, image, style, style
    )
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


def test_local_gains_against_literal_ones():
    random = np.random.default_rng(0)
    image = random.normal(0, 0.05, (2, 40, 33)) * random.uniform(0, 2, (2, 1, 33))
    style = random.normal(size=(2, STYLE))
    kernels = 0.05 * random.normal(size=(3, STYLE, 9))
    variables = {f"band_{n}": {"kernel": kernel} for n, kernel in enumerate(kernels)}
    found = LocalGains().apply({"params": variables}, image[..., None], style)
    low, expected = image, np.zeros_like(image)
    for dilation, kernel in zip((1, 2, 4), kernels, strict=True):
        smooth = blurred(low, dilation)
        band, low = low - smooth, smooth
        around = blurred(blurred(np.abs(band), dilation), 2 * dilation)
        activity = np.log2(around + 2.0**-12)
        for n in range(2):
            log_gain = np.interp(activity[n], np.arange(-10, -1), 5 * style[n] @ kernel)
            expected[n] += np.expm1(log_gain) * band[n]
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found[..., 0], expected, atol=2e-5)


def blurred(images, dilation):
    weights = np.zeros(2 * dilation + 1)
    weights[[0, dilation, -1]] = 0.25, 0.5, 0.25
    for axis in (1, 2):
        images = scipy.ndimage.correlate1d(images, weights, axis, mode="nearest")
    return images


def test_what_is_constant_is_only_shifted(params):
    image, style = jnp.full((1, SIDE, SIDE, 1), 0.3), jnp.ones((1, STYLE))
    change = apply(params, image, style) - image
    assert 0 < np.abs(change).max() < 0.05
    np.testing.assert_allclose(change, np.full_like(change, change[0, 0, 0, 0]), atol=1e-5)


def test_nothing_falls_below_the_floor(params):
    assert apply(params, noise() - 1, jnp.ones((1, STYLE))).min() == -1


def test_gradients_are_finite(params):
    def total(params, style):
        image = jnp.maximum(noise() - 0.9, -1)
        made = FilterGenerator(KNOTS, WIDTH, local_gains=True).apply(
            {"params": params}, image, style, 0 * style
        )
        return jnp.square(made).sum()

    for gradient in jax.tree.leaves(jax.jit(jax.grad(total, (0, 1)))(params, jnp.ones((1, STYLE)))):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


def test_offsets_between_levels_are_interpolated():
    levels, random = (-0.9, -0.5, 0.1, 0.3), np.random.default_rng(0)
    image, values = random.uniform(-1, 1, (2, 5, 7)), random.normal(size=(2, 4))
    found = between_levels(jnp.asarray(image), jnp.asarray(values), levels)
    for each, shown, of in zip(found, image, values, strict=True):
        np.testing.assert_allclose(each, np.interp(shown, levels, of), atol=1e-6)


def test_a_calibration_shifts_each_tissue_by_its_offset():
    levels, style = (-0.9, -0.5, 0.1, 0.3), jnp.ones((1, STYLE))
    model = FilterGenerator(KNOTS, 0, local_gains=False, levels=levels)
    image = jnp.full((1, 16, 16, 1), 0.1)
    params = model.init(jax.random.key(0), image, style, style)["params"]
    kernel = np.zeros((STYLE, len(levels)))
    kernel[0] = 1, 2, 3, 4
    params = params | {"offset": {"kernel": kernel}}
    made = model.apply({"params": params}, image, style, jnp.zeros_like(style))
    # In units of 0.03 for a style of 1.
    np.testing.assert_allclose(made - image, 0.09, atol=1e-6)


def test_only_levels_move_offsets_and_they_move_nothing_else():
    levels, style = (-0.9, 0.1, 0.3), jnp.ones((1, STYLE))
    model = FilterGenerator(KNOTS, WIDTH, local_gains=True, levels=levels)
    image = noise()
    params = model.init(jax.random.key(0), image, style, style)["params"]

    def moved(number):
        def total(params):
            made = model.apply(
                {"params": params}, image, style, jnp.zeros_like(style), method="with_levels"
            )
            return jnp.square(made[number] - 0.5).sum()

        slopes = jax.jit(jax.grad(total))(params)
        return {name for name, slope in slopes.items() if any(map(np.any, jax.tree.leaves(slope)))}

    assert moved(1) == {"offset"}
    assert "offset" not in moved(0)
    assert {"gain", "local", "residual"} <= moved(0)
