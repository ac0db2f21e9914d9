"""Features of pairs: value and gradient against the literal matrix in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from literal import CASES, LINEAR, gaussian, literal_matrix, name_of

from jaxharmo.ops.haralick import MATRIX_FEATURES
from jaxharmo.ops.pairs import PAIR_FEATURES, pair_features

OFFSETS = ((0, 1), (-2, 2), (-3, 0), (-1, -1))
NAMES = tuple(PAIR_FEATURES)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).uniform(-1, 1, (13, 15))


@pytest.fixture(scope="module")
def mask(image):
    return np.random.default_rng(2).random(image.shape) < 0.7


def literal(image, binning, mask):
    matrices = jnp.stack([literal_matrix(image, binning, offset, mask) for offset in OFFSETS])
    return {name: jax.vmap(MATRIX_FEATURES[name])(matrices) for name in NAMES}


def with_slopes(features, image, scales=None):
    """Features, and the gradient of a sum to which each contributes about equally.

    ``scales`` are the largest values of each; its own where there are none. Every offset has a
    weight of its own.
    """

    @jax.jit
    def both(x):
        found, pull_back = jax.vjp(features, x)
        of = scales or {name: jnp.abs(values).max() for name, values in found.items()}
        offsets = 1.0 + jnp.arange(len(OFFSETS))
        return found, pull_back({name: offsets / of[name] for name in found})[0]

    return both(image)


@pytest.mark.parametrize(
    ("binning", "masked"),
    [*((case, False) for case in CASES), *((case, True) for case in CASES[::2])],
)
def test_values_and_gradients_are_those_of_the_literal_formula(image, mask, binning, masked):
    with jax.enable_x64(True):
        mask = jnp.asarray(mask) if masked else None
        x = jnp.asarray(image)
        expected, wanted = with_slopes(lambda x: literal(x, binning, mask), x)
        scales = {name: jnp.abs(values).max() for name, values in expected.items()}
        ours = lambda x: pair_features(x, mask, binning, OFFSETS, NAMES)  # noqa: E731
        found, slopes = with_slopes(ours, x, scales)
        for name, values in expected.items():
            # Of what a feature is made of, for those that nearly cancel.
            degree = {"cluster_shade": 3, "cluster_prominence": 4, "correlation": 0}.get(name, 2)
            tolerance = 1e-12 * max(1, float(expected["sum_squares"].max()) ** (degree / 2))
            np.testing.assert_allclose(found[name], values, atol=tolerance, rtol=0, err_msg=name)
        tolerance = 1e-10 * float(jnp.abs(wanted).max())
        np.testing.assert_allclose(slopes, wanted, atol=tolerance, rtol=0)


def test_the_loop_of_a_tpu_gives_the_same(image, mask, monkeypatch):
    def found():
        ours = lambda x: pair_features(x, jnp.asarray(mask), LINEAR, OFFSETS, NAMES)  # noqa: E731
        return with_slopes(ours, jnp.asarray(image))

    with jax.enable_x64(True):
        unrolled = found()
        monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, tpu, default: tpu(*args))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12), found(), unrolled)


@pytest.mark.parametrize(
    "binning",
    [
        LINEAR,
        *(gaussian(s, n, levels=256) for s in (63.75, 4, 0.5) for n in (True, False)),
        # Between those; a quarter of a minute.
        *(
            pytest.param(gaussian(s, n, levels=256), marks=pytest.mark.slow)
            for s in (16, 1)
            for n in (True, False)
        ),
    ],
    ids=name_of,
)
def test_float32_is_exact_to_a_ten_thousandth(binning):
    image = np.random.default_rng(3).uniform(-1, 1, (256, 256)).astype(np.float32)

    def value_and_gradient(dtype):
        total = lambda x: pair_features(x, None, binning, OFFSETS, ("contrast",))["contrast"].sum()  # noqa: E731
        return jax.jit(jax.value_and_grad(total))(jnp.asarray(image, dtype))

    value, gradient = value_and_gradient("float32")
    with jax.enable_x64(True):
        exact, slopes = value_and_gradient("float64")
        assert value == pytest.approx(float(exact), rel=1e-5)
        error = jnp.linalg.norm(gradient - slopes) / jnp.linalg.norm(slopes)
        assert error < 1e-4


def test_a_small_variance_far_from_the_middle_survives_float32():
    image = (0.9 + 1e-3 * np.random.default_rng(4).normal(size=(64, 64))).astype(np.float32)
    binning = gaussian(1.0, levels=256)
    names = ("sum_squares", "correlation", "cluster_tendency")
    found = pair_features(jnp.asarray(image), None, binning, OFFSETS, names)
    with jax.enable_x64(True):
        exact = pair_features(jnp.asarray(image, "float64"), None, binning, OFFSETS, names)
        for name in names:
            np.testing.assert_allclose(found[name], exact[name], rtol=1e-4, atol=1e-4, err_msg=name)
