"""What the discriminator and the generator side minimise in StarGAN v2 (arXiv 1912.01865)."""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxharmo.config import Config
from jaxharmo.losses.adversarial import fake_loss, r1_penalty, real_loss
from jaxharmo.losses.texture import Grids, domain_average, texture_grids, texture_loss
from jaxharmo.losses.translation import cycle_loss, diversity, style_loss
from jaxharmo.models.networks import Networks, Params

Images = Float[Array, "b h w 1"]
Metrics = dict[str, Float[Array, ""]]


class Examples(NamedTuple):
    """A batch on the device, images in [-1, 1]."""

    source: Images
    source_domain: Int[Array, "b"]
    references: tuple[Images, Images]
    target_domain: Int[Array, "b"]
    latents: tuple[Float[Array, "b z"], Float[Array, "b z"]]


class RealTexture(NamedTuple):
    """Texture of the real images of a batch; a constant of the step, so computed once."""

    source: Grids
    reference: Grids


Guide = Callable[[Params, Examples], tuple[Float[Array, "b s"], Float[Array, "b s"]]]
"""Parameters and a batch -> two styles of the target domain for every sample."""


def apply(networks: Networks, params: Params, name: str, *inputs: Array) -> Array:
    """The output of the network ``name``."""
    return getattr(networks, name).apply({"params": params[name]}, *inputs)


def build_guides(networks: Networks) -> dict[str, Guide]:
    """Where the styles of an update come from: two latents, or two reference images."""

    def latent(params: Params, examples: Examples) -> tuple[Array, Array]:
        first, second = (
            apply(networks, params, "mapping_network", latent, examples.target_domain)
            for latent in examples.latents
        )
        return first, second

    def reference(params: Params, examples: Examples) -> tuple[Array, Array]:
        first, second = (
            apply(networks, params, "style_encoder", image, examples.target_domain)
            for image in examples.references
        )
        return first, second

    return {"latent": latent, "reference": reference}


def discriminator_objective(
    params: Params, examples: Examples, guide: Guide, networks: Networks, config: Config
) -> tuple[Float[Array, ""], Metrics]:
    """Real against fake, and R1 on the real images.

    Real and fake pass apart: one pass of both would carry the fakes through R1's second gradient,
    which needs the real ones alone. The real pass is float32 whatever the networks compute in:
    R1 squares a gradient.
    """
    exact = networks.discriminator.clone(dtype="float32")

    def logits_of(images: Images) -> Float[Array, "b"]:
        logits = exact.apply({"params": params["discriminator"]}, images, examples.source_domain)
        return cast(Array, logits)

    logits, pull_back = jax.vjp(logits_of, examples.source)
    (gradient,) = pull_back(jnp.ones_like(logits))
    fake = apply(networks, params, "generator", examples.source, guide(params, examples)[0])
    fake_logits = apply(
        networks,
        params,
        "discriminator",
        jax.lax.stop_gradient(fake),
        examples.target_domain,
    )
    terms = {
        "real": real_loss(logits),
        "fake": fake_loss(fake_logits),
        "r1": r1_penalty(gradient),
    }
    return terms["real"] + terms["fake"] + config.loss.r1 * terms["r1"], terms


def generator_objective(
    params: Params,
    examples: Examples,
    real_texture: RealTexture | None,
    diversity_weight: Float[Array, ""],
    guide: Guide,
    networks: Networks,
    config: Config,
) -> tuple[Float[Array, ""], Metrics]:
    """All that the generator, and in the latent-guided update its styles, are trained for."""
    weights = config.loss
    style, other_style = guide(params, examples)
    fake = apply(networks, params, "generator", examples.source, style)
    logits = apply(networks, params, "discriminator", fake, examples.target_domain)
    encoded = apply(networks, params, "style_encoder", fake, examples.target_domain)
    own_style = apply(networks, params, "style_encoder", examples.source, examples.source_domain)
    reconstruction = apply(networks, params, "generator", fake, own_style)
    terms = {
        "adversarial": real_loss(logits),
        "style": style_loss(encoded, style),
        "cycle": cycle_loss(reconstruction, examples.source),
    }
    total = (
        weights.adversarial * terms["adversarial"]
        + weights.style * terms["style"]
        + weights.cycle * terms["cycle"]
    )
    if weights.diversity:
        other = apply(networks, params, "generator", examples.source, other_style)
        terms["diversity"] = diversity(fake, other)
        total -= diversity_weight * terms["diversity"]
    if real_texture is not None:
        texture, texture_terms = _texture(
            params, fake, reconstruction, examples, real_texture, networks, config
        )
        terms |= {"texture": texture} | texture_terms
        total += weights.texture * texture
    return total, terms


def real_texture(examples: Examples, config: Config) -> RealTexture | None:
    """Texture grids of a batch's real images; ``None`` where the loss does not use them."""
    if config.loss.texture == 0:
        return None
    compare = config.texture.compare
    source = texture_grids(examples.source, config.texture) if compare != "reference" else {}
    if compare == "cycle":
        return RealTexture(source, {})
    first, second = (texture_grids(images, config.texture) for images in examples.references)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
    return RealTexture(source, domain_average(mean, examples.target_domain, _domains(config)))


def _texture(
    params: Params,
    fake: Images,
    reconstruction: Images,
    examples: Examples,
    real: RealTexture,
    networks: Networks,
    config: Config,
) -> tuple[Float[Array, ""], Metrics]:
    """The texture terms of the comparisons for which ``real`` holds grids.

    Cycle: each reconstruction against its source. Reference: the mean grid of a domain's
    translations against that of its references, because anatomy differs from image to image.
    """

    def attention(grid: Float[Array, "b 4 4"]) -> Float[Array, "b 4 4"]:
        return apply(networks, params, "texture_attention", grid)

    pairs = []
    if real.source:
        pairs.append((texture_grids(reconstruction, config.texture), real.source))
    if real.reference:
        grids = texture_grids(fake, config.texture)
        mean = domain_average(grids, examples.target_domain, _domains(config))
        pairs.append((mean, real.reference))
    found = [texture_loss(grids, target, config.texture, attention) for grids, target in pairs]
    terms = {name: sum((terms[name] for _, terms in found), jnp.zeros(())) for name in found[0][1]}
    return sum((loss for loss, _ in found), jnp.zeros(())), terms


def _domains(config: Config) -> int:
    return len(config.data.domains)
