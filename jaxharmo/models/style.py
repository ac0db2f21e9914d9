"""The style encoders: an image and its domain in, its style out."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxharmo.models.layers import Dense, DetailTrunk, DomainTrunk, Dtype, pick_domain


class StyleEncoder(nn.Module):
    """One trunk of the whole image, one style code a domain."""

    domains: int
    length: int
    width: int
    max_width: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b s"]:
        trunk = DomainTrunk(self.width, self.max_width, self.dtype, self.remat)(image)
        styles = Dense(self.domains * self.length)(trunk)
        return pick_domain(styles.reshape(-1, self.domains, self.length), domain)


class DetailStyleEncoder(nn.Module):
    """One style a domain, from the mean over the patches of the image's detail."""

    domains: int
    length: int
    width: int
    max_width: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b s"]:
        trunk = DetailTrunk(self.width, self.max_width, self.dtype, self.remat)(image)
        styles = Dense(self.domains * self.length)(jnp.mean(trunk, (1, 2)))
        return pick_domain(styles.reshape(-1, self.domains, self.length), domain)
