"""The mapping network: a latent and a domain in, a style code out."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int

from jaxharmo.models.layers import Dense, pick_domain


class MappingNetwork(nn.Module):
    """Four shared layers, then four of each domain's own; a table where latents have no length."""

    domains: int
    style_dim: int
    width: int

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], domain: Int[Array, "b"]) -> Float[Array, "b s"]:
        if not latent.shape[-1]:
            return nn.Embed(self.domains, self.style_dim, name="styles")(domain)
        x = latent
        for _ in range(4):
            x = jax.nn.relu(Dense(self.width)(x))
        heads = nn.vmap(
            _DomainHead,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,  # pyright: ignore[reportArgumentType]
            out_axes=1,
            axis_size=self.domains,
        )
        return pick_domain(heads(self.style_dim, self.width)(x), domain)


class _DomainHead(nn.Module):
    style_dim: int
    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b s"]:
        for _ in range(3):
            x = jax.nn.relu(Dense(self.width)(x))
        return Dense(self.style_dim)(x)
