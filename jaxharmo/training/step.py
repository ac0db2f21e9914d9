"""One training step: the four updates of StarGAN v2 in one compiled function."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxharmo.config import Config
from jaxharmo.models.networks import Networks, Params
from jaxharmo.ops.intensity import normalize
from jaxharmo.training.objectives import discriminator_objective, generator_objective
from jaxharmo.training.optim import Optimizers
from jaxharmo.training.state import TrainState, update_average
from jaxharmo.training.terms import (
    Changes,
    Examples,
    Guide,
    Made,
    Metrics,
    build_guides,
    make,
    remember_changes,
)

TrainStep = Callable[[TrainState, dict[str, Array]], tuple[TrainState, Metrics]]
Update = Callable[[Params, dict, "Inputs"], tuple[Params, dict, Metrics]]
"""Parameters, optimizers' state and inputs -> both after one update, and its loss terms."""

_WITH_STYLES = ("generator", "mapping_network", "style_encoder", "texture_attention")
TRAINED = {
    "latent": _WITH_STYLES,
    "reference": ("generator", "texture_attention"),
    "mixed": _WITH_STYLES,
}
"""Networks stepped by the generator update of each guide."""


class Inputs(NamedTuple):
    """What the updates of a step share; the arrays of examples have the batch in front."""

    examples: Examples
    changes: Changes
    diversity_weight: Float[Array, ""]
    made: Mapping[str, tuple[Made, Callable]]
    """By guide: what was made with the parameters at the start, and how gradients by it become
    gradients by parameters. Updates make for themselves what is not in it."""


def build_step(
    networks: Networks, optimizers: Optimizers, config: Config, *, at_once: bool = False
) -> TrainStep:
    """``train_step(state, batch) -> (state, metrics)``, pure; the caller compiles it.

    In order: discriminator on latent-guided fakes, on reference-guided fakes; generator, mapping
    network and style encoder on latent-guided fakes; generator on reference-guided fakes. The
    latent-guided fakes of the first update and of the third have the same parameters, and are made
    once.

    With ``config.train.steps_per_dispatch`` above 1, every array of the batch carries that many
    batches along its second axis (the first is the one that devices share), the steps follow each
    other on the device, and the metrics are their means.

    With ``at_once`` the optimizers wait for all gradients of an update, which XLA then sums over
    devices in one piece. On one device it would only take memory and kernels.
    """
    updates = build_updates(networks, optimizers, config, at_once)
    (first, guide), *_ = build_guides(networks, config).items()
    make_first = partial(make, guide=guide, networks=networks, config=config)

    def train_step(state: TrainState, batch: dict[str, Array]) -> tuple[TrainState, Metrics]:
        inputs = prepare_inputs(state.step, batch, config)
        params, opt_state, metrics = state.params, state.opt_state, {}
        own, others = _apart(params, TRAINED[first])
        made, pull_back = jax.vjp(lambda own: make_first(others | own, inputs.examples), own)
        changes = remember_changes(state.changes, inputs.examples, made, config)
        inputs = inputs._replace(changes=changes)
        # In parts, each part makes its own: those of the whole batch would need its memory.
        if config.train.accumulate == 1:
            inputs = inputs._replace(made={first: (made, pull_back)})
        for name, update in updates.items():
            params, opt_state, terms = update(params, opt_state, inputs)
            metrics |= {f"{name}/{term}": value for term, value in terms.items()}
        # Tells of a gradient that was not finite, though every loss before it was.
        metrics["parameters/norm"] = optax.tree.norm(params)
        ema = update_average(state.ema, params, config.optim.ema)
        return TrainState(state.step + 1, params, ema, opt_state, changes), metrics

    def several_steps(state: TrainState, batch: dict[str, Array]) -> tuple[TrainState, Metrics]:
        state, metrics = jax.lax.scan(train_step, state, _second_axis_first(batch))
        return state, jax.tree.map(jnp.mean, metrics)

    return train_step if config.train.steps_per_dispatch == 1 else several_steps


def build_updates(
    networks: Networks, optimizers: Optimizers, config: Config, at_once: bool = False
) -> dict[str, Update]:
    """The updates of a step, by name, in their order: four, as published.

    None of the discriminator without the adversarial term, none guided by references where domains
    have one style each.
    """
    guides = build_guides(networks, config)
    shared = {"networks": networks, "config": config}
    gradients = {}
    if config.loss.adversarial:
        for name, guide in guides.items():
            gradients[f"discriminator/{name}"] = (
                ("discriminator",),
                partial(_of_discriminator, name=name, guide=guide, **shared),
            )
    for name, guide in guides.items():
        gradients[f"generator/{name}"] = (
            TRAINED[name],
            partial(_of_generator, name=name, guide=guide, **shared),
        )
    pieces = config.train.accumulate
    return {
        name: partial(_minimise, gradient, trained, optimizers, pieces, at_once)
        for name, (trained, gradient) in gradients.items()
    }


def _of_discriminator(
    own: Params, others: Params, inputs: Inputs, *, name: str, guide: Guide, **shared
) -> tuple[Params, Metrics]:
    """Gradient of the discriminator's objective."""
    made, _ = inputs.made.get(name) or (make(others, inputs.examples, guide, **shared), None)
    return jax.grad(discriminator_objective, has_aux=True)(
        own, inputs.examples, made.fake, **shared
    )


def _of_generator(
    own: Params, others: Params, inputs: Inputs, *, name: str, guide: Guide, **shared
) -> tuple[Params, Metrics]:
    """Gradient of the generator's objective: directly, and through what is made."""

    def make_from(own: Params) -> Made:
        return make(others | own, inputs.examples, guide, **shared)

    def objective(own: Params, made: Made) -> tuple[Float[Array, ""], Metrics]:
        examples, changes, diversity_weight, _ = inputs
        return generator_objective(
            others | own, made, examples, changes, diversity_weight, **shared
        )

    made, pull_back = inputs.made.get(name) or jax.vjp(make_from, own)
    (direct, by_made), terms = jax.grad(objective, (0, 1), has_aux=True)(own, made)
    return jax.tree.map(jnp.add, direct, pull_back(by_made)[0]), terms


def _apart(params: Params, names: tuple[str, ...]) -> tuple[Params, Params]:
    """The networks of these names, and the others."""
    own = {name: params[name] for name in names}
    return own, {name: network for name, network in params.items() if name not in own}


def prepare_inputs(step: Array, batch: dict[str, Array], config: Config) -> Inputs:
    """What the updates need of a batch in HU: images in [-1, 1], latents, weights; no sums yet."""
    source, reference = (
        normalize(batch[name], config.data.window)[..., None] for name in ("source", "reference")
    )
    shape = (2, source.shape[0], config.model.latent_dim)
    key = jax.random.fold_in(jax.random.key(config.train.seed), step)
    first, second = jax.random.normal(key, shape)
    examples = Examples(
        source=source,
        source_domain=batch["source_domain"],
        references=(reference[:, 0], reference[:, 1]),
        target_domain=batch["target_domain"],
        latents=(first, second),
        side=batch["source_pixel"],
    )
    weights = config.loss
    fading = jnp.maximum(0.0, 1 - step / weights.diversity_steps)
    return Inputs(examples, {}, weights.diversity * fading, {})


def _minimise(
    gradient: Callable,
    trained: tuple[str, ...],
    optimizers: Optimizers,
    pieces: int,
    at_once: bool,
    params: Params,
    opt_state: dict,
    inputs: Inputs,
) -> tuple[Params, dict, Metrics]:
    """One optimizer step of the networks ``trained``; all others are constants."""
    own, others = _apart(params, trained)
    gradients, terms = _accumulate(gradient, own, others, inputs, pieces)
    if at_once:
        gradients = jax.lax.optimization_barrier(gradients)
    params, opt_state = dict(params), dict(opt_state)
    for name in trained:
        updates, opt_state[name] = optimizers[name].update(
            gradients[name], opt_state[name], params[name]
        )
        params[name] = cast(dict, optax.apply_updates(params[name], updates))
    return params, opt_state, terms


def _accumulate(
    gradient: Callable, own: Params, others: Params, inputs: Inputs, pieces: int
) -> tuple[Params, Metrics]:
    """Gradient and terms of the whole batch, from ``pieces`` equal parts of it, one by one.

    Means of means: the same as at once for all terms that are means over samples. A part takes
    every ``pieces``-th sample, so that all devices work on each.
    """
    if pieces == 1:
        return gradient(own, others, inputs)

    def split(array: Array) -> Array:
        return array.reshape(-1, pieces, *array.shape[1:])

    parts = _second_axis_first(jax.tree.map(split, inputs.examples))

    def add(total: tuple, part: Examples) -> tuple[tuple, None]:
        found = gradient(own, others, inputs._replace(examples=part))
        return jax.tree.map(lambda a, b: a + b / pieces, total, found), None

    shapes = jax.eval_shape(gradient, own, others, inputs)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(add, nothing, parts)[0]


def _second_axis_first(tree):
    return jax.tree.map(lambda array: jnp.moveaxis(array, 1, 0), tree)
