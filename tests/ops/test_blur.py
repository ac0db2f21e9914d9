"""Blurs against SciPy, and the gradient of the binomial one against the adjoint identity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxharmo.ops.blur import binomial_blur, gaussian_blur
from jaxharmo.ops.pyramid import DETAIL_GAIN, pyramid

RANDOM = np.random.default_rng(0)


def literal(image, dilation=1):
    kernel = np.zeros((2 * dilation + 1,) * 2)
    kernel[::dilation, ::dilation] = np.outer([1, 2, 1], [1, 2, 1]) / 16
    return ndimage.correlate(image, kernel, mode="nearest")


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_blur_is_the_correlation_with_edges_repeated(dilation):
    image = RANDOM.normal(size=(2, 12, 17, 3))
    found = binomial_blur(jnp.asarray(image), dilation)
    for number in range(2):
        for channel in range(3):
            expected = literal(image[number, ..., channel], dilation)
            np.testing.assert_allclose(found[number, ..., channel], expected, atol=1e-6)


@pytest.mark.parametrize("axis", [1, 2])
def test_blur_along_one_axis(axis):
    image = RANDOM.normal(size=(2, 12, 17, 1))
    expected = ndimage.correlate1d(image, np.array([1, 2, 1]) / 4, axis, mode="nearest")
    np.testing.assert_allclose(binomial_blur(jnp.asarray(image), 1, (axis,)), expected, atol=1e-6)


@pytest.mark.parametrize("axes", [(1, 2), (1,), (2,)])
@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_gradient_of_the_blur_is_its_adjoint(dilation, axes):
    image, cotangent = RANDOM.normal(size=(2, 2, 12, 17, 3)).astype(np.float32)
    blurred, pull_back = jax.vjp(lambda x: binomial_blur(x, dilation, axes), image)
    (slope,) = pull_back(cotangent)
    np.testing.assert_allclose((slope * image).sum(), (blurred * cotangent).sum(), rtol=1e-4)


def test_pyramid_is_its_formula():
    image = RANDOM.normal(size=(20, 26))
    bands = [band[0, ..., 0] for band in pyramid(jnp.asarray(image[None, ..., None]), 4)]
    detail = image - literal(image)
    half = literal(literal(image))[::2, ::2]
    quarter = literal(literal(half))[::2, ::2]
    expected = [detail - literal(detail), literal(detail)]
    expected += [low - literal(low) for low in (half, quarter)]
    assert len(bands) == 4
    for found, wanted in zip(bands, expected, strict=True):
        np.testing.assert_allclose(found, DETAIL_GAIN * wanted, atol=1e-5)


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0, 3.0])
def test_gaussian_is_that_of_scipy(width):
    image = RANDOM.normal(size=(40, 33))
    expected = ndimage.gaussian_filter(image, width)
    ones = ndimage.gaussian_filter(np.ones(image.shape), width, mode="constant")
    with jax.enable_x64(True):
        found = gaussian_blur(jnp.asarray(image), width)
        inside = gaussian_blur(jnp.asarray(image), width, "left out")
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
        expected = ndimage.gaussian_filter(image, width, mode="constant") / ones
        np.testing.assert_allclose(inside, expected, rtol=1e-12, atol=1e-14)
    assert gaussian_blur(jnp.asarray(image, jnp.float32), width).dtype == jnp.float32
