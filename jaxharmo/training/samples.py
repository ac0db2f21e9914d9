"""The picture of a run's progress: sources, translations to every domain, and the way back."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int16, UInt8

from jaxharmo.config import Config
from jaxharmo.models.networks import Networks, Params
from jaxharmo.ops.intensity import normalize

TRANSLATIONS = "translations"
"""Name of the pictures."""
SampleGrid = Callable[[Params], UInt8[np.ndarray, "h w"]]


def build_sample_grid(
    networks: Networks,
    config: Config,
    sources: Int16[np.ndarray, "k h w"],
    pixels: Sequence[float] | None,
) -> SampleGrid:
    """A function of the (averaged) parameters that draws the grid.

    ``sources`` are one slice a domain, in HU, in the order of the domains and at least as large as
    a training crop; the style encoder sees their centres. ``pixels`` are theirs, mm, which
    generators that work in mm need. A row a source; the columns are the source, its translation to
    every domain with the style of the mapping network's zero latent, and the cycle through the next
    domain.
    """
    images = normalize(jnp.asarray(sources), config.data.window)[..., None]
    top, left = ((length - config.data.crop) // 2 for length in sources.shape[1:])
    central = images[:, top : top + config.data.crop, left : left + config.data.crop]
    domains = jnp.arange(len(sources))
    latents = jnp.zeros((len(sources), config.model.latent_dim))
    side = None if pixels is None else jnp.asarray(pixels, jnp.float32)

    # The images are arguments, because XLA folds what depends on constants alone, and slowly.
    @jax.jit
    def draw(params: Params, images: Array, central: Array) -> Float[Array, "rows columns h w"]:
        styles = networks.mapped_style(params, latents, domains)

        def towards(style: Array) -> Array:
            to = jnp.broadcast_to(style, styles.shape)
            return networks.translate(params, images, to=to, of=styles, side=side)

        translations = jax.lax.map(towards, styles)
        following = jnp.roll(domains, -1)
        own_style = (
            networks.encoded_style(params, central, domains) if config.model.latent_dim else styles
        )
        there = translations[following, domains]
        cycle = networks.translate(params, there, to=own_style, of=styles[following], side=side)
        rows = [images, *translations, cycle]
        return jnp.stack(rows, axis=1)[..., 0]

    return lambda params: _tile(np.asarray(draw(params, images, central)))


def _tile(grid: Float[np.ndarray, "rows columns h w"]) -> UInt8[np.ndarray, "h w"]:
    rows, columns, height, width = grid.shape
    joined = grid.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    return np.rint((np.clip(joined, -1, 1) + 1) * 127.5).astype(np.uint8)
