"""The loss terms against their formulas in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxharmo.config import TextureConfig
from jaxharmo.losses.adversarial import fake_loss, r1_penalty, real_loss
from jaxharmo.losses.texture import domain_average, texture_grids, texture_loss
from jaxharmo.losses.translation import cycle_loss, diversity, style_loss
from jaxharmo.ops.glcm import GlcmConfig, glcm_features

AGGREGATIONS = ("attention", "mean", "max", "frobenius")
RANDOM = np.random.default_rng(0)


def images(seed, size=24):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (3, size, size, 1)), jnp.float32)


def texture(**options):
    return TextureConfig(glcm=GlcmConfig(levels=16), crop=16, compare="cycle", **options)


def total(fake, real, config):
    return texture_loss(
        texture_grids(fake, config), texture_grids(real, config), config, lambda grid: grid
    )[0]


def test_adversarial_terms_are_binary_cross_entropy():
    logits = RANDOM.normal(size=7)
    probability = 1 / (1 + np.exp(-logits))
    assert real_loss(jnp.asarray(logits)) == pytest.approx(-np.log(probability).mean(), rel=1e-5)
    assert fake_loss(jnp.asarray(logits)) == pytest.approx(
        -np.log(1 - probability).mean(), rel=1e-5
    )


def test_r1_is_half_the_squared_gradient_norm():
    gradient = RANDOM.normal(size=(3, 4, 5, 1))
    expected = 0.5 * np.mean([np.sum(g**2) for g in gradient])
    assert r1_penalty(jnp.asarray(gradient)) == pytest.approx(expected, rel=1e-5)


def test_translation_terms_are_mean_absolute_differences():
    a, b = images(1), images(2)
    expected = np.abs(np.asarray(a) - np.asarray(b)).mean()
    for term in (cycle_loss, diversity):
        assert term(a, b) == pytest.approx(expected, rel=1e-5)
    assert style_loss(a[:, :, 0, 0], b[:, :, 0, 0]) == pytest.approx(
        np.abs(np.asarray(a - b))[:, :, 0, 0].mean(), rel=1e-5
    )


def test_diversity_holds_the_second_translation_fixed():
    assert not jax.grad(lambda other: diversity(images(1), other))(images(2)).any()


def test_grids_are_angles_by_distances_of_the_centre():
    config = texture()
    image = images(3)
    grid = texture_grids(image, config)["contrast"]
    flat = glcm_features(image[:, 4:20, 4:20, 0], config.glcm)["contrast"]
    np.testing.assert_allclose(grid.reshape(3, 16), flat, rtol=1e-6)


@pytest.mark.parametrize("normalization", ["relative", "range"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_loss_is_zero_with_a_finite_gradient_where_images_agree(aggregation, normalization):
    config = texture(aggregation=aggregation, normalization=normalization)
    value, gradient = jax.value_and_grad(lambda x: total(x, images(1), config))(images(1))
    assert float(value) == pytest.approx(0, abs=1e-5)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_relative_loss_is_its_formula(aggregation):
    config = texture(aggregation=aggregation)
    fake, real = (
        np.asarray(texture_grids(images(seed), config)["contrast"], np.float64) for seed in (1, 2)
    )
    difference = np.abs(fake - real) / real
    expected = {
        "attention": difference.sum((1, 2)),
        "mean": difference.mean((1, 2)),
        "max": difference.max((1, 2)),
        "frobenius": np.sqrt((difference**2).sum((1, 2))),
    }[aggregation].mean()
    assert float(total(images(1), images(2), config)) == pytest.approx(expected, rel=1e-4)


def test_range_normalisation_spans_zero_to_one_in_each_image():
    config = texture(aggregation="max", normalization="range")
    assert float(total(images(1), images(2), config)) == pytest.approx(1, rel=1e-4)


def test_real_images_get_no_gradient():
    config = texture()
    assert not jax.grad(lambda real: total(images(1), real, config))(images(2)).any()


def test_features_are_averaged_and_told_apart():
    config = texture(features=("contrast", "joint_entropy"), aggregation="mean")
    both, terms = texture_loss(
        texture_grids(images(1), config), texture_grids(images(2), config), config, lambda g: g
    )
    assert set(terms) == {"texture_contrast", "texture_joint_entropy"}
    assert float(both) == pytest.approx(float(sum(terms.values())) / 2, rel=1e-6)
    alone = dataclasses.replace(config, features=("contrast",))
    assert float(total(images(1), images(2), alone)) == pytest.approx(
        float(terms["texture_contrast"]), rel=1e-5
    )


def test_domain_average_by_hand():
    grid = jnp.asarray(RANDOM.normal(size=(5, 4, 4)), jnp.float32)
    domain = np.array([0, 2, 0, 2, 2])
    found = domain_average({"contrast": grid}, jnp.asarray(domain), 4)["contrast"]
    for row, own in enumerate(domain):
        np.testing.assert_allclose(found[row], grid[domain == own].mean(0), rtol=1e-5)


def test_grids_of_a_bfloat16_model_are_float32():
    config = texture()
    halved = images(1).astype(jnp.bfloat16)
    grid = texture_grids(halved, config)["contrast"]
    assert grid.dtype == jnp.float32
    same = texture_grids(halved.astype(jnp.float32), config)["contrast"]
    np.testing.assert_array_equal(grid, same)


def test_a_flat_image_does_not_outweigh_its_batch():
    config = texture(features=("contrast", "correlation", "cluster_shade"), aggregation="mean")
    real = images(2).at[0].set(-1.0)
    _, terms = texture_loss(
        texture_grids(images(1), config), texture_grids(real, config), config, lambda g: g
    )
    assert all(float(term) < 30 for term in terms.values())
