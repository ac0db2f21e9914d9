"""The terms of the generator's loss, in a table, and the translations that they use."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxharmo.config import Config
from jaxharmo.data.prepare.domains import scanner_of
from jaxharmo.losses.adversarial import real_loss
from jaxharmo.losses.changes import (
    AGGREGATIONS,
    Aggregate,
    Cells,
    Gaps,
    Memory,
    change_loss,
    remember,
)
from jaxharmo.losses.descriptors import DESCRIPTORS
from jaxharmo.losses.spread import energy_distance, squared_mean
from jaxharmo.losses.texture import domain_average, texture_grids, texture_loss
from jaxharmo.losses.translation import cycle_loss, diversity, style_loss
from jaxharmo.models.networks import Networks, Params
from jaxharmo.ops.intensity import in_whole_hu

Images = Float[Array, "b h w 1"]
Metrics = dict[str, Float[Array, ""]]
Style = Float[Array, "b s"]
Found = tuple[Float[Array, ""], Metrics]
"""A term's loss and further metrics to log."""


class Examples(NamedTuple):
    """A batch on the device, images in [-1, 1]."""

    source: Images
    source_domain: Int[Array, "b"]
    references: tuple[Images, Images]
    target_domain: Int[Array, "b"]
    latents: tuple[Float[Array, "b z"], Float[Array, "b z"]]
    side: Float[Array, "b"]
    """Of the sources' pixels, mm."""


class Styles(NamedTuple):
    """Of every sample of a batch: two styles of the target domain, and the source's own."""

    target: Style
    other: Style
    source: Style


class Made(NamedTuple):
    """What an update makes of a batch before its losses."""

    styles: Styles
    fake: Images
    """The sources in the target style."""
    described: dict[str, Cells]
    """By the name of a descriptor: the sources, translated from the mean style of their domain to
    that of the target domain and rounded to whole HU.

    They keep their dose. A dose that a style draws changes an image's noise by more than domains
    differ, and would hide by how much that is.
    """


Guide = Callable[[Params, Examples], Styles]
Changes = dict[str, Memory]
"""Running sums by the name of their descriptor."""


def build_guides(networks: Networks, config: Config) -> dict[str, Guide]:
    """Sources of the styles of an update: latents, or images.

    The source's style is encoded from the source if domains have more than one style.
    """

    def latent(params: Params, examples: Examples) -> Styles:
        mapped = partial(networks.mapped_style, params)
        first, second = examples.latents
        own = (
            networks.encoded_style(params, examples.source, examples.source_domain)
            if config.model.latent_dim
            else mapped(first, examples.source_domain)
        )
        target = examples.target_domain
        return Styles(mapped(first, target), mapped(second, target), own)

    def reference(params: Params, examples: Examples) -> Styles:
        encoded = partial(networks.encoded_style, params)
        first, second = (encoded(image, examples.target_domain) for image in examples.references)
        return Styles(first, second, encoded(examples.source, examples.source_domain))

    def mixed(params: Params, examples: Examples) -> Styles:
        drawn = jnp.arange(len(examples.source))[:, None] % 2 == 0
        both = latent(params, examples), reference(params, examples)
        return jax.tree.map(partial(jnp.where, drawn), *both)

    # With one style a domain, references hold no other style.
    if not config.model.latent_dim:
        return {"latent": latent}
    if config.train.guidance == "mixed":
        return {"mixed": mixed}
    return {"latent": latent, "reference": reference}


def make(
    params: Params, examples: Examples, guide: Guide, networks: Networks, config: Config
) -> Made:
    """Translate a batch, and describe what the change losses compare."""
    styles = guide(params, examples)
    names = remembered(config)
    ways = [(styles.target, styles.source)]
    if names and config.model.latent_dim:
        mean = partial(networks.mean_style, params, latent_dim=config.model.latent_dim)
        ways.append((mean(examples.target_domain), mean(examples.source_domain)))
    # All in one call; the batch stays the leading axis, which is sharded.
    to, of = (jnp.stack(ends, axis=1) for ends in zip(*ways, strict=True))
    flat = lambda array: array.reshape(-1, *array.shape[2:])  # noqa: E731
    images = jnp.repeat(examples.source, len(ways), axis=0)
    ends = {"to": flat(to), "of": flat(of), "side": jnp.repeat(examples.side, len(ways))}
    if "levels" in names:
        made, levelled = networks.translate_with_levels(params, images, **ends)
    else:
        made = levelled = networks.translate(params, images, **ends)
    by_way = lambda array: array.reshape(-1, len(ways), *array.shape[1:])  # noqa: E731
    between_means, of_levels = (
        in_whole_hu(by_way(array)[:, -1], config.data.window) for array in (made, levelled)
    )
    described = {
        name: DESCRIPTORS[name](config).describe(of_levels if name == "levels" else between_means)
        for name in names
    }
    return Made(styles, by_way(made)[:, 0], described)


@dataclasses.dataclass(frozen=True)
class Update:
    """One update of the generator: the inputs of its terms, computed on first use."""

    networks: Networks
    config: Config
    params: Params
    examples: Examples
    changes: Changes
    made: Made

    @property
    def fake(self) -> Images:
        """The sources in the target style."""
        return self.made.fake

    @property
    def styles(self) -> Styles:
        """Where they lead, and from where."""
        return self.made.styles

    @cached_property
    def reconstruction(self) -> Images:
        """The fakes in the style of their sources."""
        return self._translate(self.fake, self.styles.source, self.styles.target)

    @cached_property
    def other(self) -> Images:
        """The sources in a second style of the target domain."""
        return self._translate(self.examples.source, self.styles.other, self.styles.source)

    def _translate(self, images: Images, to: Style, of: Style) -> Images:
        return self.networks.translate(self.params, images, to, of, self.examples.side)


def _adversarial(update: Update) -> Found:
    domain = update.examples.target_domain
    fake = in_whole_hu(update.fake, update.config.data.window)
    logits = update.networks.apply(update.params, "discriminator", fake, domain)
    return real_loss(logits), {}


def _style(update: Update) -> Found:
    domain = update.examples.target_domain
    encoded = update.networks.encoded_style(update.params, update.fake, domain)
    return style_loss(encoded, update.styles.target), {}


def _cycle(update: Update) -> Found:
    return cycle_loss(update.reconstruction, update.examples.source), {}


def _diversity(update: Update) -> Found:
    return -diversity(update.fake, update.other), {}


def _spread(update: Update) -> Found:
    """Drawn spreads against those of real images, whose mean is held at zero.

    Otherwise the mean could drift against the rows of the table; no other loss prevents that.
    """
    examples = update.examples
    domain = examples.target_domain
    apply = partial(update.networks.apply, update.params)
    drawn, other = (
        apply("mapping_network", latent, domain, method="drawn") for latent in examples.latents
    )
    first, second = (apply("style_encoder", images, domain) for images in examples.references)
    distance = energy_distance((drawn, other), (first, second))
    return distance + squared_mean(first, second), {}


def _texture(update: Update) -> Found:
    if update.config.texture.compare == "changes":
        return _changes("texture", update)
    return _published_texture(update)


def _published_texture(update: Update) -> Found:
    """Each reconstruction against its source, or domains against each other.

    With references, the mean grid of a domain's translations against that of its references,
    because anatomy differs from image to image.
    """
    config, examples = update.config, update.examples
    grids = partial(texture_grids, config=config.texture)
    if config.texture.compare == "cycle":
        made, real = grids(update.reconstruction), grids(examples.source)
    else:
        of_domain = partial(
            domain_average, domain=examples.target_domain, domains=len(config.data.domains)
        )
        first, second = (grids(images) for images in examples.references)
        mean = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
        made, real = of_domain(grids(update.fake)), of_domain(mean)
    return texture_loss(made, real, config.texture, _attention(update))


def _changes(name: str, update: Update) -> Found:
    config, examples = update.config, update.examples
    descriptor = DESCRIPTORS[name](config)
    loss, gap = change_loss(
        update.made.described[name],
        examples.source_domain,
        examples.target_domain,
        update.changes[name],
        descriptor,
        _aggregate(descriptor.aggregation, update),
        same_scanner(config),
    )
    return loss, {f"{name}_gap": gap}


def _aggregate(name: str, update: Update) -> Aggregate:
    if name != "attention":
        return AGGREGATIONS[name]

    def attended(gaps: Gaps) -> Float[Array, "b"]:
        grids = gaps.cells.reshape(-1, 4, 4)
        return _attention(update)(grids).mean((1, 2)).reshape(len(gaps.cells), -1).mean(1)

    return attended


def _attention(update: Update) -> Callable[[Float[Array, "b 4 4"]], Float[Array, "b 4 4"]]:
    return partial(update.networks.apply, update.params, "texture_attention")


TERMS: Mapping[str, Callable[[Update], Found]] = {
    "adversarial": _adversarial,
    "style": _style,
    "cycle": _cycle,
    "diversity": _diversity,
    "spread": _spread,
    "texture": _texture,
    "spectrum": partial(_changes, "spectrum"),
    "histogram": partial(_changes, "histogram"),
    "activity": partial(_changes, "activity"),
    "levels": partial(_changes, "levels"),
}
"""By the name of their weight in ``LossConfig``."""


def remembered(config: Config) -> tuple[str, ...]:
    """Names of the descriptors whose sums a run keeps."""
    by_changes = {"texture": config.texture.compare == "changes"}
    return tuple(
        name for name in DESCRIPTORS if getattr(config.loss, name) and by_changes.get(name, True)
    )


def empty_changes(config: Config) -> Changes:
    """Before the real images of the domains are described."""
    return {
        name: Memory.empty(len(config.data.domains), DESCRIPTORS[name](config).cells)
        for name in remembered(config)
    }


def remember_changes(changes: Changes, examples: Examples, made: Made, config: Config) -> Changes:
    """The running sums with a batch and its translations added."""
    if not changes:
        return {}
    before = {name: DESCRIPTORS[name](config).describe(examples.source) for name in changes}
    return remember(changes, before, made.described, examples.source_domain, examples.target_domain)


def same_scanner(config: Config) -> Float[Array, "k k"]:
    """1 where two domains are kernels of one scanner."""
    scanners = np.array([scanner_of(name) for name in config.data.domains])
    return jnp.asarray(scanners[:, None] == scanners, jnp.float32)
