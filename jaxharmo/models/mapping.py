"""The mapping networks: a latent and a domain in, a style out."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxharmo.models.layers import Dense, pick_domain

SPREAD = 1
"""Numbers of a row of the table that vary within a domain: the noise."""
_SPREAD_UNIT = 0.3


class MappingNetwork(nn.Module):
    """Four shared layers, then four of each domain's own."""

    domains: int
    length: int
    width: int

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], domain: Int[Array, "b"]) -> Float[Array, "b s"]:
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
        return pick_domain(heads(self.length, self.width)(x), domain)


class TableMapping(nn.Module):
    """A row of a learned table for each domain, plus a spread drawn by the latent.

    The spread is odd in the latent, so the mean over latents is the row. Without latents (length 0)
    a domain has one style, its row.
    """

    domains: int
    style_dim: int
    width: int

    def setup(self) -> None:
        self.table = nn.Embed(self.domains, self.style_dim)
        self.spread = MappingNetwork(self.domains, SPREAD, self.width)

    def __call__(self, latent: Float[Array, "b z"], domain: Int[Array, "b"]) -> Float[Array, "b s"]:
        if not latent.shape[-1]:
            return self.row(domain)
        return self.around(domain, self.drawn(latent, domain))

    def drawn(self, latent: Float[Array, "b z"], domain: Int[Array, "b"]) -> Float[Array, "b m"]:
        """The spread that a latent draws."""
        # The batch stays the leading axis, which is sharded.
        both = jnp.stack([latent, -latent], axis=1).reshape(-1, latent.shape[-1])
        drawn = self.spread(both, jnp.repeat(domain, 2)).reshape(len(latent), 2, SPREAD)
        return _SPREAD_UNIT * (drawn[:, 0] - drawn[:, 1]) / 2

    def row(self, domain: Int[Array, "b"]) -> Float[Array, "b s"]:
        """The domain's row, its mean style."""
        return pick_domain(self.table.embedding[None], domain)

    def around(self, domain: Int[Array, "b"], spread: Float[Array, "b m"]) -> Float[Array, "b s"]:
        """The domain's row with a spread added to its last numbers."""
        free = ((0, 0), (self.style_dim - SPREAD, 0))
        return self.row(domain) + jnp.pad(spread, free)


class _DomainHead(nn.Module):
    length: int
    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b s"]:
        for _ in range(3):
            x = jax.nn.relu(Dense(self.width)(x))
        return Dense(self.length)(x)
