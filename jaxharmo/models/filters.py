"""A generator that filters: what turns one reconstruction kernel into another.

A kernel multiplies every spatial frequency by a gain, so from one kernel to another it is the ratio
of gains that counts, the difference of their logarithms. ``FilterGenerator`` makes the logarithm
linear in the style: filters of opposite styles undo each other, gains cannot change their sign, and
a style of zeros changes nothing.
"""

from functools import reduce

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxharmo.ops.binning import Binning, weights
from jaxharmo.ops.blur import binomial_blur

_COARSE = 4
"""Dilation of the blur of the coarse filter, pixels."""
_TISSUES = Binning(kind="linear", levels=12, value_range=(-1.0, 1.0), sigma=0.0, normalised=True)
_OFFSET_UNIT = 0.01
"""About 10 HU: kernels shift levels by little."""
_GAIN_UNIT = 4.0
"""Gains are learned faster than offsets."""


def filter_reach(terms: int) -> int:
    """Farthest pixel, along an axis, that a ``FilterGenerator`` looks at."""
    smoothing = 1 + _COARSE // 2
    return max(2 * terms, smoothing + _COARSE * max(1, 2 * (terms // 2)))


class FilterGenerator(nn.Module):
    """The image, filtered by a gain that the style decides, and shifted by tissue.

    Two filters side by side: a fine one, and one of half as many terms whose blur is ``_COARSE``
    times as wide and sees the image under a smaller blur, for frequencies below 0.1 per pixel. Of
    each, log gain(λ) = Σ c_n (T_n(λ) - 1) for n from 1 to the number of terms, with Chebyshev's
    polynomials T_n and λ the eigenvalues of 2B - 1, B the 3×3 binomial blur: 1 at frequency zero,
    where every gain is 1, down to -1; the c_n are linear in the style. The gain is then expanded
    into polynomials of the blur, twice as many.

    Levels shift, too, where noise meets the floor of the scale: by an offset that is linear in the
    style and in how much of a tissue a pixel is, its membership in 12 levels of intensity under a
    blur of about 3 pixels. The output is cut at -1, as scanners cut at the floor of their scale.
    """

    terms: int

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], style: Float[Array, "b s"]
    ) -> Float[Array, "b h w 1"]:
        def linear(count: int, name: str) -> Float[Array, "b n"]:
            zeros = nn.initializers.zeros
            return nn.Dense(count, use_bias=False, kernel_init=zeros, name=name)(style)

        smooth = reduce(binomial_blur, (1, _COARSE // 2), image)
        tissue = weights(binomial_blur(smooth, _COARSE)[..., 0], _TISSUES)
        offsets = _OFFSET_UNIT * linear(_TISSUES.levels, "offset")
        made = image + jnp.einsum("bhwl,bl->bhw", tissue, offsets)[..., None]
        for name, seen, dilation, terms in (
            ("fine", image, 1, self.terms),
            ("coarse", smooth, _COARSE, self.terms // 2),
        ):
            basis, expansion = _chebyshev(terms)
            # Less 1, which is a constant to the expansion: a style of zeros gives zeros.
            gains = jnp.expm1(_GAIN_UNIT * linear(terms, name) @ basis)
            polynomials = blur_polynomials(seen, 2 * terms, dilation)
            made += jnp.einsum("bhwn,bn->bhw", polynomials, gains @ expansion)[..., None]
        return jnp.maximum(made, -1.0)


def blur_polynomials(
    image: Float[Array, "b h w 1"], count: int, dilation: int = 1
) -> Float[Array, "b h w n"]:
    """``T_n(2B - 1) x - x`` for n from 1 to ``count``; B is the 3×3 binomial blur, edges repeated.

    T_n are Chebyshev's polynomials, by T_(n+1) = 2 (2B - 1) T_n - T_(n-1).
    """

    def spread(x: Array) -> Array:
        return 2 * binomial_blur(x, dilation) - x

    def step(pair: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        before, now = pair
        return (now, 2 * spread(now) - before), now - image

    _, polynomials = jax.lax.scan(step, (image, spread(image)), None, length=count)
    return jnp.moveaxis(polynomials[..., 0], 0, -1)


def _chebyshev(terms: int) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "m k"]]:
    """``T_n - 1`` at ``4 * terms`` nodes; and from values there to coefficients 1 to 2 · terms."""
    count = 4 * terms
    angles = (np.arange(count) + 0.5) * np.pi / count
    basis = np.cos(np.outer(np.arange(1, terms + 1), angles)) - 1
    expansion = np.cos(np.outer(angles, np.arange(1, 2 * terms + 1))) * (2 / count)
    return basis.astype(np.float32), expansion.astype(np.float32)
