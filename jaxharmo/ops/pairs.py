"""Texture features that are polynomials of two grey levels, from pairs of pixels without a matrix.

Given a pair of pixels, the levels i and j are independent, so the cumulants of i + j and of i - j
are sums of those of the pixels (``cumulants``). Moments of the sum and the difference over all
pairs give the features (Unser 1986): with m, κ₁, κ₂ the mass, mean and variance of a pixel,

    contrast = E[(i - j)²] = Σ m m' [κ₂ + κ₂' + (κ₁ - κ₁')²] / Σ m m'.

The derivative with respect to a pixel sums over its neighbours at every offset and its opposite: a
stencil that is computed anew from the image, so nothing is stored for it but a few images.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxharmo.ops.binning import Binning
from jaxharmo.ops.cumulants import Cumulants, cumulants
from jaxharmo.ops.haralick import central_moment

Offset = tuple[int, int]
Moments = Mapping[str, Float[Array, "o"]]

_VARIANCE_OF_A_FLAT_REGION = 1e-6


def reach(offsets: Sequence[Offset]) -> tuple[int, int]:
    """The longest steps along rows and along columns, pixels."""
    rows, columns = (max(map(abs, steps)) for steps in zip(*offsets, strict=True))
    return rows, columns


def _raw(number: int) -> Callable[..., Array]:
    """The raw moment of an order, as a function of κ₁, κ₂ and so on."""
    return {
        1: lambda a: a,
        2: lambda a, b: b + a**2,
        3: lambda a, b, c: c + 3 * a * b + a**3,
        4: lambda a, b, c, d: d + 4 * a * c + 3 * b**2 + 6 * a**2 * b + a**4,
    }[number]


@dataclasses.dataclass(frozen=True)
class _Term:
    """A moment of the sum or the difference of two levels."""

    order: int
    sign: int

    def __call__(self, own: Sequence[Array], other: Sequence[Array]) -> Array:
        parts = (a + self.sign**n * b for n, (a, b) in enumerate(zip(own, other, strict=True), 1))
        return _raw(self.order)(*list(parts)[: self.order])


_TERMS = {f"sum_{order}": _Term(order, 1) for order in (1, 2, 3, 4)} | {"difference": _Term(2, -1)}
"""E[(i + j)^n] and E[(i - j)²]."""


@dataclasses.dataclass(frozen=True)
class _Feature:
    needs: tuple[str, ...]
    """Names in ``_TERMS``; the levels of the sums are counted from a centre."""
    formula: Callable[[Moments, Array], Array]
    """Moments and centre -> feature."""


def _variance(e: Moments) -> Array:
    return (e["sum_2"] + e["difference"]) / 4 - (e["sum_1"] / 2) ** 2


def _correlation(e: Moments, _: Array) -> Array:
    variance, covariance = _variance(e), (e["sum_2"] - e["difference"]) / 4 - (e["sum_1"] / 2) ** 2
    flat = variance <= _VARIANCE_OF_A_FLAT_REGION
    return jnp.where(flat, 1.0, covariance / jnp.where(flat, 1.0, variance))


def _cluster(order: int) -> _Feature:
    needs = tuple(f"sum_{number}" for number in range(1, order + 1))
    return _Feature(needs, lambda e, _: central_moment([e[name] for name in needs]))


_SQUARES = ("sum_1", "sum_2", "difference")

PAIR_FEATURES: dict[str, _Feature] = {
    "autocorrelation": _Feature(
        _SQUARES,
        lambda e, c: (e["sum_2"] - e["difference"]) / 4 + c * e["sum_1"] + c**2,
    ),
    "cluster_prominence": _cluster(4),
    "cluster_shade": _cluster(3),
    "cluster_tendency": _cluster(2),
    "contrast": _Feature(("difference",), lambda e, _: e["difference"]),
    "correlation": _Feature(_SQUARES, _correlation),
    "joint_average": _Feature(("sum_1",), lambda e, c: c + e["sum_1"] / 2),
    "sum_average": _Feature(("sum_1",), lambda e, c: 2 * c + e["sum_1"]),
    "sum_squares": _Feature(_SQUARES, lambda e, _: _variance(e)),
}
"""The features of the GLCM that need no matrix."""


def pair_features(
    image: Float[Array, "h w"],
    mask: Bool[Array, "h w"] | None,
    binning: Binning,
    offsets: tuple[Offset, ...],
    names: Sequence[str],
) -> dict[str, Float[Array, "o"]]:
    """Features of one image at every offset; 0 where no pair counts."""
    needs = tuple(name for name in _TERMS if any(name in PAIR_FEATURES[n].needs for n in names))
    order = max(_TERMS[name].order for name in needs)
    mass, mean, *rest = _in_halves(lambda part: cumulants(part, binning, order), image)
    if mask is not None:
        mass = mass * mask
    # Any centre gives the same features; the mean keeps float32 from losing small variances.
    weight = lax.stop_gradient(mass)
    centre = jnp.sum(lax.stop_gradient(mean) * weight) / jnp.maximum(jnp.sum(weight), 1)
    found: Cumulants = _pair_sums((mass, mean - centre, *rest), offsets, needs)
    total, *sums = found
    divisor = jnp.where(total == 0, 1, total)
    moments = {name: value / divisor for name, value in zip(needs, sums, strict=True)}
    # Level 0 of the coordinate is grey level 1.
    values = {name: PAIR_FEATURES[name].formula(moments, centre + 1) for name in names}
    return {name: jnp.where(total == 0, 0, value) for name, value in values.items()}


def _in_halves(formula: Callable[[Array], Cumulants], image: Float[Array, "h w"]) -> Cumulants:
    """A pointwise formula of the image, computed once.

    XLA fuses a formula into everything that reads it, here 33 times a pixel, unless a loop lies
    between; two rounds are the shortest loop.
    """
    height, width = image.shape
    halves = jnp.pad(image, ((0, height % 2), (0, 0)), mode="edge").reshape(2, -1, width)
    found: Cumulants = lax.map(formula, halves)
    return tuple(values.reshape(-1, width)[:height] for values in found)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _pair_sums(
    pixels: Cumulants, offsets: tuple[Offset, ...], needs: tuple[str, ...]
) -> tuple[Float[Array, "o"], ...]:
    """Sums of the mass and of every term times mass, over the pairs of each offset."""
    neighbour = neighbours(pixels, offsets)
    # Along the rows first: one chain of additions would be slow, and less exact.
    of_rows = lambda offset: _of_rows(pixels, neighbour(offset), needs)  # noqa: E731
    # A loop is faster to compile, which takes long for a TPU; elsewhere, to run without one.
    rows = lax.platform_dependent(
        tpu=lambda: lax.map(of_rows, jnp.asarray(offsets)),
        default=lambda: jnp.stack([of_rows(offset) for offset in offsets]),
    )
    return tuple(rows.sum(-1).T)


@partial(jax.jit, static_argnums=2)
def _of_rows(own: Cumulants, other: Cumulants, needs: tuple[str, ...]) -> Float[Array, "t h"]:
    return jnp.stack(_sum_rows(_weighted(own, other, needs)))


def _sum_rows(terms: Sequence[Float[Array, "h w"]]) -> Sequence[Float[Array, "h"]]:
    # One reduction of many operands, which XLA fuses with their formulas.
    zeros = tuple(jnp.zeros((), term.dtype) for term in terms)
    add = lambda one, two: tuple(a + b for a, b in zip(one, two, strict=True))  # noqa: E731
    return lax.reduce(tuple(terms), zeros, add, (1,))


def _forward(pixels: Cumulants, offsets: tuple[Offset, ...], needs: tuple[str, ...]):
    return _pair_sums(pixels, offsets, needs), pixels


def _backward(
    offsets: tuple[Offset, ...], needs: tuple[str, ...], pixels: Cumulants, cotangents: Cumulants
) -> tuple[Cumulants]:
    neighbour = neighbours(pixels, offsets)
    there_and_back = np.array([[(row, column), (-row, -column)] for row, column in offsets])

    def add(slopes: Cumulants, of_offset: tuple[Array, Cumulants]) -> tuple[Cumulants, None]:
        steps, changes = of_offset
        for step in steps:
            slope = _slope(pixels, neighbour(step), changes, needs)
            slopes = tuple(a + b for a, b in zip(slopes, slope, strict=True))
        return slopes, None

    nothing = tuple(jnp.zeros_like(values) for values in pixels)
    each = list(zip(there_and_back, zip(*cotangents, strict=True), strict=True))
    slopes = lax.platform_dependent(
        tpu=lambda: lax.scan(add, nothing, (jnp.asarray(there_and_back), cotangents))[0],
        default=lambda: reduce(lambda so_far, one: add(so_far, one)[0], each, nothing),
    )
    return (slopes,)


# A function of its own is traced once for all offsets.
@partial(jax.jit, static_argnums=3)
def _slope(
    own: Cumulants, other: Cumulants, cotangents: Cumulants, needs: tuple[str, ...]
) -> Cumulants:
    """Of the terms of pairs with one neighbour, with respect to the pixels."""
    _, pull_back = jax.vjp(partial(_weighted, other=other, needs=needs), own)
    one = jnp.ones_like(own[0])
    (slope,) = pull_back(tuple(cotangent * one for cotangent in cotangents))
    return slope


_pair_sums.defvjp(_forward, _backward)


def _weighted(own: Cumulants, other: Cumulants, needs: tuple[str, ...]) -> tuple[Array, ...]:
    (mass, *first), (other_mass, *second) = own, other
    weight = mass * other_mass
    return (weight, *(weight * _TERMS[name](first, second) for name in needs))


def neighbours(
    pixels: Cumulants, offsets: tuple[Offset, ...]
) -> Callable[[Offset | Int[Array, "2"]], Cumulants]:
    """The pixels at a step away, all 0 outside the image."""
    height, width = pixels[0].shape
    rows, columns = reach(offsets)
    padded = [jnp.pad(values, ((rows, rows), (columns, columns))) for values in pixels]

    def at(step: Offset | Int[Array, "2"]) -> Cumulants:
        corner = (rows + step[0], columns + step[1])
        return tuple(lax.dynamic_slice(values, corner, (height, width)) for values in padded)

    return at
