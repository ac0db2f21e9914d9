"""Soft-binned grey-level co-occurrence matrices (GLCM) and their Haralick features.

The GLCM of an image at offset o is ``P(i, j) = Σ_p w_i(x_p) w_j(x_{p+o})`` over the pairs inside
the image (and the mask), made symmetric and divided by its sum (Haralick et al. 1973, definitions
as in IBSI). Features that are polynomials of i and j are expectations over pairs of pixels: with m,
μ, v the mass, mean and variance of a pixel's weights (``binning.moments``),

    contrast = Σ m m' [v + v' + (μ - μ')²] / Σ m m',

and no matrix is needed. Grey levels are numbered from 1, as in IBSI and pyradiomics.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxharmo.ops import binning as soft
from jaxharmo.ops.haralick import MATRIX_FEATURES

Offset = tuple[int, int]

OFFSETS: tuple[Offset, ...] = (
    *((0, d) for d in (1, 3, 5, 7)),
    *((-d, d) for d in (1, 2, 4, 6)),
    *((-d, 0) for d in (1, 3, 5, 7)),
    *((-d, -d) for d in (1, 2, 4, 6)),
)
"""(row, column) steps at 0°, 45°, 90° and 135°, four distances each (arXiv 2403.16640)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlcmConfig:
    """How an image becomes GLCMs; ``ValueError`` on values that make no matrix."""

    levels: int = 256
    """Grey levels."""
    binning: Literal["linear", "gaussian"] = "linear"
    """Soft assignment of a pixel to levels."""
    sigma: float = 1.0
    """Width of the Gaussian assignment."""
    sigma_unit: Literal["bins", "intensity"] = "bins"
    """Unit of sigma: bin widths, or the image's own intensity."""
    normalised: bool = True
    """Gaussian weights of a pixel sum to 1."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """Intensities of the lowest and the highest level."""
    offsets: tuple[Offset, ...] = OFFSETS
    """(row, column) steps between the pixels of a pair."""

    def __post_init__(self):
        if self.levels < 2:
            raise ValueError(f"levels is {self.levels}, must be at least 2")
        if not self.sigma > 0:
            raise ValueError(f"sigma is {self.sigma}, must be positive")
        if not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range is {self.value_range}, must rise")
        if not self.offsets or any(offset == (0, 0) for offset in self.offsets):
            raise ValueError("offsets must be one or more steps other than (0, 0)")

    @property
    def reach(self) -> int:
        """The longest step along rows or columns, pixels."""
        return max(max(abs(row), abs(column)) for row, column in self.offsets)

    @property
    def soft_binning(self) -> soft.Binning:
        """The assignment with its σ in bins."""
        low, high = self.value_range
        per_bin = 1.0 if self.sigma_unit == "bins" else (self.levels - 1) / (high - low)
        return soft.Binning(
            kind=self.binning,
            levels=self.levels,
            value_range=self.value_range,
            sigma=self.sigma * per_bin,
            normalised=self.normalised,
        )


def glcm_features(
    images: Float[Array, "b h w"],
    config: GlcmConfig,
    features: tuple[str, ...] = ("contrast",),
    mask: Bool[Array, "b h w"] | None = None,
) -> dict[str, Float[Array, "b o"]]:
    """Haralick features of every image at every offset.

    Polynomial features (``PAIR_FEATURES``) come from moments, the rest (``MATRIX_FEATURES``) from
    the matrices. Pairs count only where both pixels are in ``mask``.

    Raises ``ValueError`` for an unknown feature, a wrong rank, or an offset that does not fit.
    """
    _check(images, config, mask)
    check_features(features)
    by_pairs = tuple(name for name in features if name in PAIR_FEATURES)
    by_matrix = tuple(name for name in features if name not in PAIR_FEATURES)
    found: dict[str, Array] = {}
    if by_pairs:
        found |= jax.vmap(lambda image, inside: _pair_features(image, inside, config, by_pairs))(
            images, _mask_or_ones(images, mask)
        )
    if by_matrix:
        matrices = glcm_matrices(images, config, mask)
        evaluate = lambda matrix: {name: MATRIX_FEATURES[name](matrix) for name in by_matrix}  # noqa: E731
        found |= jax.vmap(jax.vmap(evaluate))(matrices)
    return {name: found[name] for name in features}


def check_features(names: tuple[str, ...]) -> None:
    """Raise ``ValueError`` for a name that is no feature, listing those that are."""
    unknown = set(names) - set(PAIR_FEATURES) - set(MATRIX_FEATURES)
    if unknown:
        known = ", ".join(sorted(set(PAIR_FEATURES) | set(MATRIX_FEATURES)))
        raise ValueError(f"unknown feature {', '.join(sorted(unknown))}; known: {known}")


def glcm_matrices(
    images: Float[Array, "b h w"],
    config: GlcmConfig,
    mask: Bool[Array, "b h w"] | None = None,
) -> Float[Array, "b o l l"]:
    """The symmetric GLCMs, each with sum 1; all zero where the mask leaves no pair."""
    _check(images, config, mask)
    return jax.lax.map(
        lambda pair: _matrices(pair[0], pair[1], config), (images, _mask_or_ones(images, mask))
    )


def _check(images: Array, config: GlcmConfig, mask: Array | None) -> None:
    if images.ndim != 3:
        raise ValueError(f"images have shape {images.shape}, expected (batch, height, width)")
    if min(images.shape[1:]) <= config.reach:
        raise ValueError(
            f"images of {images.shape[1:]} are smaller than an offset of {config.reach}"
        )
    if mask is not None and mask.shape != images.shape:
        raise ValueError(f"mask has shape {mask.shape}, images have {images.shape}")


def _mask_or_ones(images: Array, mask: Array | None) -> Array:
    return jnp.ones_like(images) if mask is None else mask.astype(images.dtype)


def _pairs(values: Float[Array, "h w"], offset: Offset) -> tuple[Array, Array]:
    """The values at both ends of every pair that lies inside the image."""
    height, width = values.shape
    row, column = offset
    first = values[max(0, -row) : height - max(0, row), max(0, -column) : width - max(0, column)]
    second = values[max(0, row) : height + min(0, row), max(0, column) : width + min(0, column)]
    return first, second


@dataclasses.dataclass(frozen=True)
class _PairMoments:
    """Symmetric expectations over the pairs of each offset; levels counted from the middle one."""

    centre: float
    first: Float[Array, "o"]
    """E[i]"""
    square: Float[Array, "o"]
    """E[i²]"""
    product: Float[Array, "o"]
    """E[ij]"""
    difference: Float[Array, "o"]
    """E[(i - j)²]"""

    @property
    def variance(self) -> Array:
        return self.square - self.first**2

    @property
    def covariance(self) -> Array:
        return self.product - self.first**2


def _correlation(pairs: _PairMoments) -> Array:
    flat = pairs.variance <= 1e-6
    return jnp.where(flat, 1.0, pairs.covariance / jnp.where(flat, 1.0, pairs.variance))


PAIR_FEATURES: dict[str, Callable[[_PairMoments], Array]] = {
    "autocorrelation": lambda e: e.product + 2 * e.centre * e.first + e.centre**2,
    "joint_average": lambda e: e.first + e.centre,
    "sum_average": lambda e: 2 * (e.first + e.centre),
    "sum_squares": lambda e: e.variance,
    "cluster_tendency": lambda e: 2 * (e.variance + e.covariance),
    "contrast": lambda e: e.difference,
    "correlation": _correlation,
}
"""Features that are polynomials of the two grey levels; no matrix is formed for them."""


def _pair_features(
    image: Array, inside: Array, config: GlcmConfig, names: tuple[str, ...]
) -> dict[str, Float[Array, "o"]]:
    middle = (config.levels - 1) / 2
    mass, mean, variance = soft.moments(image, config.soft_binning)
    mass, mean = mass * inside, mean - middle

    def sums(offset: Offset) -> tuple[Array, ...]:
        (m, n), (a, b), (v, w) = (_pairs(values, offset) for values in (mass, mean, variance))
        weight, spread = m * n, v + w
        terms = (1, (a + b) / 2, (spread + a**2 + b**2) / 2, a * b, spread + (a - b) ** 2)
        return tuple(jnp.sum(weight * term) for term in terms)

    # Shifts are static slices: XLA fuses them with the sums, which it does not do with the gathers
    # that a vmapped shift becomes (50 times slower in the gradient, on a CPU).
    by_offset = [sums(offset) for offset in config.offsets]
    total, *moments = (jnp.stack(term) for term in zip(*by_offset, strict=True))
    scale = jnp.where(total > 0, 1 / jnp.where(total > 0, total, 1), 0)
    # Level 0 of the coordinate is grey level 1.
    pairs = _PairMoments(middle + 1, *(moment * scale for moment in moments))
    return {name: PAIR_FEATURES[name](pairs) for name in names}


def _matrices(image: Array, inside: Array, config: GlcmConfig) -> Float[Array, "o l l"]:
    count = _scattered_counts if config.binning == "linear" else _product_counts
    counts = count(image, inside, config)
    symmetric = counts + counts.mT
    total = symmetric.sum((1, 2), keepdims=True)
    return jnp.where(total > 0, symmetric / jnp.where(total > 0, total, 1), 0)


def _product_counts(image: Array, inside: Array, config: GlcmConfig) -> Float[Array, "o l l"]:
    weights = soft.weights(image, config.soft_binning) * inside[..., None]
    by_level = jnp.moveaxis(weights, -1, 0)
    pair = jax.vmap(_pairs, in_axes=(0, None))

    def count(offset: Offset) -> Float[Array, "l l"]:
        first, second = pair(by_level, offset)
        return jnp.einsum("ihw,jhw->ij", first, second, precision="highest")

    return jnp.stack([count(offset) for offset in config.offsets])


def _scattered_counts(image: Array, inside: Array, config: GlcmConfig) -> Float[Array, "o l l"]:
    """Linear binning touches two levels a pixel, so four cells a pair."""
    levels = config.levels
    lower, upper_weight = soft.linear_taps(image, config.soft_binning)
    # Both taps of a pixel, as arrays with a leading axis of 2.
    level = jnp.stack([lower, lower + 1])
    weight = jnp.stack([1 - upper_weight, upper_weight]) * inside
    pair = jax.vmap(_pairs, in_axes=(0, None))

    def count(offset: Offset) -> Float[Array, "l l"]:
        (i, j), (a, b) = pair(level, offset), pair(weight, offset)
        cells = i[:, None] * levels + j[None, :]
        flat = jnp.zeros(levels * levels, image.dtype).at[cells.ravel()]
        return flat.add((a[:, None] * b[None, :]).ravel()).reshape(levels, levels)

    return jnp.stack([count(offset) for offset in config.offsets])
