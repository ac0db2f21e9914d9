"""How many operations a training step needs, in whatever form a device computes them."""

from collections import Counter

import jax
import jax.numpy as jnp

from jaxharmo.config import Config
from jaxharmo.models.networks import Networks, init


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


def network_passes(config: Config) -> dict[str, int]:
    """Passes of every network over a sample in one step, forward or of a gradient.

    A translation that is trained for takes three: its own, the gradient by parameters and the one
    by what came before. What two updates compute alike counts once.
    """
    loss, model = config.loss, config.model
    passes = Counter[str]()
    source_style = "style_encoder" if model.latent_dim else "mapping_network"
    returns = loss.cycle or (loss.texture and config.texture.compare == "cycle")
    # (guide, network of its styles, passes of what that network makes): references are images, so
    # that their styles are not trained for.
    guides = [("latent", "mapping_network", 3), ("reference", "style_encoder", 1)]
    for guide, target_style, styling in guides if model.latent_dim else guides[:1]:
        if loss.adversarial:
            # Real 2, and 4 for R1's second gradient; fake 3; then through it to the generator.
            passes["discriminator"] += 9 + 2
            if guide == "reference":
                # The latent-guided fake is that of the generator's update.
                passes["generator"] += 1
                passes["style_encoder"] += 1
        passes["generator"] += 6 if returns else 3
        passes[target_style] += styling
        if returns or model.by_difference:
            passes[source_style] += styling
        if loss.style:
            passes["style_encoder"] += 3 if guide == "latent" else 2
        if loss.diversity:
            passes["generator"] += 1
            passes[target_style] += 1
    return dict(passes)


def step_flops(networks: Networks, config: Config) -> float:
    """Operations of the networks in one step of the whole batch ("model FLOPs").

    A gradient by inputs or by parameters counts as one pass each. Recomputation, optimizers,
    losses and textures do not count.
    """
    passes, forward = network_passes(config), forward_flops(networks, config)
    return config.train.batch_size * sum(passes[name] * forward[name] for name in passes)
