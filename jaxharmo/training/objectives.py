"""What the discriminator and the generator side minimise in StarGAN v2 (arXiv 1912.01865)."""

from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.config import Config
from jaxharmo.losses.adversarial import fake_loss, r1_penalty, real_loss
from jaxharmo.models.networks import Networks, Params
from jaxharmo.ops.intensity import in_whole_hu
from jaxharmo.training.terms import TERMS, Changes, Examples, Images, Made, Metrics, Update


def discriminator_objective(
    params: Params, examples: Examples, fake: Images, networks: Networks, config: Config
) -> tuple[Float[Array, ""], Metrics]:
    """Real against fake, and R1 on the real images.

    Real and fake pass apart: one pass of both would carry the fakes through R1's second gradient,
    which needs the real ones alone. The real pass is float32 whatever the networks compute in:
    R1 squares a gradient.
    """
    exact = networks.discriminator.clone(dtype="float32")

    def logits_of(images: Images) -> Float[Array, "b p"]:
        logits = exact.apply({"params": params["discriminator"]}, images, examples.source_domain)
        return cast(Array, logits)

    logits, pull_back = jax.vjp(logits_of, examples.source)
    # Of the mean over patches, if there are several.
    (gradient,) = pull_back(jnp.full_like(logits, 1 / logits.shape[1]))
    fake = jax.lax.stop_gradient(in_whole_hu(fake, config.data.window))
    fake_logits = networks.apply(params, "discriminator", fake, examples.target_domain)
    terms = {
        "real": real_loss(logits),
        "fake": fake_loss(fake_logits),
        "r1": r1_penalty(gradient),
    }
    return terms["real"] + terms["fake"] + config.loss.r1 * terms["r1"], terms


def generator_objective(
    params: Params,
    made: Made,
    examples: Examples,
    changes: Changes,
    diversity_weight: Float[Array, ""],
    networks: Networks,
    config: Config,
) -> tuple[Float[Array, ""], Metrics]:
    """All that the generator, and in the latent-guided update its styles, are trained for."""
    update = Update(networks, config, params, examples, changes, made)
    total, metrics = jnp.zeros(()), {}
    for name, term in TERMS.items():
        weight = getattr(config.loss, name)
        if not weight:
            continue
        metrics[name], more = term(update)
        metrics |= more
        total += (diversity_weight if name == "diversity" else weight) * metrics[name]
    return total, metrics
