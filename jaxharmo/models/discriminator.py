"""The discriminators: an image and its supposed domain in, logits out; positive means real."""

import flax.linen as nn
from jaxtyping import Array, Float, Int

from jaxharmo.models.layers import Dense, DetailTrunk, DomainTrunk, Dtype, pick_domain


class Discriminator(nn.Module):
    """One trunk of the whole image, one logit a domain."""

    domains: int
    width: int
    max_width: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b 1"]:
        trunk = DomainTrunk(self.width, self.max_width, self.dtype, self.remat)(image)
        return pick_domain(Dense(self.domains)(trunk)[..., None], domain)


class DetailDiscriminator(nn.Module):
    """One logit a domain of every patch of the image's detail."""

    domains: int
    width: int
    max_width: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b p"]:
        trunk = DetailTrunk(self.width, self.max_width, self.dtype, self.remat)(image)
        logits = Dense(self.domains)(trunk)
        return pick_domain(logits.reshape(len(image), -1, self.domains).swapaxes(1, 2), domain)
