"""The generator: an image and a style in, the image in that style out."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.models.layers import (
    Conv,
    Dense,
    Dtype,
    InstanceNorm,
    ResidualBlock,
    StyledBlock,
    leaky_relu,
    remembering_less,
    with_detail,
)


class Generator(nn.Module):
    """Encoder and AdaIN decoder of StarGAN v2, without its high-pass skip.

    Fully convolutional: any height and width divisible by ``2**downsamples``. With ``residual`` the
    last convolution starts at zero and its output is added to the input, so that training starts
    from the identity. Without ``normalize`` a pixel's output depends on its neighbourhood and the
    style alone, not on the rest of the view.
    """

    width: int
    max_width: int
    downsamples: int
    bottleneck: int
    residual: bool
    normalize: bool
    detail_gain: float = 0.0
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], style: Float[Array, "b s"]
    ) -> Float[Array, "b h w 1"]:
        widths = [
            min(self.width * 2**level, self.max_width) for level in range(self.downsamples + 1)
        ]
        encode, decode = [*widths[1:]], [*widths[-2::-1]]
        x = Conv(widths[0], self.dtype)(with_detail(image, self.detail_gain))
        for number, channels in enumerate(encode + [widths[-1]] * self.bottleneck):
            x = remembering_less(ResidualBlock, self.remat)(
                channels,
                self.normalize,
                downsample=number < len(encode),
                dtype=self.dtype,
                name=f"ResidualBlock_{number}",
            )(x)
        for number, channels in enumerate([widths[-1]] * self.bottleneck + decode):
            x = remembering_less(StyledBlock, self.remat)(
                channels,
                self.normalize,
                upsample=number >= self.bottleneck,
                dtype=self.dtype,
                name=f"StyledBlock_{number}",
            )(x, style)
        x = leaky_relu(InstanceNorm()(x) if self.normalize else x).astype(jnp.float32)
        if not self.residual:
            return Dense(1)(x)
        change = nn.Dense(1, kernel_init=nn.initializers.zeros)(x)
        return image + change / (self.detail_gain or 1)
