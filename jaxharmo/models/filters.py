"""A generator that filters and corrects, for translations between reconstruction kernels.

A kernel multiplies every spatial frequency by a gain. From one kernel to another an image changes
by a ratio of gains, a difference of logarithms. ``FilterGenerator`` makes the logarithm linear in
the style: filters of opposite styles undo each other, gains cannot change their sign, and a style
of zeros changes nothing. A small residual network adds what no filter can do.
"""

from collections.abc import Callable
from functools import partial, reduce

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxharmo.models.layers import Dense, leaky_relu
from jaxharmo.ops.binning import Binning, by_level
from jaxharmo.ops.blur import binomial_blur
from jaxharmo.ops.pyramid import detail

_COARSE = 4
"""Dilation of the blur of the coarse filter, pixels."""
_TISSUES = Binning(kind="linear", levels=12, value_range=(-1.0, 1.0), sigma=0.0, normalised=True)
_OFFSET_UNIT = 0.01
"""About 10 HU: kernels shift levels by little."""
_GAIN_UNIT = 20.0
"""Gains are learned faster than offsets."""
_CORRECTION_UNIT = 0.01
"""About 10 HU."""
_CUT_UNIT = 0.05
_ROUND = 0.86
"""Share of the mixed term. Up to 0.42 per pixel, frequencies with one value of A differ by at most
0.007 per pixel between directions; those of the binomial blur by 0.035."""
_DETAIL_GAIN = 10.0
"""Kernels differ by a few hundredths of the window."""


def filter_reach(terms: int, residual_width: int) -> int:
    """Farthest pixel along an axis that the output of a ``FilterGenerator`` depends on."""
    smoothing = 1 + _COARSE // 2
    filters = max(2 * terms, smoothing + _COARSE * max(1, 2 * (terms // 2)))
    # The filters run after the network has restored what lies below the floor.
    return filters + RESIDUAL_REACH * (residual_width > 0)


class FilterGenerator(nn.Module):
    """The image, filtered by a gain that the style decides, shifted by tissue, and corrected.

    The style is that of the target minus that of the source. Two filters run in parallel: a fine
    one, and a coarse one for frequencies below 0.1 per pixel, with half as many terms, blurs
    ``_COARSE`` times as wide and a smoothed input. For each, log gain(λ) is the polynomial through
    as many knots as there are terms, and through 0 at λ = 1. λ are the eigenvalues of ``fine``,
    from 1 at frequency zero, where every gain is 1, down to -1, and almost the same in all
    directions, as the gains of kernels are. The values at the knots are linear in the style. They
    are learned rather than coefficients, because each acts on frequencies of its own. The gain is
    then expanded into twice as many Chebyshev polynomials of that operator.

    Levels shift by an offset that is linear in the style and in the tissue of a pixel: its
    membership in 12 levels of intensity after a blur of about 3 pixels. The residual network
    (``Residual``) restores what the floor of the scale has cut off, before the filters, and adds a
    correction to the result. The output is clipped at -1, as scanners clip at the floor of their
    scale.
    """

    terms: int
    residual_width: int

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b h w 1"],
        target: Float[Array, "b s"],
        source: Float[Array, "b s"],
    ) -> Float[Array, "b h w 1"]:
        style = target - source
        seen, correction = image, None
        if self.residual_width:
            cut, correction = Residual(self.residual_width, name="residual")(image, style)
            seen = image - cut
        half = self.terms // 2
        smooth = reduce(binomial_blur, (1, _COARSE // 2), seen)
        made = seen + _filtered(seen, style, "fine_gain", fine, self.terms)
        made += _filtered(smooth, style, "coarse_gain", coarse, half)
        offsets = _OFFSET_UNIT * _linear(style, _TISSUES.levels, "offset")
        made += by_level(binomial_blur(smooth, _COARSE)[..., 0], offsets, _TISSUES)[..., None]
        if correction is not None:
            made += correction
        return jnp.maximum(made, -1.0)


def _filtered(
    image: Float[Array, "b h w 1"],
    style: Float[Array, "b s"],
    name: str,
    operator: "Operator",
    terms: int,
) -> Float[Array, "b h w 1"]:
    """What a filter adds to ``image``, from a log gain of ``terms`` knots."""
    basis, expansion = _polynomials(terms)
    # Less 1, which is a constant to the expansion: a style of zeros gives zeros.
    gains = jnp.expm1(_GAIN_UNIT * _linear(style, terms, name) @ basis)
    return filter_image(image, gains @ expansion, operator)


def _linear(style: Float[Array, "b s"], count: int, name: str) -> Float[Array, "b n"]:
    zeros = nn.initializers.zeros
    return nn.Dense(count, use_bias=False, kernel_init=zeros, name=name)(style)


RESIDUAL_REACH = 8 + 1 + 2
"""Of the blurs, pixels."""


class Residual(nn.Module):
    """The part of a translation that is no linear filter, from the image and its detail.

    A dense network on the channels of a pixel, with blurs between its layers.

    Two images: how far below the floor of the scale, -1, the cut pixels lay (positive, elsewhere
    0), which is the same for all styles; and a correction that is linear in the style and starts at
    zero.
    """

    width: int

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 1"], style: Float[Array, "b s"]
    ) -> tuple[Float[Array, "b h w 1"], Float[Array, "b h w 1"]]:
        floor = (image <= -1.0).astype(image.dtype)
        fine, medium = (_DETAIL_GAIN * band for band in detail(image))
        around = reduce(binomial_blur, (1, 2, 4), jnp.concatenate([floor, jnp.abs(fine)], -1))
        x = jnp.concatenate([image, floor, fine, medium, around], axis=-1)
        x = leaky_relu(Dense(self.width)(x))
        for dilation in (1, 2):
            # On a CPU a third of the time of convolutions with so few channels.
            x = jnp.concatenate([x, binomial_blur(x, dilation)], axis=-1)
            x = leaky_relu(Dense(self.width)(x))
        cut = floor * _CUT_UNIT * jax.nn.softplus(Dense(1, name="cut")(x) - 3.0)
        weights = _CORRECTION_UNIT * _linear(style, self.width, "correction")
        return cut, jnp.einsum("bhwc,bc->bhw", x, weights)[..., None]


Operator = Callable[[Float[Array, "b h w 1"]], Float[Array, "b h w 1"]]
"""Linear, with eigenvalues λ from -1 to 1, and 1 at frequency zero."""


def fine(x: Float[Array, "b h w 1"], dilation: int = 1) -> Float[Array, "b h w 1"]:
    """(1 - 2A / a) x; A = X + Y - c X Y with X = 1 - R, Y = 1 - C, and a = 2 - c its largest value.

    R and C are the binomial blurs of rows and columns; X is sin²(πu) at the frequency u per pixel.
    """
    across = x - binomial_blur(x, dilation, axes=(2,))
    mixed = x - _ROUND * across
    both = mixed - binomial_blur(mixed, dilation, axes=(1,)) + across
    return x - 2 / (2 - _ROUND) * both


def coarse(x: Float[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
    """``fine`` with blurs ``_COARSE`` times as wide."""
    return fine(x, _COARSE)


def filter_image(
    image: Float[Array, "b h w 1"], coefficients: Float[Array, "b n"], operator: Operator = fine
) -> Float[Array, "b h w 1"]:
    """``Σ c_n (T_n(A) x - x)`` for n from 1, A the operator.

    T_n are Chebyshev's polynomials, by T_(n+1) = 2 A T_n - T_(n-1).
    """
    made: Array = _filter(image, coefficients, operator)
    return made


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _filter(image: Array, coefficients: Array, operator: Operator) -> Array:
    made, _ = _series(image, coefficients, operator, jnp.zeros_like(image))
    return made


def _series(
    image: Float[Array, "b h w 1"],
    coefficients: Float[Array, "b n"],
    operator: Operator,
    other: Float[Array, "b h w 1"],
) -> tuple[Float[Array, "b h w 1"], Float[Array, "b n"]]:
    """The sum over n, and the product of every term without its coefficient with ``other``."""

    def step(carry: tuple[Array, Array, Array], coefficient: Float[Array, "b"]):
        before, now, made = carry
        term = now - image
        made += coefficient[:, None, None, None] * term
        return (now, 2 * operator(now) - before, made), (term * other).sum((1, 2, 3))

    start = (image, operator(image), jnp.zeros_like(image))
    (*_, made), products = jax.lax.scan(step, start, coefficients.T)
    return made, products.T


def _forward(image: Array, coefficients: Array, operator: Operator):
    return _filter(image, coefficients, operator), (image, coefficients)


def _backward(operator: Operator, kept: tuple[Array, Array], cotangent: Array):
    # A second round of blurs takes less time than keeping the terms of the first one.
    image, coefficients = kept
    _, slopes = _series(image, jnp.zeros_like(coefficients), operator, cotangent)
    _, transposed = jax.vjp(operator, image)
    slope, _ = _series(cotangent, coefficients, lambda x: transposed(x)[0], jnp.zeros_like(image))
    return slope, slopes


_filter.defvjp(_forward, _backward)


def _polynomials(terms: int) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "m k"]]:
    """From values at ``terms`` knots to values at nodes, and from those to coefficients.

    The first are polynomials through the knots, 0 at λ = 1. The coefficients are those of T_1 and
    beyond. λ = cos θ, with θ at knots and nodes even from 0 to π.
    """
    orders = np.arange(1, terms + 1)
    knots = orders * np.pi / (terms + 0.5)
    polynomials = 2 * terms
    count = 2 * polynomials
    nodes = (np.arange(count) + 0.5) * np.pi / count
    at_knots, at_nodes = (np.cos(np.outer(orders, angles)) - 1 for angles in (knots, nodes))
    values = np.linalg.solve(at_knots, at_nodes)
    expansion = np.cos(np.outer(nodes, np.arange(1, polynomials + 1))) * (2 / count)
    return values.astype(np.float32), expansion.astype(np.float32)
