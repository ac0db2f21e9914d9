"""The style encoder: an image and its domain in, its style out."""

import flax.linen as nn
from jaxtyping import Array, Float, Int

from jaxharmo.config import Sees
from jaxharmo.models.layers import TRUNKS, Dense, Dtype, pick_domain
from jaxharmo.ops.intensity import Window
from jaxharmo.ops.noise import soft_tissue_noise

_USUAL_NOISE = -4.5
"""Logarithm, in [-1, 1] units; 14 HU in a window of 2,500 HU."""
_LEVEL_UNIT = 4.0
"""Large, because the levels of kernels lie far apart: they are learned first."""


class StyleEncoder(nn.Module):
    """One trunk, then one style per domain from the mean over its patches."""

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


class NoiseEncoder(nn.Module):
    """Noise of an image relative to its domain; it depends on dose and on the patient's size.

    The logarithm of the noise in soft tissue minus the learned level of the domain; 0 for an image
    without soft tissue.
    """

    domains: int
    window: Window

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], domain: Int[Array, "b"]
    ) -> Float[Array, "b 1"]:
        levels = self.param("level", nn.initializers.zeros, (self.domains,))
        noise, weight = soft_tissue_noise(image, self.window)
        usual = _USUAL_NOISE + _LEVEL_UNIT * pick_domain(levels[None, :, None], domain)
        return weight[:, None] * (noise[:, None] - usual)
