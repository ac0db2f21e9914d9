"""The discriminator: an image and its supposed domain in, a logit out."""

import flax.linen as nn
from jaxtyping import Array, Float, Int

from jaxharmo.models.layers import Dense, DomainTrunk, Dtype, pick_domain


class Discriminator(nn.Module):
    """One trunk, one real-or-fake logit a domain; positive means real."""

    domains: int
    width: int
    max_width: int
    detail_gain: float = 0.0
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b"]:
        trunk = DomainTrunk(self.width, self.max_width, self.detail_gain, self.dtype, self.remat)(
            image
        )
        logits = Dense(self.domains)(trunk)
        return pick_domain(logits[..., None], domain)[:, 0]
