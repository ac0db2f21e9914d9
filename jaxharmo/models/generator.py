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
)


class Generator(nn.Module):
    """Encoder and AdaIN decoder of StarGAN v2, without its high-pass skip.

    Fully convolutional: any height and width divisible by ``2**downsamples``. The source's style
    is not used; it is an argument because ``FilterGenerator`` needs it.
    """

    width: int
    max_width: int
    downsamples: int
    bottleneck: int
    dtype: Dtype = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b h w 1"],
        target: Float[Array, "b s"],
        source: Float[Array, "b s"],
    ) -> Float[Array, "b h w 1"]:
        widths = [
            min(self.width * 2**level, self.max_width) for level in range(self.downsamples + 1)
        ]
        encode, decode = [*widths[1:]], [*widths[-2::-1]]
        x = Conv(widths[0], self.dtype)(image)
        for number, channels in enumerate(encode + [widths[-1]] * self.bottleneck):
            x = remembering_less(ResidualBlock, self.remat)(
                channels,
                True,
                downsample=number < len(encode),
                dtype=self.dtype,
                name=f"ResidualBlock_{number}",
            )(x)
        for number, channels in enumerate([widths[-1]] * self.bottleneck + decode):
            x = remembering_less(StyledBlock, self.remat)(
                channels,
                upsample=number >= self.bottleneck,
                dtype=self.dtype,
                name=f"StyledBlock_{number}",
            )(x, target)
        return Dense(1)(leaky_relu(InstanceNorm()(x)).astype(jnp.float32))
