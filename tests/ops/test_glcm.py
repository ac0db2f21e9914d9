"""GLCMs against the literal sum over pairs, scikit-image, and their own invariants."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.feature import graycomatrix
from test_binning import literal_weights

from jaxharmo.ops.glcm import (
    OFFSETS,
    PAIR_FEATURES,
    GlcmConfig,
    glcm_features,
    glcm_matrices,
)
from jaxharmo.ops.haralick import MATRIX_FEATURES

CONFIGS = [
    GlcmConfig(levels=16),
    GlcmConfig(levels=16, binning="gaussian", sigma=1.0),
    GlcmConfig(levels=16, binning="gaussian", sigma=0.5, sigma_unit="intensity", normalised=False),
]
NAMES = ["linear", "gaussian", "published"]


def literal_matrix(image, config, offset, mask=None):
    w = literal_weights(image, config.soft_binning)
    inside = np.ones(image.shape, bool) if mask is None else mask
    height, width = image.shape
    matrix = np.zeros((config.levels, config.levels))
    for row, column in itertools.product(range(height), range(width)):
        r, c = row + offset[0], column + offset[1]
        if 0 <= r < height and 0 <= c < width and inside[row, column] and inside[r, c]:
            matrix += np.outer(w[row, column], w[r, c])
    matrix += matrix.T
    return matrix / matrix.sum()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).uniform(-1, 1, (13, 15))


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_matrices_are_the_literal_sum_at_every_offset(image, config):
    found = glcm_matrices(jnp.asarray(image, jnp.float32)[None], config)[0]
    expected = [literal_matrix(image, config, offset) for offset in OFFSETS]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
@pytest.mark.parametrize("masked", [False, True])
def test_pair_features_are_those_of_the_matrices(image, config, masked):
    images = jnp.asarray(image, jnp.float32)[None]
    mask = jnp.asarray(np.random.default_rng(2).random(images.shape) < 0.7) if masked else None
    compute = jax.jit(glcm_features, static_argnums=(1, 2))
    found = compute(images, config, tuple(PAIR_FEATURES), mask)
    matrices = glcm_matrices(images, config, mask)[0]
    for name, values in found.items():
        expected = jax.vmap(MATRIX_FEATURES[name])(matrices)
        np.testing.assert_allclose(values[0], expected, rtol=2e-4, atol=2e-4, err_msg=name)


def test_contrast_is_the_literal_formula_in_float64(image):
    config = CONFIGS[1]
    i, j = np.indices((config.levels, config.levels))
    expected = [np.sum((i - j) ** 2 * literal_matrix(image, config, offset)) for offset in OFFSETS]
    found = glcm_features(jnp.asarray(image, jnp.float32)[None], config)["contrast"][0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_integer_images_give_scikit_images_matrices():
    image = np.random.default_rng(3).integers(0, 16, (40, 44)).astype(np.uint8)
    config = GlcmConfig(levels=16, value_range=(0.0, 15.0))
    found = glcm_matrices(jnp.asarray(image, jnp.float32)[None], config)[0]
    for offset, matrix in zip(OFFSETS, found, strict=True):
        # scikit-image turns clockwise and rounds distance times sine and cosine.
        distance = np.hypot(*offset)
        angle = np.arctan2(offset[0], offset[1])
        expected = graycomatrix(image, [distance], [angle], 16, symmetric=True, normed=True)
        np.testing.assert_allclose(matrix, expected[:, :, 0, 0], atol=1e-6, err_msg=str(offset))


def test_matrices_are_symmetric_and_sum_to_one(image):
    for config in CONFIGS:
        found = glcm_matrices(jnp.asarray(image, jnp.float32)[None], config)
        np.testing.assert_allclose(found, found.mT, atol=1e-7)
        np.testing.assert_allclose(found.sum((2, 3)), 1, rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_every_offset_has_a_gradient(image, config):
    images = jnp.asarray(image, jnp.float32)[None]
    by_offset = jax.jit(jax.jacrev(lambda x: glcm_features(x, config)["contrast"][0]))(images)
    assert (jnp.abs(by_offset).sum((1, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_gradient_of_contrast_by_pairs_and_by_matrix_agree(image, config):
    images = jnp.asarray(image, jnp.float32)[None]

    def by_matrix(x):
        return jax.vmap(MATRIX_FEATURES["contrast"])(glcm_matrices(x, config)[0]).sum()

    found = jax.jit(jax.grad(lambda x: glcm_features(x, config)["contrast"].sum()))(images)
    expected = jax.jit(jax.grad(by_matrix))(images)
    np.testing.assert_allclose(found, expected, atol=1e-3 * float(jnp.abs(expected).max()))


def test_gradient_is_finite_for_every_feature_of_a_flat_image():
    config = GlcmConfig(levels=9, offsets=((0, 1),))
    # The singular vectors behind the maximal correlation have no gradient where they coincide.
    names = tuple(set(MATRIX_FEATURES) - {"mcc"})
    total = lambda x: sum(v.sum() for v in glcm_features(x, config, names).values())  # noqa: E731
    assert jnp.isfinite(jax.jit(jax.grad(total))(jnp.zeros((1, 12, 12)))).all()


def test_jit_equals_eager(image):
    images = jnp.asarray(image, jnp.float32)[None]
    for config in CONFIGS:
        names = ("contrast", "joint_entropy")
        eager = glcm_features(images, config, names)
        compiled = jax.jit(glcm_features, static_argnums=(1, 2))(images, config, names)
        for name in names:
            np.testing.assert_allclose(compiled[name], eager[name], rtol=1e-5)


def test_empty_mask_gives_zero_matrices(image):
    images = jnp.asarray(image, jnp.float32)[None]
    nothing = jnp.zeros(images.shape, bool)
    assert not glcm_matrices(images, CONFIGS[0], nothing).any()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: GlcmConfig(levels=1), "levels"),
        (lambda x: GlcmConfig(sigma=0.0), "sigma"),
        (lambda x: GlcmConfig(value_range=(1.0, 1.0)), "value_range"),
        (lambda x: GlcmConfig(offsets=((0, 0),)), "offsets"),
        (lambda x: glcm_features(x[0], CONFIGS[0]), "shape"),
        (lambda x: glcm_features(x[:, :5], CONFIGS[0]), "offset"),
        (lambda x: glcm_features(x, CONFIGS[0], ("contarst",)), "contarst"),
        (lambda x: glcm_features(x, CONFIGS[0], mask=x[:, 1:] > 0), "mask"),
    ],
)
def test_wrong_use_is_a_value_error(image, call, said):
    with pytest.raises(ValueError, match=said):
        call(jnp.asarray(image, jnp.float32)[None])
