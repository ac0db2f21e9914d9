"""The style encoder: an image and its domain in, its style out."""

import flax.linen as nn
from jaxtyping import Array, Float, Int

from jaxharmo.config import Sees
from jaxharmo.models.layers import TRUNKS, Dense, Dtype, pick_domain


class StyleEncoder(nn.Module):
    """One trunk; from the mean over the patches that it sees, one style a domain."""

    domains: int
    sees: Sees
    length: int
    width: int
    max_width: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b s"]:
        trunk = TRUNKS[self.sees](self.width, self.max_width, self.dtype, self.remat)(image)
        styles = Dense(self.domains * self.length)(trunk.mean(1))
        return pick_domain(styles.reshape(-1, self.domains, self.length), domain)
