"""The weight of a level at a distance, as the kernels compute it."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.ops.binning import Binning


def weigh(distance: Float[Array, "..."], binning: Binning) -> Float[Array, "..."]:
    """Weight, not normalised, at a distance in levels."""
    if binning.kind == "linear":
        return jnp.maximum(0.0, 1.0 - jnp.abs(distance))
    return jnp.exp(distance * distance * (-0.5 / binning.sigma**2))
