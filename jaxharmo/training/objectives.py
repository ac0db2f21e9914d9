"""What the discriminator and the generator side minimise in StarGAN v2 (arXiv 1912.01865)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxharmo.config import Config
from jaxharmo.data.prepare.domains import scanner_of
from jaxharmo.losses.adversarial import fake_loss, r1_penalty, real_loss
from jaxharmo.losses.changes import Changes, change_losses, remember
from jaxharmo.losses.texture import Grids, domain_average, texture_grids, texture_loss
from jaxharmo.losses.translation import cycle_loss, diversity, style_loss
from jaxharmo.models.networks import Networks, Params

Images = Float[Array, "b h w 1"]
Metrics = dict[str, Float[Array, ""]]
Style = Float[Array, "b s"]


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


class Styles(NamedTuple):
    """Of every sample of a batch: two styles of the target domain, and the source's own."""

    target: Style
    other: Style
    source: Style


Guide = Callable[[Params, Examples], Styles]


def apply(networks: Networks, params: Params, name: str, *inputs: Array) -> Array:
    """The output of the network ``name``."""
    return getattr(networks, name).apply({"params": params[name]}, *inputs)


def build_guides(networks: Networks, config: Config) -> dict[str, Guide]:
    """Where the styles of an update come from: latents, or images.

    The source's style, which leads a translation back, is always read off the source, as published,
    unless the generator is steered by differences: then both ends must be of one kind.
    """

    def encoded(params: Params, image: Images, domain: Int[Array, "b"]) -> Style:
        return apply(networks, params, "style_encoder", image, domain)

    def latent(params: Params, examples: Examples) -> Styles:
        def mapped(latent: Array, domain: Array) -> Style:
            return apply(networks, params, "mapping_network", latent, domain)

        first, second = examples.latents
        own = (
            mapped(first, examples.source_domain)
            if config.model.steering == "difference"
            else encoded(params, examples.source, examples.source_domain)
        )
        target = examples.target_domain
        return Styles(mapped(first, target), mapped(second, target), own)

    def reference(params: Params, examples: Examples) -> Styles:
        first, second = (
            encoded(params, image, examples.target_domain) for image in examples.references
        )
        return Styles(first, second, encoded(params, examples.source, examples.source_domain))

    # Where a domain has one style, images of it have no other to tell of.
    if not config.model.latent_dim:
        return {"latent": latent}
    return {"latent": latent, "reference": reference}


def translate(
    networks: Networks, config: Config, params: Params, images: Images, to: Style, of: Style
) -> Images:
    """Images of the style ``of`` in the style ``to``."""
    return apply(networks, params, "generator", images, steer(config, to, of))


def steer(config: Config, to: Style, of: Style) -> Style:
    """What the generator is given to lead an image of the style ``of`` to the style ``to``."""
    return to - of if config.model.steering == "difference" else to


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
    styles = guide(params, examples)
    fake = translate(networks, config, params, examples.source, to=styles.target, of=styles.source)
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
    changes: Changes | None,
    diversity_weight: Float[Array, ""],
    guide: Guide,
    networks: Networks,
    config: Config,
) -> tuple[Float[Array, ""], Metrics]:
    """All that the generator, and in the latent-guided update its styles, are trained for."""
    weights = config.loss
    styles = guide(params, examples)
    moved = partial(translate, networks, config, params)
    fake = moved(examples.source, to=styles.target, of=styles.source)
    terms: Metrics = {}
    if weights.adversarial:
        logits = apply(networks, params, "discriminator", fake, examples.target_domain)
        terms["adversarial"] = real_loss(logits)
    if weights.style:
        encoded = apply(networks, params, "style_encoder", fake, examples.target_domain)
        terms["style"] = style_loss(encoded, styles.target)
    reconstruction = moved(fake, to=styles.source, of=styles.target)
    terms["cycle"] = cycle_loss(reconstruction, examples.source)
    total = sum((getattr(weights, name) * term for name, term in terms.items()), jnp.zeros(()))
    if weights.diversity:
        other = moved(examples.source, to=styles.other, of=styles.source)
        terms["diversity"] = diversity(fake, other)
        total -= diversity_weight * terms["diversity"]
    if real_texture is not None:
        texture, texture_terms = _texture(
            params, fake, reconstruction, examples, real_texture, networks, config
        )
        terms |= {"texture": texture} | texture_terms
        total += weights.texture * texture
    if changes is not None:
        domains = (examples.source_domain, examples.target_domain)
        found = change_losses(fake, *domains, changes, _same_scanner(config))
        for name, (loss, terms[f"{name}_gap"]) in found.items():
            total += getattr(weights, name) * loss
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


def remember_changes(
    changes: Changes, params: Params, examples: Examples, networks: Networks, config: Config
) -> Changes:
    """The running sums with a batch and its latent-guided translations added."""
    styles = build_guides(networks, config)["latent"](params, examples)
    fake = translate(networks, config, params, examples.source, to=styles.target, of=styles.source)
    return remember(
        changes,
        examples.source,
        examples.source_domain,
        examples.references,
        examples.target_domain,
        fake,
    )


def _same_scanner(config: Config) -> Float[Array, "k k"]:
    """1 where two domains are kernels of one scanner."""
    scanners = np.array([scanner_of(name) for name in config.data.domains])
    return jnp.asarray(scanners[:, None] == scanners, jnp.float32)


def _domains(config: Config) -> int:
    return len(config.data.domains)
