"""The soft GLCMs of one image at many offsets, formed in the way that suits the assignment.

``scatter``: linear binning touches two levels a pixel, so four cells a pair. ``low_rank``: a wide
Gaussian's weights are smooth functions of the intensity, w_l(u) = Σ_r Q_lr T_r(t) in Chebyshev
polynomials, so that P = Q (Σ_p T(t_p) T(t_{p+o})ᵀ) Qᵀ with few r. ``product``: the weights of all
pixels on all levels, multiplied; always possible, and the form that the others are tested against.
``pallas``: the product in one kernel for GPU or TPU (``fused``). ``auto``: the cheapest of the
first three; on a TPU ``product`` in place of ``scatter``, which takes minutes to compile there.
"""

import dataclasses
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxharmo.ops import chebyshev
from jaxharmo.ops.binning import Binning, level_coordinate, linear_taps, weights
from jaxharmo.ops.cumulants import cumulants
from jaxharmo.ops.pairs import Offset, neighbours, reach

Method = Literal["auto", "scatter", "low_rank", "product", "pallas"]
Counts = Float[Array, "l l"]
Values = Callable[[Float[Array, "h w"]], Float[Array, "h w n"]]

_NODES = 1024
_BLOCK = 1024
_BLOCK_VALUES = 512 * 256
"""Most pairs multiplied at a time, and most pairs times values: XLA takes minutes to compile one
long float32 product for a TPU."""


def choose_method(binning: Binning, dtype: np.dtype) -> Method:
    """The cheapest way to form the matrices."""
    if binning.kind == "linear":
        return "scatter"
    rank = len(low_rank_basis(binning, str(dtype)))
    return "low_rank" if 0 < 2 * rank <= binning.levels else "product"


def check_low_rank(binning: Binning, dtype: str) -> None:
    """Raise ``ValueError`` where a Gaussian is too narrow for ``low_rank``."""
    if not len(low_rank_basis(binning, dtype)):
        raise ValueError(f"sigma is {binning.sigma:g} bins, too narrow for low_rank; take product")


def count_pairs(
    image: Float[Array, "h w"],
    mask: Bool[Array, "h w"] | None,
    binning: Binning,
    offsets: tuple[Offset, ...],
    method: Method,
) -> Float[Array, "o l l"]:
    """``Σ_p w_i(x_p) w_j(x_{p+o})`` over the pairs in the mask, for every offset.

    Raises ``ValueError`` where a Gaussian is too narrow for ``low_rank``.
    """
    present = jnp.ones_like(image) if mask is None else mask.astype(image.dtype)
    if method == "auto":
        method = choose_method(binning, image.dtype)
        if method == "scatter":
            return _by_platform(image, present, binning, offsets)
    form = {"scatter": _scatter, "low_rank": _low_rank, "product": _product, "pallas": _fused}
    return form[method](image, present, binning, offsets)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _by_platform(
    image: Array, present: Array, binning: Binning, offsets: tuple[Offset, ...]
) -> Float[Array, "o l l"]:
    tpu, default = (partial(f, binning=binning, offsets=offsets) for f in (_product, _scatter))
    return lax.platform_dependent(image, present, tpu=tpu, default=default)


def _by_platform_forward(image, present, binning, offsets):
    return _by_platform(image, present, binning, offsets), (image, present)


def _by_platform_backward(binning, offsets, residuals, cotangent):
    # Each platform's own: JAX would keep for one what only the other's gradient needs.
    def slope(form: Callable) -> Callable:
        def of(image: Array, present: Array, cotangent: Array) -> Array:
            return jax.vjp(lambda x: form(x, present, binning, offsets), image)[1](cotangent)[0]

        return of

    image, present = residuals
    slopes = lax.platform_dependent(
        image, present, cotangent, tpu=slope(_product), default=slope(_scatter)
    )
    return slopes, jnp.zeros_like(present)


_by_platform.defvjp(_by_platform_forward, _by_platform_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _fused(
    image: Array, present: Array, binning: Binning, offsets: tuple[Offset, ...]
) -> Float[Array, "o l l"]:
    # Only this method needs Pallas, whose import takes half as long as that of JAX.
    from jaxharmo.ops.fused import Pixels, fused_counts

    factor = present
    if binning.normalised and binning.kind == "gaussian":
        factor = present / cumulants(image, dataclasses.replace(binning, normalised=False), 1)[0]
    own = Pixels(level_coordinate(image, binning), factor)
    neighbour = neighbours(own, offsets)
    others = Pixels(*(jnp.stack(values) for values in zip(*map(neighbour, offsets), strict=True)))
    flat = lambda pixels, *lead: Pixels(*(values.reshape(*lead, -1) for values in pixels))  # noqa: E731
    counts = fused_counts(flat(own), flat(others, len(offsets)), binning)
    return counts.astype(image.dtype)


def _fused_forward(image, present, binning, offsets):
    return _fused(image, present, binning, offsets), (image, present)


def _fused_backward(binning, offsets, residuals, cotangent):
    image, present = residuals
    count = lambda x: count_pairs(x, present, binning, offsets, "auto")  # noqa: E731
    return (*jax.vjp(count, image)[1](cotangent), jnp.zeros_like(present))


_fused.defvjp(_fused_forward, _fused_backward)


def _product(
    image: Array, present: Array, binning: Binning, offsets: tuple[Offset, ...]
) -> Float[Array, "o l l"]:
    return _products(image, present, lambda x: weights(x, binning), offsets)


def _low_rank(
    image: Array, present: Array, binning: Binning, offsets: tuple[Offset, ...]
) -> Float[Array, "o l l"]:
    check_low_rank(binning, str(image.dtype))
    coefficients = low_rank_basis(binning, str(image.dtype))

    def polynomials(x: Float[Array, "h w"]) -> Float[Array, "h w r"]:
        t = level_coordinate(x, binning) * (2 / (binning.levels - 1)) - 1
        basis = [jnp.ones_like(t), t]
        while len(basis) < len(coefficients):
            basis.append(2 * t * basis[-1] - basis[-2])
        return jnp.stack(basis, -1)

    products = _products(image, present, polynomials, offsets)
    by_level = jnp.asarray(coefficients.T, image.dtype)
    matmul = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    return matmul(matmul(by_level, products), by_level.T)


def _products(
    image: Float[Array, "h w"],
    present: Float[Array, "h w"],
    values: Values,
    offsets: tuple[Offset, ...],
) -> Float[Array, "o n n"]:
    """``Σ_p values_i(x_p) values_j(x_{p+o})``, a few rows of pixels at a time."""
    height, width = image.shape
    size = jax.eval_shape(values, image).shape[-1]
    pairs = min(_BLOCK, _BLOCK_VALUES // size)
    (above, beside), rows = reach(offsets), max(1, min(height, pairs // width))
    rounds = -(-height // rows)
    # Around the image, and below it up to a whole round, pixels that are not present.
    around = ((above, above + rounds * rows - height), (beside, beside))
    image, present = jnp.pad(image, around), jnp.pad(present, around)

    def count(offset: Array) -> Array:
        # The gradient makes the values again: those of all rounds are many times the image.
        @jax.checkpoint
        def add(total: Array, row: Array) -> tuple[Array, None]:
            at, away = (row, beside), (row + offset[0], beside + offset[1])
            cut = lambda x, corner: lax.dynamic_slice(x, corner, (rows, width))  # noqa: E731
            flat = lambda x: x.reshape(rows * width, -1)  # noqa: E731
            first, second = (flat(values(cut(image, corner))) for corner in (at, away))
            first *= flat(cut(present, at) * cut(present, away))
            return total + jnp.matmul(first.T, second, precision=lax.Precision.HIGHEST), None

        nothing = jnp.zeros((size, size), image.dtype)
        return lax.scan(add, nothing, above + rows * jnp.arange(rounds))[0]

    return lax.map(count, jnp.asarray(offsets))


def _scatter(
    image: Array, present: Array, binning: Binning, offsets: tuple[Offset, ...]
) -> Float[Array, "o l l"]:
    levels = binning.levels
    lower, upper = linear_taps(image, binning)
    # Of a pair in the cell (i, j): how many, and the sums of the upper weights and their product.
    factors = jnp.stack([present, upper * present])
    cells = (levels - 1) ** 2

    # What is cut out for an offset is many times the image: the gradient cuts it out again.
    @partial(jax.checkpoint, static_argnums=(0,))
    def count(offset: Offset) -> Counts:
        (i, j), (first, second) = _ends(lower, offset), _ends(factors, offset)
        cell = (i * (levels - 1) + j).ravel()
        terms = (first[:, None] * second[None]).reshape(4, -1).T
        sums = jnp.zeros((cells, 4), image.dtype).at[cell].add(terms)
        both = sums.reshape(levels - 1, levels - 1, 2, 2)
        # Weight 1 - f on the lower level and f on the upper, along i and then along j.
        rows = _to_levels(both[:, :, 0], both[:, :, 1])
        return _to_levels(rows[..., 0].T, rows[..., 1].T).T

    return jnp.stack([count(offset) for offset in offsets])


def _to_levels(total: Array, upper: Array) -> Array:
    empty = jnp.zeros_like(total[:1])
    return jnp.concatenate([total - upper, empty]) + jnp.concatenate([empty, upper])


def _ends(values: Float[Array, "... h w"], offset: Offset) -> tuple[Array, Array]:
    """The values at both ends of every pair that lies inside the image."""
    height, width = values.shape[-2:]
    row, column = offset
    first = np.s_[
        ..., max(0, -row) : height - max(0, row), max(0, -column) : width - max(0, column)
    ]
    second = np.s_[..., max(0, row) : height + min(0, row), max(0, column) : width + min(0, column)]
    return values[first], values[second]


@lru_cache(maxsize=64)
def low_rank_basis(binning: Binning, dtype: str) -> Float[np.ndarray, "r l"]:
    """Chebyshev coefficients of every level's weight, two or more, as many as the dtype needs.

    None where the nodes do not resolve the weights.
    """
    coordinate = (chebyshev.nodes(_NODES) + 1) * ((binning.levels - 1) / 2)
    exponent = -0.5 * ((coordinate[:, None] - np.arange(binning.levels)) / binning.sigma) ** 2
    exponent -= exponent.max(1, keepdims=True) if binning.normalised else 0
    values = np.exp(exponent)
    values /= values.sum(1, keepdims=True) if binning.normalised else 1
    coefficients, terms = chebyshev.fit(values, values.max(), dtype)
    return coefficients[: max(terms, 2)] if terms < len(coefficients) else coefficients[:0]
