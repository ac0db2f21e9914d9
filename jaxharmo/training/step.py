"""One training step: the four updates of StarGAN v2 in one compiled function."""

from collections.abc import Callable
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxharmo.config import Config
from jaxharmo.models.networks import Networks, Params
from jaxharmo.ops.intensity import normalize
from jaxharmo.training.objectives import (
    Examples,
    Metrics,
    StylePair,
    apply,
    discriminator_objective,
    generator_objective,
    real_texture,
)
from jaxharmo.training.optim import Optimizers
from jaxharmo.training.state import TrainState, update_average

TrainStep = Callable[[TrainState, dict[str, Array]], tuple[TrainState, Metrics]]

LATENT_GUIDED = ("generator", "mapping_network", "style_encoder", "texture_attention")
REFERENCE_GUIDED = ("generator", "texture_attention")
"""Networks stepped by each of the two generator updates."""


def build_step(networks: Networks, optimizers: Optimizers, config: Config) -> TrainStep:
    """``train_step(state, batch) -> (state, metrics)``, pure; the caller compiles it.

    In order: discriminator on latent-guided fakes, on reference-guided fakes; generator, mapping
    network and style encoder on latent-guided fakes; generator on reference-guided fakes.
    """
    minimise = partial(_minimise, optimizers=optimizers)

    def train_step(state: TrainState, batch: dict[str, Array]) -> tuple[TrainState, Metrics]:
        examples = _examples(batch, config)
        texture = real_texture(examples, config)
        guided = _style_sources(
            jax.random.key(config.train.seed), state.step, examples, networks, config
        )
        weights = config.loss
        fading = jnp.maximum(0.0, 1 - state.step / weights.diversity_steps)
        params, opt_state, metrics = state.params, state.opt_state, {}
        for source, styles in guided.items():
            fake = apply(networks, params, "generator", examples.source, styles(params)[0])
            objective = partial(
                discriminator_objective,
                examples=examples,
                fake=jax.lax.stop_gradient(fake),
                networks=networks,
                config=config,
            )
            params, opt_state, terms = minimise(objective, ("discriminator",), params, opt_state)
            metrics |= {f"discriminator/{source}/{name}": value for name, value in terms.items()}
        for trained, (source, styles) in zip(
            (LATENT_GUIDED, REFERENCE_GUIDED), guided.items(), strict=True
        ):
            objective = partial(
                generator_objective,
                styles=styles,
                examples=examples,
                real_texture=texture,
                diversity_weight=weights.diversity * fading,
                networks=networks,
                config=config,
            )
            params, opt_state, terms = minimise(objective, trained, params, opt_state)
            metrics |= {f"generator/{source}/{name}": value for name, value in terms.items()}
        # Tells of a gradient that was not finite, though every loss before it was.
        metrics["parameters/norm"] = optax.tree.norm(params)
        ema = update_average(state.ema, params, config.optim.ema)
        return TrainState(state.step + 1, params, ema, opt_state), metrics

    return train_step


def _examples(batch: dict[str, Array], config: Config) -> Examples:
    source, reference = (
        normalize(batch[name], config.data.window)[..., None] for name in ("source", "reference")
    )
    return Examples(
        source=source,
        source_domain=batch["source_domain"],
        references=(reference[:, 0], reference[:, 1]),
        target_domain=batch["target_domain"],
    )


def _style_sources(
    key: Array, step: Array, examples: Examples, networks: Networks, config: Config
) -> dict[str, StylePair]:
    """Where the two styles of an update come from: two latents, or two reference images."""
    shape = (2, examples.source.shape[0], config.model.latent_dim)
    latents = jax.random.normal(jax.random.fold_in(key, step), shape)

    def pair(network: str, first: Array, second: Array) -> StylePair:
        domain = examples.target_domain
        return lambda params: (
            apply(networks, params, network, first, domain),
            apply(networks, params, network, second, domain),
        )

    return {
        "latent": pair("mapping_network", *latents),
        "reference": pair("style_encoder", *examples.references),
    }


def _minimise(
    objective: Callable,
    trained: tuple[str, ...],
    params: Params,
    opt_state: dict,
    optimizers: Optimizers,
) -> tuple[Params, dict, Metrics]:
    """One optimizer step of the networks ``trained``; all others are constants."""

    def of_trained(own: Params):
        return objective(params | own)

    own = {name: params[name] for name in trained}
    gradients, terms = jax.grad(of_trained, has_aux=True)(own)
    params, opt_state = dict(params), dict(opt_state)
    for name in trained:
        updates, opt_state[name] = optimizers[name].update(
            gradients[name], opt_state[name], params[name]
        )
        params[name] = cast(dict, optax.apply_updates(params[name], updates))
    return params, opt_state, terms
