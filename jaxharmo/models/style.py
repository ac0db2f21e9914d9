"""The style encoder: an image and its domain in, its style code out."""

import flax.linen as nn
from jaxtyping import Array, Float, Int

from jaxharmo.models.layers import Dense, DomainTrunk, Dtype, pick_domain


class StyleEncoder(nn.Module):
    """One trunk, one style code a domain."""

    domains: int
    style_dim: int
    width: int
    max_width: int
    detail_gain: float = 0.0
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b s"]:
        trunk = DomainTrunk(self.width, self.max_width, self.detail_gain, self.dtype, self.remat)(
            image
        )
        styles = Dense(self.domains * self.style_dim)(trunk)
        return pick_domain(styles.reshape(-1, self.domains, self.style_dim), domain)
