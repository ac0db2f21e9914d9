"""An image at several resolutions: the detail that blurring and halving take away."""

from jaxtyping import Array, Float

from jaxharmo.ops.blur import ALONG_BOTH, binomial_blur

DETAIL_GAIN = 8.0
"""Detail of noise is a few hundredths of the range; enlarged, it spans the grey levels."""


def detail(
    image: Float[Array, "b h w c"], bands: int = 2, axes: tuple[int, ...] = ALONG_BOTH
) -> tuple[Float[Array, "b h w c"], ...]:
    """Bands of detail from fine to coarse, at full resolution.

    Band n is (1 - B_d) of what the blurs before it have left, with the binomial blur B_d of
    dilation d = 2^n. ``axes`` are those of rows and columns.
    """
    found = []
    for band in range(bands):
        smooth = binomial_blur(image, 2**band, axes=axes)
        found.append(image - smooth)
        image = smooth
    return tuple(found)


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
