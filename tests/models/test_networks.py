from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import SMALL, STEERED, replace

from jaxharmo.models.layers import average_pool, instance_norm, pick_domain, upsample
from jaxharmo.models.mapping import SPREAD
from jaxharmo.models.networks import build, init

KEY = jax.random.key(0)
SOFT = 2 * (1024 + 60) / 1424 - 1
"""60 HU in the window of ``SMALL``."""


def initial(networks, config):
    return jax.jit(lambda: init(networks, config, KEY))()


@pytest.fixture(scope="module")
def networks():
    return build(SMALL)


@pytest.fixture(scope="module")
def params(networks):
    return initial(networks, SMALL)


def test_shapes_of_every_network(networks, params):
    images = jax.random.normal(KEY, (3, 32, 32, 1))
    domain = jnp.array([0, 2, 1])

    run = partial(networks.apply, params)
    style = run("mapping_network", jax.random.normal(KEY, (3, 5)), domain)
    assert style.shape == (3, 6)
    assert run("style_encoder", images, domain).shape == (3, 6)
    assert run("discriminator", images, domain).shape == (3, 1)
    assert run("generator", images, style, style).shape == images.shape
    assert run("texture_attention", jnp.ones((3, 4, 4))).shape == (3, 4, 4)


def test_generator_takes_any_even_size(networks, params):
    image, style = jnp.zeros((1, 34, 50, 1)), jnp.zeros((1, 6))
    assert networks.translate(params, image, style, style).shape == image.shape


def test_style_changes_the_translation(networks, params):
    image = jax.random.normal(KEY, (1, 32, 32, 1))
    first, second = (
        networks.translate(params, image, jnp.full((1, 6), value), jnp.zeros((1, 6)))
        for value in (0.0, 1.0)
    )
    assert float(jnp.abs(first - second).max()) > 1e-3


def test_domains_have_heads_of_their_own(networks, params):
    image = jnp.broadcast_to(jax.random.normal(KEY, (1, 32, 32, 1)), (3, 32, 32, 1))
    styles = networks.apply(params, "style_encoder", image, jnp.array([0, 1, 2]))
    assert float(jnp.abs(styles[0] - styles[1]).max()) > 1e-3
    latent = jnp.ones((3, 5))
    mapped = networks.apply(params, "mapping_network", latent, jnp.array([0, 1, 1]))
    assert float(jnp.abs(mapped[0] - mapped[1]).max()) > 1e-4
    np.testing.assert_array_equal(mapped[1], mapped[2])


def test_pick_domain_is_fancy_indexing():
    heads = jax.random.normal(KEY, (4, 3, 2))
    domain = jnp.array([2, 0, 1, 2])
    np.testing.assert_array_equal(pick_domain(heads, domain), heads[jnp.arange(4), domain])


def test_resampling_and_normalisation_by_hand():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    blocks = x.reshape(2, 2, 2, 3, 2, 3)
    np.testing.assert_allclose(average_pool(x), blocks.mean((2, 4)), rtol=1e-5)
    np.testing.assert_array_equal(upsample(x), x.repeat(2, 1).repeat(2, 2))
    normal = np.asarray(instance_norm(x))
    np.testing.assert_allclose(normal.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(normal.std((1, 2)), 1, atol=1e-3)


def test_texture_attention_keeps_its_total_between_the_extremes(networks, params):
    grid = jnp.abs(jax.random.normal(KEY, (5, 4, 4)))
    for gate in (-4.0, 4.0):
        own = params["texture_attention"] | {"gate": jnp.asarray(gate)}
        attended = networks.texture_attention.apply({"params": own}, grid)
        assert (attended >= grid.min((1, 2), keepdims=True) - 1e-6).all()
        assert (attended <= grid.max((1, 2), keepdims=True) + 1e-6).all()


def test_remat_changes_memory_only(networks, params):
    """The same parameters, values and gradients."""
    image, style = jax.random.normal(KEY, (2, 32, 32, 1)), jnp.ones((2, 6))

    def gradient(networks):
        def total(params):
            return jnp.square(networks.translate({"generator": params}, image, style, style)).sum()

        return jax.jit(jax.value_and_grad(total))(params["generator"])

    frugal = build(replace(SMALL, train={"remat": True}))
    found, expected = gradient(frugal), gradient(networks)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), found, expected
    )


def test_bfloat16_networks_keep_float32_parameters_and_results():
    networks = build(replace(SMALL, train={"compute_dtype": "bfloat16"}))
    params = initial(networks, SMALL)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    image, style = jax.random.normal(KEY, (2, 32, 32, 1)), jnp.ones((2, 6))
    found = networks.translate(params, image, style, style)
    exact = build(SMALL).translate(params, image, style, style)
    assert found.dtype == jnp.float32
    assert 0 < float(jnp.abs(found - exact).mean()) < 0.05 * float(jnp.abs(exact).mean())


def test_statistics_of_bfloat16_features_are_float32():
    """A mean of 100 over a spread of 1: bfloat16 sums would lose it."""
    x = (100 + jax.random.normal(KEY, (1, 32, 32, 2))).astype(jnp.bfloat16)
    normal = instance_norm(x)
    assert normal.dtype == jnp.float32
    np.testing.assert_allclose(normal.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std((1, 2)), 1, atol=1e-3)


@pytest.fixture(scope="module", params=[0, 5], ids=["one style", "spread"])
def steered(request):
    """Networks and parameters of the filter generator, and the length of its latents."""
    config = replace(SMALL, model=STEERED | {"latent_dim": request.param})
    networks = build(config)
    return networks, initial(networks, config), request.param


def test_domains_have_a_row_and_a_spread_around_it(steered):
    networks, params, length = steered
    domain = jnp.array([1, 1, 2])
    styles = networks.mapped_style(params, jax.random.normal(KEY, (3, length)), domain)
    noisy = jnp.array([0.01, 0.02, 0.01])[:, None, None, None]
    images = SOFT + noisy * jax.random.normal(KEY, (3, 32, 32, 1))
    read = networks.encoded_style(params, images, domain)
    rows = params["mapping_network"]["table"]["embedding"][domain]
    for found in (styles, read):
        # All but the last numbers are the domain's.
        np.testing.assert_allclose(found[:, :-SPREAD], rows[:, :-SPREAD], atol=1e-6)
    assert np.array_equal(styles[0], styles[1]) == (length == 0)
    np.testing.assert_allclose(read[1] - read[0], [0] * 5 + [np.log(2)], atol=0.1)


def test_the_mean_over_latents_is_the_row(steered):
    networks, params, length = steered
    latents = jax.random.normal(KEY, (16, length))
    domain = jnp.full(32, 1)
    styles = networks.mapped_style(params, jnp.concatenate([latents, -latents]), domain)
    row = params["mapping_network"]["table"]["embedding"][1]
    np.testing.assert_allclose(styles.mean(0), row, atol=1e-6)


def test_detail_networks_do_not_see_levels(steered):
    networks, params, _ = steered
    image = SOFT + 0.02 * jax.random.normal(KEY, (2, 32, 32, 1))
    domain = jnp.array([0, 2])
    for name in ("discriminator", "style_encoder"):
        found = networks.apply(params, name, image, domain)
        shifted = networks.apply(params, name, image + 0.02, domain)
        np.testing.assert_allclose(found, shifted, atol=1e-4)
        assert np.abs(found - networks.apply(params, name, 2 * image, domain)).max() > 1e-3
    # A patch is 8 by 8 pixels.
    assert networks.apply(params, "discriminator", image, domain).shape == (2, 16)
