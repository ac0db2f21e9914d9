"""The tiles of minimal filtering against XLA's convolution and a literal float64 sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxharmo.models import convolution
from jaxharmo.models.convolution import convolve, correlate

SHAPE, CHANNELS = (2, 16, 8), (64, 72)


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(0)
    return [
        jnp.asarray(random.normal(size=shape), jnp.float32)
        for shape in (
            (*SHAPE, CHANNELS[0]),
            (3, 3, *CHANNELS),
            (*SHAPE, CHANNELS[1]),
        )
    ]


def literal(x, kernel):
    """Sums over the 3×3 neighbours, in float64."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)
    )


def assert_close(found, expected, tolerance=2e-5):
    """Within ``tolerance`` of the largest value."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_these_shapes_take_tiles(arrays):
    x, kernel, _ = arrays
    text = jax.jit(convolve).lower(x, kernel).as_text()
    assert "dot_general" in text
    assert "stablehlo.convolution" not in text


@pytest.mark.parametrize("function", [convolve, jax.grad(lambda *a: (convolve(*a) ** 2).sum())])
def test_a_gpu_gets_the_convolution_of_its_library(arrays, function):
    x, kernel, _ = arrays
    lowered = jax.jit(function).trace(x, kernel).lower(lowering_platforms=("cuda",))
    assert "stablehlo.convolution" in lowered.as_text()
    assert "dot_general" not in lowered.as_text()


def test_values_are_the_literal_sums(arrays):
    x, kernel, _ = arrays
    assert_close(convolve(x, kernel), literal(x, kernel))


def test_the_gradient_by_the_kernel_is_the_literal_sum(arrays):
    x, _, change = (np.asarray(array, np.float64) for array in arrays)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    expected = [
        [
            np.einsum("bhwc,bhwd->cd", padded[:, i : i + height, j : j + width], change)
            for j in (0, 1, 2)
        ]
        for i in (0, 1, 2)
    ]
    assert_close(correlate(arrays[0], arrays[2]), expected)


def penalty(function):
    """A scalar of values and, as R1 has it, of the squared gradient by the image."""

    def of_image(x, kernel):
        return jnp.tanh(function(jnp.tanh(function(x, kernel)), jnp.swapaxes(kernel, 2, 3))).sum()

    def scalar(x, kernel):
        value, pull_back = jax.vjp(lambda image: of_image(image, kernel), x)
        return value + jnp.square(pull_back(jnp.ones(()))[0]).sum()

    return jax.jit(jax.grad(scalar, (0, 1)))


def test_gradients_of_gradients_are_those_of_the_plain_convolution(arrays):
    x, kernel, _ = arrays
    kernel = kernel[:, :, :, :64] / 24
    found, expected = (
        penalty(function)(x, kernel) for function in (convolve, convolution._convolve_directly)
    )
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-4), found, expected)


@pytest.mark.parametrize("shape", [(1, 6, 8, 64), (1, 4, 4, 64), (2, 16, 16, 3)])
def test_other_shapes_are_convolved_directly(shape):
    x = jnp.ones(shape)
    kernel = jnp.ones((3, 3, shape[-1], 64))
    np.testing.assert_array_equal(convolve(x, kernel), convolution._convolve_directly(x, kernel))


def test_tiles_are_not_for_bfloat16(arrays):
    x, kernel, _ = (array.astype(jnp.bfloat16) for array in arrays)
    assert convolve(x, kernel).dtype == jnp.bfloat16
    assert "stablehlo.convolution" in jax.jit(convolve).lower(x, kernel).as_text()
