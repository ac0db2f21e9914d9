"""GLCMs against the literal sum over pairs, scikit-image, and their own invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from literal import literal_matrix
from skimage.feature import graycomatrix

from jaxharmo.ops.glcm import (
    OFFSETS,
    GlcmConfig,
    glcm_features,
    glcm_matrices,
)
from jaxharmo.ops.haralick import MATRIX_FEATURES
from jaxharmo.ops.matrices import choose_method

CONFIGS = [
    GlcmConfig(levels=16),
    GlcmConfig(levels=16, binning="gaussian", sigma=1.0),
    GlcmConfig(levels=16, binning="gaussian", sigma=0.5, sigma_unit="intensity", normalised=False),
]
NAMES = ["linear", "gaussian", "published"]


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).uniform(-1, 1, (13, 15))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_matrices_are_the_literal_sum_at_every_offset(image, config, masked):
    mask = np.random.default_rng(2).random(image.shape) < 0.7 if masked else None
    stacked = None if mask is None else jnp.asarray(mask)[None]
    found = glcm_matrices(jnp.asarray(image, jnp.float32)[None], config, stacked)[0]
    expected = [literal_matrix(image, config.soft_binning, offset, mask) for offset in OFFSETS]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("sigma", [4.0, 16.0])
@pytest.mark.parametrize("normalised", [True, False])
def test_low_rank_is_the_product(image, sigma, normalised):
    with jax.enable_x64(True):
        images = jnp.asarray(image)[None]
        found, expected = (
            glcm_matrices(
                images,
                GlcmConfig(
                    levels=64, binning="gaussian", sigma=sigma, normalised=normalised, method=method
                ),
            )
            for method in ("low_rank", "product")
        )
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_scatter_is_the_product(image):
    with jax.enable_x64(True):
        images = jnp.asarray(image)[None]
        by_scatter, by_product = (
            lambda x, method=method: glcm_matrices(x, GlcmConfig(levels=16, method=method))
            for method in ("scatter", "product")
        )
        np.testing.assert_allclose(by_scatter(images), by_product(images), atol=1e-15)
        weights = jnp.asarray(np.random.default_rng(5).normal(size=(16, 16, 16)))
        found, expected = (
            jax.grad(lambda x, form=form: jnp.sum(form(x) * weights))(images)
            for form in (by_scatter, by_product)
        )
        np.testing.assert_allclose(found, expected, atol=1e-13)


def test_the_cheapest_way_is_chosen(image):
    images = jnp.asarray(image, jnp.float32)[None]
    wide = GlcmConfig(levels=256, binning="gaussian", sigma=0.5, sigma_unit="intensity")
    narrow = GlcmConfig(levels=256, binning="gaussian", sigma=1.0)
    for config, method in ((wide, "low_rank"), (narrow, "product"), (GlcmConfig(), "scatter")):
        assert choose_method(config.soft_binning, images.dtype) == method


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_every_feature_in_one_call_is_that_of_the_matrices(image, config):
    images = jnp.asarray(image, jnp.float32)[None]
    found = jax.jit(glcm_features, static_argnums=(1, 2))(images, config, tuple(MATRIX_FEATURES))
    evaluate = jax.jit(jax.vmap(lambda m: {name: f(m) for name, f in MATRIX_FEATURES.items()}))
    with jax.enable_x64(True):
        expected = evaluate(glcm_matrices(jnp.asarray(image)[None], config)[0])
        for name, values in found.items():
            # The square root in imc2 enlarges what is lost near zero.
            scale = max(1.0, float(jnp.abs(expected[name]).max())) * (5 if name == "imc2" else 1)
            np.testing.assert_allclose(values[0], expected[name], atol=2e-5 * scale, err_msg=name)


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
    names = ("contrast", "joint_entropy")
    eager = glcm_features(images, CONFIGS[1], names)
    compiled = jax.jit(glcm_features, static_argnums=(1, 2))(images, CONFIGS[1], names)
    for name in names:
        np.testing.assert_allclose(compiled[name], eager[name], rtol=1e-5)


def test_inside_jit_an_empty_mask_gives_zero_matrices(image):
    images = jnp.asarray(image, jnp.float32)[None]
    nothing = jnp.zeros(images.shape, bool)
    form = jax.jit(lambda inside: glcm_matrices(images, CONFIGS[0], inside))
    assert not form(nothing).any()
    contrast = jax.jit(lambda inside: glcm_features(images, CONFIGS[0], mask=inside)["contrast"])
    assert not contrast(nothing).any()


def test_inside_jit_a_nan_spreads_over_its_image_alone(image):
    images = jnp.stack([jnp.asarray(image, jnp.float32)] * 2).at[0, 3, 3].set(jnp.nan)
    found = jax.jit(lambda x: glcm_features(x, CONFIGS[0])["contrast"])(images)
    assert jnp.isnan(found[0]).all()
    assert jnp.isfinite(found[1]).all()


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
        (lambda x: glcm_features(x, CONFIGS[0], mask=x > 9), "no pixel"),
        (lambda x: glcm_features(x.at[0, 0, 0].set(jnp.nan), CONFIGS[0]), "not finite"),
        (lambda x: GlcmConfig(binning="gaussian", method="scatter"), "linear"),
        (lambda x: GlcmConfig(method="low_rank"), "gaussian"),
    ],
)
def test_wrong_use_is_a_value_error(image, call, said):
    with pytest.raises(ValueError, match=said):
        call(jnp.asarray(image, jnp.float32)[None])
