"""All networks of a run, built from its config, and their first parameters."""

import dataclasses
from functools import partial
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxharmo import config as configs
from jaxharmo.config import Config
from jaxharmo.models.discriminator import Discriminator
from jaxharmo.models.filters import FilterGenerator
from jaxharmo.models.generator import Generator
from jaxharmo.models.mapping import MappingNetwork, TableMapping
from jaxharmo.models.style import NoiseEncoder, StyleEncoder
from jaxharmo.models.texture_attention import TextureAttention
from jaxharmo.ops.tissue import TISSUE_LEVELS

Images = Float[Array, "b h w 1"]
Style = Float[Array, "b s"]
Sides = Float[Array, "b"] | None
Params = dict[str, dict]
"""Parameters by the name of their network, the field names of ``Networks``."""

_ANY_PIXEL = 1.0
"""mm; before a run has looked at its domains."""
AVERAGED = ("generator", "mapping_network", "style_encoder")
"""Networks whose weights are averaged; evaluation and harmonization use the average."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """The modules; each is applied as ``networks.apply(params, "generator", …)``."""

    generator: nn.Module
    mapping_network: nn.Module
    style_encoder: nn.Module
    discriminator: nn.Module
    texture_attention: nn.Module

    def apply(self, params: Params, name: str, *inputs: Array, method: str | None = None) -> Array:
        """The output of the network ``name``."""
        return _applied(getattr(self, name), method, params[name], *inputs)

    def translate(
        self, params: Params, images: Images, to: Style, of: Style, side: Sides = None
    ) -> Images:
        """Images of the style ``of`` in the style ``to``.

        ``side``: of their pixels, mm, for generators that work in mm.
        """
        return self.apply(params, "generator", images, to, of, *self.sides(side))

    def translate_with_levels(
        self, params: Params, images: Images, to: Style, of: Style, side: Sides = None
    ) -> tuple[Images, Images]:
        """``translate``, and the same with the gradient of the filter generator's offsets."""
        inputs = (images, to, of, *self.sides(side))
        found = self.apply(params, "generator", *inputs, method="with_levels")
        return cast(tuple[Images, Images], found)

    def sides(self, side: Sides) -> tuple[Float[Array, "b"], ...]:
        """What a generator takes of the side of pixels: nothing, but for one that works in mm.

        ``ValueError`` where that one gets none.
        """
        if not (isinstance(self.generator, FilterGenerator) and self.generator.pixel):
            return ()
        if side is None:
            raise ValueError("this generator works in mm: it needs the side of a pixel")
        return (side,)

    def mapped_style(
        self, params: Params, latent: Float[Array, "b z"], domain: Int[Array, "b"]
    ) -> Style:
        """The style that a latent draws in a domain."""
        return self.apply(params, "mapping_network", latent, domain)

    def mean_style(self, params: Params, domain: Int[Array, "b"], latent_dim: int) -> Style:
        """The style of a latent of zeros; where styles spread around a row of a table, the row."""
        if isinstance(self.mapping_network, TableMapping):
            return self.apply(params, "mapping_network", domain, method="row")
        return self.mapped_style(params, jnp.zeros((len(domain), latent_dim)), domain)

    def encoded_style(self, params: Params, images: Images, domain: Int[Array, "b"]) -> Style:
        """The style encoded from images of a domain."""
        found = self.apply(params, "style_encoder", images, domain)
        if not isinstance(self.mapping_network, TableMapping):
            return found
        return self.apply(params, "mapping_network", domain, found, method="around")


@partial(jax.jit, static_argnums=(0, 1))
def _applied(module: nn.Module, method: str | None, params: dict, *inputs: Array) -> Array:
    # A step applies a network many times to like inputs; a function of its own is traced once.
    return cast(Array, module.apply({"params": params}, *inputs, method=method))


def build(config: Config) -> Networks:
    """The networks for the domains that ``config.data.domains`` names."""
    model, domains = config.model, len(config.data.domains)
    generator = model.generator
    compute = {"dtype": config.train.compute_dtype, "remat": config.train.remat}
    widths = {"width": model.width, "max_width": model.max_width, **compute}
    if isinstance(generator, configs.FilterGenerator):
        low, high = config.data.window
        levels = [2 * (hu - low) / (high - low) - 1 for hu in TISSUE_LEVELS]
        translating = FilterGenerator(
            generator.knots,
            generator.residual_width,
            generator.local_gains,
            tuple(levels) if generator.calibration else (),
            (generator.pixel or _ANY_PIXEL) if generator.in_mm else 0.0,
        )
        mapping = TableMapping(domains, model.style_dim, model.mapping_width)
        encoder = NoiseEncoder(domains, config.data.window)
    else:
        translating = Generator(
            downsamples=generator.downsamples, bottleneck=generator.bottleneck, **widths
        )
        mapping = MappingNetwork(domains, model.style_dim, model.mapping_width)
        encoder = StyleEncoder(domains, model.sees, model.style_dim, **widths)
    return Networks(
        generator=translating,
        mapping_network=mapping,
        style_encoder=encoder,
        discriminator=Discriminator(domains, model.sees, **widths),
        texture_attention=TextureAttention(),
    )


def init(networks: Networks, config: Config, key: jax.Array) -> Params:
    """First parameters of every network, float32.

    Kernels He normal, biases zero; what a filter generator adds to the image starts at zero.
    """
    image = jnp.zeros((1, config.data.crop, config.data.crop, 1))
    style = jnp.zeros((1, config.model.style_dim))
    latent = jnp.zeros((1, config.model.latent_dim))
    domain = jnp.zeros((1,), jnp.int32)
    arguments = {
        "generator": (image, style, style, *networks.sides(jnp.ones(1))),
        "mapping_network": (latent, domain),
        "style_encoder": (image, domain),
        "discriminator": (image, domain),
        "texture_attention": (jnp.zeros((1, 4, 4)),),
    }
    keys = jax.random.split(key, len(arguments))
    return {
        name: getattr(networks, name).init(subkey, *inputs)["params"]
        for subkey, (name, inputs) in zip(keys, arguments.items(), strict=True)
    }


def leaf_name(path: Any) -> str:
    """Of a parameter, from its path in the tree: ``generator/gain/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
