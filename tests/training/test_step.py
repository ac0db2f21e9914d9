"""The training step against its plain form, and its invariants."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from same_step import assert_same_step
from small import FILTER_ALONE, STEERED, TINY, make_batch, replace

from jaxharmo.losses.changes import Memory
from jaxharmo.models.networks import build, init
from jaxharmo.ops.intensity import normalize
from jaxharmo.training.flops import forward_flops, step_flops
from jaxharmo.training.objectives import discriminator_objective
from jaxharmo.training.optim import build_optimizers
from jaxharmo.training.state import init_state
from jaxharmo.training.step import build_step, build_updates, prepare_inputs
from jaxharmo.training.terms import build_guides, make


def setup(config):
    """State before the first step, and the step."""
    networks = build(config)
    optimizers = build_optimizers(config.optim, networks.__dataclass_fields__)
    state = jax.jit(lambda: init_state(networks, optimizers, config))()
    return state, build_step(networks, optimizers, config)


def update_by_latents(config, state):
    """One update alone, the generator's by latents: inputs -> parameters and terms."""
    networks = build(config)
    optimizers = build_optimizers(config.optim, networks.__dataclass_fields__)
    update = jax.jit(build_updates(networks, optimizers, config)["generator/latent"])

    def run(inputs):
        params, _, terms = update(state.params, state.opt_state, inputs)
        return params, terms

    return run


@pytest.fixture(scope="module")
def compiled():
    """State before the first step, and the compiled step."""
    before, step = setup(TINY)
    return before, jax.jit(step)


@pytest.fixture(scope="module")
def one_step(compiled):
    """State before, state after, metrics, batch."""
    before, step = compiled
    batch = make_batch(TINY)
    after, metrics = step(before, batch)
    return before, after, metrics, batch


def changed(before, after):
    return {
        name: any(
            bool((a != b).any())
            for a, b in zip(
                jax.tree.leaves(before[name]), jax.tree.leaves(after[name]), strict=True
            )
        )
        for name in before
    }


def test_what_a_config_leaves_out_is_not_trained():
    config = replace(
        TINY,
        model=STEERED,
        texture={"compare": "changes", "aggregation": "noise", "resolutions": 1},
        loss={"adversarial": 0.0, "style": 0.0, "diversity": 0.0, "histogram": 1.0},
    )
    state, step = setup(config)
    # Domains that differ; otherwise nothing has to change.
    changes = {
        name: Memory.start(
            jnp.arange(memory.mean.size).reshape(memory.mean.shape) / 10, memory.mean
        )
        for name, memory in state.changes.items()
    }
    state = dataclasses.replace(state, changes=changes)
    run = jax.jit(step)
    after, metrics = run(state, make_batch(config))
    moved = changed(state.params, after.params)
    assert [name for name, is_moved in moved.items() if is_moved] == ["generator"]
    assert set(metrics) == {
        f"generator/latent/{name}"
        for name in ("cycle", "texture", "texture_gap", "histogram", "histogram_gap")
    } | {"parameters/norm"}
    assert set(after.changes) == {"texture", "histogram"}
    for memory in after.changes.values():
        assert float(memory.change_count.sum()) == config.train.batch_size
    again, _ = run(after, make_batch(config, seed=1))
    # The styles move as soon as the filters are not zero.
    assert changed(after.params, again.params)["mapping_network"]


MIXED = replace(
    TINY,
    model=FILTER_ALONE | {"latent_dim": 3},
    loss={"texture": 0.0, "diversity": 0.0, "spread": 1.0},
    train={"guidance": "mixed"},
)


@pytest.mark.slow
def test_one_update_for_both_kinds_of_guidance():
    state, step = setup(MIXED)
    step = jax.jit(step)
    batch = make_batch(MIXED)
    # Soft tissue, in which the style encoder sees noise.
    batch["reference"] = 60 + batch["reference"] // 50
    after, metrics = step(state, batch)
    after, _ = step(after, batch)
    moved = changed(state.params, after.params)
    assert [name for name, is_moved in moved.items() if not is_moved] == ["texture_attention"]
    assert {name.rpartition("/")[0] for name in metrics} == {
        "discriminator/mixed",
        "generator/mixed",
        "parameters",
    }
    assert all(jnp.isfinite(value) for value in metrics.values())


def test_every_second_style_is_read_off_a_reference():
    networks = build(MIXED)
    params = jax.jit(lambda: init(networks, MIXED, jax.random.key(0)))()
    examples = prepare_inputs(jnp.int32(0), make_batch(MIXED), MIXED).examples
    apart = build_guides(networks, replace(MIXED, train={"guidance": "apart"}))
    (mixed,) = build_guides(networks, MIXED).values()
    guides = apart["latent"], apart["reference"], mixed
    drawn, read, found = jax.jit(lambda *inputs: [guide(*inputs) for guide in guides])(
        params, examples
    )
    np.testing.assert_array_equal(found.target[::2], drawn.target[::2])
    np.testing.assert_array_equal(found.target[1::2], read.target[1::2])
    np.testing.assert_array_equal(found.other[1::2], read.other[1::2])
    np.testing.assert_array_equal(found.source, drawn.source)


def test_every_network_is_trained(one_step):
    before, after, _, _ = one_step
    assert all(changed(before.params, after.params).values())
    assert int(after.step) == 1


def test_texture_attention_has_a_gradient(one_step):
    before, after, _, _ = one_step
    moved = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()),
        before.params["texture_attention"],
        after.params["texture_attention"],
    )
    assert moved["gate"] > 0


def test_who_is_stepped_by_which_update(one_step):
    """Two discriminator updates; G, F, E by latents, then G alone by references."""
    _, after, _, _ = one_step
    counts = {name: int(optax.tree.get(state, "count")) for name, state in after.opt_state.items()}
    assert counts == {
        "discriminator": 2,
        "generator": 2,
        "texture_attention": 2,
        "mapping_network": 1,
        "style_encoder": 1,
    }


def test_average_follows_the_parameters(one_step):
    before, after, _, _ = one_step
    expected = jax.tree.map(
        lambda old, new: 0.9 * old + 0.1 * new, before.ema["generator"], after.params["generator"]
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.ema["generator"], expected
    )
    assert set(after.ema) == {"generator", "mapping_network", "style_encoder"}


def test_metrics_are_finite_scalars_of_all_four_updates(one_step):
    _, _, metrics, _ = one_step
    updates = {name.rsplit("/", 1)[0] for name in metrics}
    assert updates == {"parameters"} | {
        f"{side}/{source}"
        for side in ("discriminator", "generator")
        for source in ("latent", "reference")
    }
    assert all(value.shape == () and jnp.isfinite(value) for value in metrics.values())


def test_metrics_are_the_published_losses(one_step):
    """The four terms of the first update and the reference-guided cycle, written out plainly."""
    before, _, metrics, batch = one_step
    networks = build(TINY)

    @jax.jit
    def plainly(params, batch):
        def run(name, *inputs):
            return getattr(networks, name).apply({"params": params[name]}, *inputs)

        source = normalize(batch["source"], TINY.data.window)[..., None]
        own, target = batch["source_domain"], batch["target_domain"]
        key = jax.random.fold_in(jax.random.key(TINY.train.seed), 0)
        latent = jax.random.normal(key, (2, 8, TINY.model.latent_dim))[0]
        no_style = jnp.zeros((8, TINY.model.style_dim))
        style = run("mapping_network", latent, target)
        fake = networks.translate(params, source, style, no_style)
        real_logits = run("discriminator", source, own)
        fake_logits = run("discriminator", fake, target)
        gradient = jax.grad(lambda x: run("discriminator", x, own).sum())(source)
        cycle = networks.translate(params, fake, run("style_encoder", source, own), no_style)
        return {
            "discriminator/latent/real": optax.sigmoid_binary_cross_entropy(
                real_logits, jnp.ones(8)
            ).mean(),
            "discriminator/latent/fake": optax.sigmoid_binary_cross_entropy(
                fake_logits, jnp.zeros(8)
            ).mean(),
            "discriminator/latent/r1": 0.5 * (gradient**2).sum((1, 2, 3)).mean(),
            # The generator's update sees the same networks but for the discriminator.
            "generator/latent/style": jnp.abs(run("style_encoder", fake, target) - style).mean(),
            "generator/latent/cycle": jnp.abs(cycle - source).mean(),
        }

    for name, value in plainly(before.params, batch).items():
        assert metrics[name] == pytest.approx(float(value), rel=1e-4)


def test_the_norm_of_the_parameters_tells_of_the_saved_state(one_step):
    _, after, metrics, _ = one_step
    assert metrics["parameters/norm"] == pytest.approx(
        float(optax.tree.norm(after.params)), rel=1e-5
    )


FEW_TERMS = {"adversarial": 0.0, "style": 0.0}
"""Weights without which programs are half as long."""


def test_diversity_fades_out(compiled):
    """At the end of its schedule the weight is zero: an update equals one without the term."""
    config = replace(TINY, loss=FEW_TERMS | {"texture": 0.0})
    inputs = {
        step: prepare_inputs(jnp.int32(step), make_batch(config), config) for step in (0, 5, 10, 11)
    }
    weights = {step: float(each.diversity_weight) for step, each in inputs.items()}
    full = config.loss.diversity
    assert weights == pytest.approx({0: full, 5: full / 2, 10: 0, 11: 0})
    update = update_by_latents(config, compiled[0])
    faded, _ = update(inputs[10])
    found, _ = update(inputs[10]._replace(diversity_weight=inputs[0].diversity_weight))
    assert changed(faded, found)["generator"]
    without, _ = update_by_latents(replace(config, loss={"diversity": 0.0}), compiled[0])(
        inputs[10]
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), faded, without)


@pytest.mark.slow
def test_texture_variants_run(compiled):
    texture = {
        "compare": "reference",
        "aggregation": "mean",
        "normalization": "range",
        "features": ("contrast", "idm"),
    }
    loss = FEW_TERMS | {"diversity": 0.0}
    config = replace(TINY, texture=texture, loss=loss)
    inputs = prepare_inputs(jnp.int32(0), make_batch(config), config)
    params, terms = update_by_latents(config, compiled[0])(inputs)
    assert all(jnp.isfinite(value) for value in terms.values())
    assert terms["texture"] > 0
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("term", ["texture", "diversity"])
def test_weight_zero_leaves_a_term_out(term):
    config = replace(TINY, loss={term: 0.0}, train={"guidance": "mixed"})
    networks = build(config)
    optimizers = build_optimizers(config.optim, networks.__dataclass_fields__)
    state = jax.eval_shape(lambda: init_state(networks, optimizers, config))
    step = build_step(networks, optimizers, config)
    shapes = jax.eval_shape(step, state, make_batch(TINY))[1]
    assert not any(term in name for name in shapes)


@pytest.mark.slow
def test_accumulated_parts_are_the_whole_batch(one_step):
    before, after, metrics, batch = one_step
    _, step = setup(replace(TINY, train={"accumulate": 4}))
    found, found_metrics = jax.jit(step)(before, batch)
    assert_same_step(found, found_metrics, after, metrics, gradients="mu")


@pytest.mark.slow
def test_two_steps_in_one_call_are_two_steps(compiled):
    before, step = compiled
    batches = [make_batch(TINY, seed=seed) for seed in (0, 1)]
    state, first = step(before, batches[0])
    state, second = step(state, batches[1])
    _, both = setup(replace(TINY, train={"steps_per_dispatch": 2}))
    together = {name: np.stack([b[name] for b in batches], axis=1) for name in batches[0]}
    found, metrics = jax.jit(both)(before, together)
    assert int(found.step) == 2
    mean = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
    assert_same_step(found, metrics, state, mean, gradients="mu")


@pytest.mark.slow
def test_the_real_pass_and_r1_stay_float32():
    """With networks that compute in bfloat16, only the terms of fakes differ."""
    found = []
    for dtype in ("float32", "bfloat16"):
        config = replace(TINY, train={"compute_dtype": dtype}, loss={"texture": 0.0})
        networks = build(config)
        params = init(networks, config, jax.random.key(0))
        examples = prepare_inputs(jnp.int32(0), make_batch(TINY), config).examples
        guide = build_guides(networks, config)["latent"]

        @jax.jit
        def run(params, examples, guide=guide, networks=networks):
            fake = make(params, examples, guide, networks, TINY).fake
            return discriminator_objective(params, examples, fake, networks, TINY)

        found.append(run(params, examples)[1])
    exact, coarse = found
    assert all(value.dtype == jnp.float32 for value in coarse.values())
    assert exact["real"] == pytest.approx(float(coarse["real"]), rel=1e-6)
    assert exact["r1"] == pytest.approx(float(coarse["r1"]), rel=1e-5)
    assert exact["fake"] != coarse["fake"]
    assert exact["fake"] == pytest.approx(float(coarse["fake"]), rel=0.05)


@pytest.mark.slow
def test_shared_work_is_done_once(monkeypatch):
    """XLA's count for the compiled step is that of ``step_flops``, which takes the latent-guided
    fakes of the first and the third update for one."""
    monkeypatch.setattr("jaxharmo.models.convolution._LEAST_TILES", 10**9)
    config = replace(
        TINY,
        data={"crop": 32},
        model={"width": 64, "max_width": 64},
        loss={"texture": 0.0},
    )
    state, step = setup(config)
    cost = jax.jit(step).lower(state, make_batch(config)).compile().cost_analysis()
    networks = build(config)
    expected = step_flops(networks, config)
    one_generator = config.train.batch_size * forward_flops(networks, config)["generator"]
    assert abs(cost["flops"] - expected) < 0.5 * one_generator
