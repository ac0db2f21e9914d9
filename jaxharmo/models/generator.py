"""The generator: an image and a style in, the image in that style out."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxharmo.models.layers import (
    Conv,
    InstanceNorm,
    ResidualBlock,
    StyledBlock,
    leaky_relu,
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

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], style: Float[Array, "b s"]
    ) -> Float[Array, "b h w 1"]:
        widths = [
            min(self.width * 2**level, self.max_width) for level in range(self.downsamples + 1)
        ]
        x = Conv(widths[0], (3, 3))(with_detail(image, self.detail_gain))
        for channels in widths[1:]:
            x = ResidualBlock(channels, self.normalize, downsample=True)(x)
        for _ in range(self.bottleneck):
            x = ResidualBlock(widths[-1], self.normalize)(x)
        for _ in range(self.bottleneck):
            x = StyledBlock(widths[-1], self.normalize)(x, style)
        for channels in widths[-2::-1]:
            x = StyledBlock(channels, self.normalize, upsample=True)(x, style)
        x = leaky_relu(InstanceNorm()(x) if self.normalize else x)
        if not self.residual:
            return Conv(1, (1, 1))(x)
        change = nn.Conv(1, (1, 1), kernel_init=nn.initializers.zeros)(x)
        return image + change / (self.detail_gain or 1)
