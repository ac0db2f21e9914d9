"""How many operations a training step asks for, whatever form a device computes them in."""

import jax
import jax.numpy as jnp

from jaxharmo.config import Config
from jaxharmo.models.networks import Networks, init

_PASSES = {
    # Fakes of both discriminator updates; two translations and their gradients in each generator
    # update; the latent-guided fake counts once.
    "generator": 13,
    # Each discriminator update: real 2 and 4 for R1's second gradient, fake 3; each generator
    # update: 2.
    "discriminator": 22,
    # Reference; latent-guided update: translation and source, 3 each; reference-guided update:
    # reference, translation 2, source.
    "style_encoder": 11,
    "mapping_network": 3,
}
_DIVERSITY_PASSES = {"generator": 2, "style_encoder": 1, "mapping_network": 1}
"""Of the second translation in each generator update, and its style."""


def forward_flops(networks: Networks, config: Config) -> dict[str, float]:
    """Operations of one pass of every network over one sample, by XLA's count.

    Convolutions count as the sums of their definition: 2 operations a tap.
    """
    image = jnp.zeros((1, config.data.crop, config.data.crop, 1))
    domain = jnp.zeros(1, jnp.int32)
    style = jnp.zeros((1, config.model.style_dim))
    inputs = {
        "generator": (image, style, style),
        "mapping_network": (jnp.zeros((1, config.model.latent_dim)), domain),
        "style_encoder": (image, domain),
        "discriminator": (image, domain),
    }
    params = jax.eval_shape(lambda: init(networks, config, jax.random.key(0)))
    flops = {}
    for name, arrays in inputs.items():
        traced = jax.jit(getattr(networks, name).apply).trace({"params": params[name]}, *arrays)
        # For an accelerator, nothing is rewritten into fewer products.
        lowered = traced.lower(lowering_platforms=("cuda",))
        flops[name] = float((lowered.cost_analysis() or {})["flops"])  # pyright: ignore
    return flops


def step_flops(networks: Networks, config: Config) -> float:
    """Operations of the networks in one step of the whole batch ("model FLOPs").

    A gradient by inputs or by parameters counts as one pass each. Recomputation, optimizers,
    losses and textures do not count.
    """
    passes = dict(_PASSES)
    if config.loss.diversity:
        passes = {name: count + _DIVERSITY_PASSES.get(name, 0) for name, count in passes.items()}
    forward = forward_flops(networks, config)
    return config.train.batch_size * sum(passes[name] * forward[name] for name in passes)
