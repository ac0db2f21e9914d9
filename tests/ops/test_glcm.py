"""GLCMs against the literal sum over pairs, scikit-image, and their own invariants."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from literal import literal_matrix
from skimage.feature import graycomatrix

from jaxharmo.ops.glcm import (
    OFFSETS,
    PUBLISHED,
    GlcmConfig,
    glcm_features,
    glcm_matrices,
)
from jaxharmo.ops.haralick import MATRIX_FEATURES
from jaxharmo.ops.matrices import choose_method
from jaxharmo.runtime import make_mesh, split_by_batch

CONFIGS = [
    GlcmConfig(levels=16),
    GlcmConfig(levels=16, binning="gaussian", sigma=1.0),
    GlcmConfig(levels=16, binning="gaussian", sigma=0.5, sigma_unit="intensity", normalised=False),
]
NAMES = ["linear", "gaussian", "published"]
FEW = tuple(dataclasses.replace(config, offsets=OFFSETS[::5]) for config in CONFIGS)
"""The same with one step at each angle: all features at all offsets are a long program."""


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
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"levels": 16, "method": "scatter"},
        *(
            {"levels": 64, "binning": "gaussian", "sigma": s, "normalised": n, "method": "low_rank"}
            for s, n in ((4.0, True), (16.0, False))
        ),
    ],
    ids=lambda options: options["method"],
)
def test_cheap_matrices_are_the_product_and_so_is_their_gradient(image, options):
    levels, offsets = options["levels"], OFFSETS[::3]
    weights = np.random.default_rng(5).normal(size=(len(offsets), levels, levels))
    with jax.enable_x64(True):
        images = jnp.asarray(image)[None]

        def by(method):
            config = GlcmConfig(**options | {"method": method, "offsets": offsets})

            def total(x):
                matrices = glcm_matrices(x, config)
                return jnp.sum(matrices * jnp.asarray(weights)), matrices

            return jax.value_and_grad(total, has_aux=True)(images)

        ((_, found), slopes), ((_, expected), wanted) = by(options["method"]), by("product")
        np.testing.assert_allclose(found, expected, atol=1e-14, rtol=0)
        np.testing.assert_allclose(slopes, wanted, atol=1e-12, rtol=0)


def test_a_sharded_batch_is_not_gathered():
    mesh = make_mesh()
    images = jax.ShapeDtypeStruct((16, 24, 24), jnp.float32, sharding=split_by_batch(mesh))
    few = dataclasses.replace(FEW[0], method="product")
    for config in (FEW[0], few, dataclasses.replace(PUBLISHED, offsets=OFFSETS[::5])):
        total = lambda x, c=config: glcm_features(x, c, ("contrast", "idm"))["idm"].mean()  # noqa: E731
        compiled = jax.jit(jax.value_and_grad(total)).lower(images).compile()
        assert "all-gather" not in compiled.as_text()


def test_too_narrow_for_low_rank(image):
    images = jnp.asarray(image, jnp.float32)[None]
    options = {"levels": 1024, "binning": "gaussian", "sigma": 1.0}
    assert choose_method(GlcmConfig(**options).soft_binning, images.dtype) == "product"
    with pytest.raises(ValueError, match="too narrow"):
        GlcmConfig(**options, method="low_rank")


def test_the_cheapest_way_is_chosen(image):
    images = jnp.asarray(image, jnp.float32)[None]
    wide = GlcmConfig(levels=256, binning="gaussian", sigma=0.5, sigma_unit="intensity")
    narrow = GlcmConfig(levels=256, binning="gaussian", sigma=1.0)
    for config, method in ((wide, "low_rank"), (narrow, "product"), (GlcmConfig(), "scatter")):
        assert choose_method(config.soft_binning, images.dtype) == method


def test_a_tpu_is_given_no_scatter():
    images = jax.ShapeDtypeStruct((2, 16, 16), jnp.float32)
    traced = jax.jit(lambda x: glcm_matrices(x, GlcmConfig(levels=16))).trace(images)
    text = {name: traced.lower(lowering_platforms=(name,)).as_text() for name in ("tpu", "cuda")}
    assert "scatter" in text["cuda"]
    assert "scatter" not in text["tpu"]
    assert "dot_general" in text["tpu"]


@pytest.mark.parametrize("config", FEW, ids=NAMES)
def test_every_feature_in_one_call_is_that_of_the_matrices(image, config):
    images = jnp.asarray(image, jnp.float32)[None]
    found = jax.jit(glcm_features, static_argnums=(1, 2))(images, config, tuple(MATRIX_FEATURES))
    evaluate = jax.jit(jax.vmap(lambda m: {name: f(m) for name, f in MATRIX_FEATURES.items()}))
    with jax.enable_x64(True):
        expected = evaluate(glcm_matrices(jnp.asarray(image)[None], config)[0])
        for name, values in found.items():
            # The square root in imc2 enlarges what is lost near zero; imc1 is a small difference
            # of entropies, each rounded to some 1e-6 of itself.
            loss = {"imc1": 5, "imc2": 100}.get(name, 1)
            scale = max(0.01, float(jnp.abs(expected[name]).max())) * loss
            np.testing.assert_allclose(
                values[0], expected[name], atol=5e-5 * scale, rtol=0, err_msg=name
            )


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
    names = tuple(MATRIX_FEATURES)
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
    form = jax.jit(lambda inside: glcm_matrices(images, FEW[0], inside))
    assert not form(nothing).any()
    for method in ("auto", "scatter"):
        config = dataclasses.replace(FEW[0], method=method)
        features = jax.jit(
            lambda inside, c=config: glcm_features(images, c, tuple(MATRIX_FEATURES), inside)
        )
        for name, values in features(nothing).items():
            assert not values.any(), name


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int16", "uint8"])
def test_images_of_few_bits_count_as_float32(dtype):
    integers = np.random.default_rng(6).integers(0, 16, (2, 20, 20))
    config = GlcmConfig(levels=16, value_range=(0.0, 15.0), binning="gaussian")
    names = ("contrast", "joint_energy")
    found = glcm_features(jnp.asarray(integers, dtype), config, names)
    expected = glcm_features(jnp.asarray(integers, jnp.float32), config, names)
    for name in names:
        assert found[name].dtype == jnp.float32
        np.testing.assert_array_equal(found[name], expected[name])


def test_inside_jit_a_nan_spreads_over_its_image_alone():
    images = jax.random.uniform(jax.random.key(0), (2, 20, 20)).at[0, 10, 10].set(jnp.nan)
    names = ("contrast", "idm", "joint_energy", "joint_entropy")
    for config in FEW:
        for values in jax.jit(lambda x, c=config: glcm_features(x, c, names))(images).values():
            assert jnp.isnan(values[0]).all()
            assert jnp.isfinite(values[1]).all()


def test_long_images_fit_long_steps():
    image = jnp.asarray(np.random.default_rng(7).uniform(-1, 1, (1, 4, 24)), jnp.float32)
    for method in ("auto", "product"):
        config = GlcmConfig(levels=8, offsets=((0, 6), (-3, 2)), method=method)
        assert glcm_features(image, config)["contrast"].shape == (1, 2)


def test_features_as_a_list(image):
    images = jnp.asarray(image, jnp.float32)[None]
    listed = glcm_features(images, CONFIGS[0], ["contrast", "joint_energy"])
    assert list(listed) == ["contrast", "joint_energy"]
    np.testing.assert_array_equal(
        listed["joint_energy"],
        glcm_features(images, CONFIGS[0], ("joint_energy",))["joint_energy"],
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: GlcmConfig(levels=1), "levels"),
        (lambda x: GlcmConfig(sigma=0.0), "sigma"),
        (
            lambda x: GlcmConfig(binning="hard"),
            "binning is 'hard', must be one of linear, gaussian",
        ),
        (lambda x: GlcmConfig(sigma_unit="hu"), "sigma_unit"),
        (lambda x: GlcmConfig(method="fast"), "method"),
        (lambda x: GlcmConfig(value_range=(1.0, 1.0)), "value_range"),
        (lambda x: GlcmConfig(offsets=((0, 0),)), "offsets"),
        (lambda x: glcm_features(x[0], CONFIGS[0]), "shape"),
        (lambda x: glcm_features(x[:, :5], CONFIGS[0]), "offset"),
        (lambda x: glcm_features(x, CONFIGS[0], ("contarst",)), "contarst"),
        (lambda x: glcm_features(x, CONFIGS[0], "contrast"), r"must be a tuple: \('contrast',\)"),
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
