"""The discriminator: an image and its supposed domain in, logits out; positive means real."""

import flax.linen as nn
from jaxtyping import Array, Float, Int

from jaxharmo.config import Sees
from jaxharmo.models.layers import TRUNKS, Dense, Dtype, pick_domain


class Discriminator(nn.Module):
    """One trunk, then one logit per domain for each patch: the whole image or a patch of detail."""

    domains: int
    sees: Sees
    width: int
    max_width: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b p"]:
        trunk = TRUNKS[self.sees](self.width, self.max_width, self.dtype, self.remat)(image)
        return pick_domain(Dense(self.domains)(trunk).swapaxes(1, 2), domain)
