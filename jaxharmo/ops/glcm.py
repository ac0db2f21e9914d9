"""Soft-binned grey-level co-occurrence matrices (GLCM) and their Haralick features.

The GLCM of an image at offset o is ``P(i, j) = Σ_p w_i(x_p) w_j(x_{p+o})`` over the pairs inside
the image (and the mask), made symmetric and divided by its sum (Haralick et al. 1973, definitions
as in IBSI). Features that are polynomials of i and j come from pairs of pixels (``pairs``), the
others from the matrices (``matrices``, ``haralick``). Grey levels are numbered from 1, as in IBSI
and pyradiomics.

Where no pair counts, matrices and features are 0. Outside ``jit``, pixels that are not finite and
masks without a pixel are a ``ValueError``; inside, a pixel that is not a number spreads over the
features of its image wherever it makes a pair, and infinite ones count as the ends of the range.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from jaxharmo.ops import binning as soft
from jaxharmo.ops.haralick import MATRIX_FEATURES
from jaxharmo.ops.matrices import check_low_rank, count_pairs
from jaxharmo.ops.pairs import PAIR_FEATURES, Offset, pair_features, reach

OFFSETS: tuple[Offset, ...] = (
    *((0, d) for d in (1, 3, 5, 7)),
    *((-d, d) for d in (1, 2, 4, 6)),
    *((-d, 0) for d in (1, 3, 5, 7)),
    *((-d, -d) for d in (1, 2, 4, 6)),
)
"""(row, column) steps at 0°, 45°, 90° and 135°, four distances each (arXiv 2403.16640)."""

Binning = Literal["linear", "gaussian"]
SigmaUnit = Literal["bins", "intensity"]
Method = Literal["auto", "scatter", "low_rank", "product", "pallas"]
_CHOICES = {
    "binning": get_args(Binning),
    "sigma_unit": get_args(SigmaUnit),
    "method": get_args(Method),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlcmConfig:
    """How an image becomes GLCMs. Raises ``ValueError`` for values that make no matrix."""

    levels: int = 256
    """Grey levels."""
    binning: Binning = "linear"
    """Soft assignment of a pixel to levels."""
    sigma: float = 1.0
    """Width of the Gaussian assignment."""
    sigma_unit: SigmaUnit = "bins"
    """Unit of sigma: bin widths, or the image's own intensity."""
    normalised: bool = True
    """Gaussian weights of a pixel sum to 1."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """Intensities of the lowest and the highest level, in the unit of the images. Intensities
    outside count as the nearer end."""
    offsets: tuple[Offset, ...] = OFFSETS
    """(row, column) steps between the pixels of a pair."""
    method: Method = "auto"
    """How matrices are formed; auto takes the cheapest way, and none for features of pairs."""

    def __post_init__(self):
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, must be one of {', '.join(choices)}"
                )
        if self.levels < 2:
            raise ValueError(f"levels is {self.levels}, must be at least 2")
        if not self.sigma > 0:
            raise ValueError(f"sigma is {self.sigma}, must be positive")
        if not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range is {self.value_range}, must rise")
        if not self.offsets or any(offset == (0, 0) for offset in self.offsets):
            raise ValueError("offsets must be one or more steps other than (0, 0)")
        if self.method == "scatter" and self.binning != "linear":
            raise ValueError("method scatter is for linear binning; take low_rank or product")
        if self.method == "low_rank" and self.binning != "gaussian":
            raise ValueError("method low_rank is for gaussian binning; take scatter or product")
        if self.method == "low_rank":
            check_low_rank(self.soft_binning, "float32")

    @property
    def reach(self) -> int:
        """The longest step along rows or columns, pixels."""
        return max(reach(self.offsets))

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


PUBLISHED = GlcmConfig(binning="gaussian", sigma=0.5, sigma_unit="intensity", normalised=False)
"""The assignment of arXiv 2403.16640, 64 of the 256 bins wide: most of its contrast is the width of
the Gaussian."""


def glcm_features(
    images: Float[Array, "b h w"],
    config: GlcmConfig,
    features: Sequence[str] = ("contrast",),
    mask: Bool[Array, "b h w"] | None = None,
) -> dict[str, Float[Array, "b o"]]:
    """Haralick features of every image at every offset: a dict from feature to ``b o``.

    Intensities are in the unit of ``config.value_range``. Integers and floats of fewer bits are
    converted to float32. Pairs count only where both pixels are in ``mask``. Raises ``ValueError``
    for an unknown feature, with the names of all, for a wrong rank, and for an offset that does not
    fit.
    """
    images = _checked(images, config, mask)
    check_features(features)
    return _features(images, config, tuple(features), mask)


@partial(jax.jit, static_argnums=(1, 2))
def _features(
    images: Array, config: GlcmConfig, features: tuple[str, ...], mask: Array | None
) -> dict[str, Float[Array, "b o"]]:
    by_pairs = [name for name in features if config.method == "auto" and name in PAIR_FEATURES]
    by_matrix = [name for name in features if name not in by_pairs]
    found: dict[str, Array] = {}
    if by_pairs:
        offsets, binning = config.offsets, config.soft_binning
        with jax.named_scope("pair_features"):
            found |= jax.vmap(
                lambda x, inside: pair_features(x, inside, binning, offsets, by_pairs)
            )(images, mask)
    if by_matrix:
        with jax.named_scope("glcm_matrices"):
            matrices = _matrices(images, config, mask)
        with jax.named_scope("matrix_features"):
            found |= jax.vmap(jax.vmap(partial(_matrix_features, names=by_matrix)))(matrices)
    return {name: found[name] for name in features}


def _matrix_features(matrix: Float[Array, "l l"], names: list[str]) -> dict[str, Float[Array, ""]]:
    empty = matrix.sum() == 0
    return {name: jnp.where(empty, 0, MATRIX_FEATURES[name](matrix)) for name in names}


def check_features(names: Sequence[str]) -> None:
    """Raise ``ValueError`` for a name that is no feature, listing those that are."""
    if isinstance(names, str):
        raise ValueError(f"features is the text {names!r}, must be a tuple: ({names!r},)")
    unknown = set(names) - set(MATRIX_FEATURES)
    if unknown:
        known = ", ".join(sorted(MATRIX_FEATURES))
        raise ValueError(f"unknown feature {', '.join(sorted(unknown))}; known: {known}")


def glcm_matrices(
    images: Float[Array, "b h w"],
    config: GlcmConfig,
    mask: Bool[Array, "b h w"] | None = None,
) -> Float[Array, "b o l l"]:
    """The symmetric GLCMs, each with sum 1; all zero where the mask leaves no pair."""
    return _matrices(_checked(images, config, mask), config, mask)


@partial(jax.jit, static_argnums=1)
def _matrices(images: Array, config: GlcmConfig, mask: Array | None) -> Float[Array, "b o l l"]:
    binning = config.soft_binning

    def of_image(image: Array, inside: Array | None) -> Float[Array, "o l l"]:
        counts = count_pairs(image, inside, binning, config.offsets, config.method)
        symmetric = counts + counts.mT
        total = symmetric.sum((1, 2), keepdims=True)
        return jnp.where(total == 0, 0, symmetric / jnp.where(total == 0, 1, total))

    return jax.vmap(of_image)(images, mask)


def _checked(images: Array, config: GlcmConfig, mask: Array | None) -> Float[Array, "b h w"]:
    if images.ndim != 3:
        raise ValueError(f"images have shape {images.shape}, expected (batch, height, width)")
    rows, columns = reach(config.offsets)
    if images.shape[1] <= rows or images.shape[2] <= columns:
        raise ValueError(
            f"images of {images.shape[1:]} are smaller than an offset of {(rows, columns)}"
        )
    if mask is not None and mask.shape != images.shape:
        raise ValueError(f"mask has shape {mask.shape}, images have {images.shape}")
    with jax.ensure_compile_time_eval():
        if not isinstance(images, Tracer) and not jnp.isfinite(images).all():
            raise ValueError("images hold values that are not finite")
        if not (mask is None or isinstance(mask, Tracer) or jnp.any(mask, (1, 2)).all()):
            raise ValueError("a mask has no pixel")
    return images.astype(jnp.promote_types(images.dtype, jnp.float32))
