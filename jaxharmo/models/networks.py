"""All networks of a run, built from its config, and their first parameters."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxharmo.config import Config
from jaxharmo.models.discriminator import Discriminator
from jaxharmo.models.filters import FilterGenerator
from jaxharmo.models.generator import Generator
from jaxharmo.models.mapping import MappingNetwork
from jaxharmo.models.style import StyleEncoder
from jaxharmo.models.texture_attention import TextureAttention

Params = dict[str, dict]
"""Parameters by the name of their network, the field names of ``Networks``."""

AVERAGED = ("generator", "mapping_network", "style_encoder")
"""Networks whose weights are averaged; evaluation and harmonization use the average."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """The modules; each is applied as ``networks.generator.apply({"params": p}, …)``."""

    generator: Generator | FilterGenerator
    mapping_network: MappingNetwork
    style_encoder: StyleEncoder
    discriminator: Discriminator
    texture_attention: TextureAttention


def build(config: Config) -> Networks:
    """The networks for the domains that ``config.data.domains`` names."""
    model, domains = config.model, len(config.data.domains)
    widths = {
        "width": model.width,
        "max_width": model.max_width,
        "detail_gain": model.detail_gain,
        "dtype": config.train.compute_dtype,
        "remat": config.train.remat,
    }
    return Networks(
        generator=FilterGenerator(model.filter_terms)
        if model.filter_terms
        else Generator(
            downsamples=model.downsamples,
            bottleneck=model.bottleneck,
            residual=model.residual,
            normalize=model.instance_norm,
            **widths,
        ),
        mapping_network=MappingNetwork(domains, model.style_dim, model.mapping_width),
        style_encoder=StyleEncoder(domains, model.style_dim, **widths),
        discriminator=Discriminator(domains, **widths),
        texture_attention=TextureAttention(),
    )


def init(networks: Networks, config: Config, key: jax.Array) -> Params:
    """First parameters of every network, float32.

    Kernels He normal, biases zero; the last kernel of a residual generator is zero.
    """
    image = jnp.zeros((1, config.data.crop, config.data.crop, 1))
    style = jnp.zeros((1, config.model.style_dim))
    latent = jnp.zeros((1, config.model.latent_dim))
    domain = jnp.zeros((1,), jnp.int32)
    arguments = {
        "generator": (image, style),
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
