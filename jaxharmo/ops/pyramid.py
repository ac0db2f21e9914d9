"""An image at several resolutions: the detail that blurring and halving take away."""

from jaxtyping import Array, Float

from jaxharmo.ops.blur import ALONG_BOTH, binomial_blur

DETAIL_GAIN = 8.0
"""Detail of noise is a few hundredths of the range; enlarged, it spans the grey levels."""


def detail(
    image: Float[Array, "b h w c"], axes: tuple[int, ...] = ALONG_BOTH
) -> tuple[Float[Array, "b h w c"], ...]:
    """Fine and medium detail, (1 - B_1) x and (1 - B_2) B_1 x, with blurs B of dilation 1 and 2.

    ``axes`` are those of rows and columns.
    """
    low = binomial_blur(image, axes=axes)
    return image - low, low - binomial_blur(low, 2, axes=axes)


def pyramid(images: Float[Array, "b h w 1"], resolutions: int) -> list[Float[Array, "b i j 1"]]:
    """Bands of detail from fine to coarse, times ``DETAIL_GAIN``.

    With the binomial blur B: (1 - B)² x and (1 - B) B x at full resolution; then, of every second
    pixel of B² x, (1 - B) x at half of it, a quarter and so on (Burt & Adelson 1983).
    """
    high = images - binomial_blur(images)
    smooth = binomial_blur(high)
    bands, low = [high - smooth, smooth], images
    while len(bands) < resolutions:
        low = binomial_blur(binomial_blur(low))[:, ::2, ::2]
        bands.append(low - binomial_blur(low))
    return [DETAIL_GAIN * band for band in bands[:resolutions]]
