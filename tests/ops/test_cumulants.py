"""Cumulants of the weights against the literal formula in float64, by both evaluations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from literal import CASES, gaussian, literal_weights, name_of

from jaxharmo.ops.cumulants import _by_series, _by_window, _series, cumulants


def literal_cumulants(image, binning):
    """Mass, κ₁ … κ₅."""
    weights = literal_weights(image, binning)
    mass = weights.sum(-1)
    level = np.arange(binning.levels)
    mean = (weights * level).sum(-1) / mass
    from_mean = level - mean[..., None]
    m2, m3, m4, m5 = ((weights * from_mean**n).sum(-1) / mass for n in (2, 3, 4, 5))
    return mass, mean, m2, m3, m4 - 3 * m2**2, m5 - 10 * m2 * m3


def scales(binning):
    """What an error of a cumulant is to be compared with."""
    wide = max(1, binning.sigma if binning.kind == "gaussian" else 1)
    return (1, binning.levels, wide**2, wide**3, wide**4)


@pytest.fixture(scope="module")
def image():
    ends = [[-1.0, 1.0, 0.0]]
    return np.concatenate([np.random.default_rng(0).uniform(-1, 1, (31, 3)), ends])


@pytest.mark.parametrize("binning", CASES, ids=name_of)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-6), ("float64", 1e-13)])
def test_cumulants_are_those_of_the_weights(image, binning, dtype, tolerance):
    expected = literal_cumulants(image, binning)
    with jax.enable_x64(True):
        found = cumulants(jnp.asarray(image, dtype), binning, 4)
    assert all(values.dtype == dtype for values in found)
    for order, (values, scale) in enumerate(zip(found, scales(binning), strict=True)):
        np.testing.assert_allclose(
            values, expected[order], atol=tolerance * scale, rtol=0, err_msg=f"κ_{order}"
        )


@pytest.mark.parametrize(
    "binning", [case for case in CASES if case.kind == "gaussian"], ids=name_of
)
def test_slopes_are_the_next_cumulants(image, binning):
    mass, mean, *rest = literal_cumulants(image, binning)
    coordinate = (image + 1) / 2 * (binning.levels - 1)
    first = np.zeros_like(mass) if binning.normalised else mass * (mean - coordinate)
    expected = [slope / binning.sigma**2 * (binning.levels - 1) / 2 for slope in (first, *rest)]
    with jax.enable_x64(True):
        inner = jnp.asarray(image[:-1])
        _, found = jax.jvp(lambda x: cumulants(x, binning, 4), (inner,), (jnp.ones_like(inner),))
    for slope, wanted in zip(found, expected, strict=True):
        tolerance = 1e-12 * max(1, abs(wanted).max())
        np.testing.assert_allclose(slope, wanted[:-1], atol=tolerance, rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_series_and_window_agree(dtype, sigma):
    series = _series(64, sigma, 4, dtype)
    assert len(series)
    with jax.enable_x64(True):
        u = jnp.linspace(0, 63, 500, dtype=dtype)
        pairs = zip(_by_series(u, 64, series), _by_window(u, 64, sigma, 4), strict=True)
    for order, (one, other) in enumerate(pairs):
        tolerance = 50 * float(jnp.finfo(dtype).eps) * max(64, sigma**order)
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0, err_msg=f"κ_{order}")


def test_a_narrow_gaussian_takes_the_nearest_level():
    binning = gaussian(0.02, normalised=False)
    image = jnp.array([[0.1, 0.5, -0.3]])
    mass, mean, variance = cumulants(image, binning, 2)
    np.testing.assert_array_equal(mean, jnp.round((image + 1) * 15.5))
    assert not variance.any()
    assert jnp.isfinite(mass).all()


@pytest.mark.parametrize("binning", CASES, ids=name_of)
def test_values_beyond_the_range_count_as_its_ends_and_have_no_gradient(binning):
    total = lambda x: sum(values.sum() for values in cumulants(x, binning, 2))  # noqa: E731
    value, gradient = jax.value_and_grad(total)(jnp.array([-9.0, 1.06, 9.0]))
    assert value == pytest.approx(float(total(jnp.array([-1.0, 1.0, 1.0]))))
    assert not gradient.any()
