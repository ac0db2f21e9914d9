"""Smoothing by small kernels."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def binomial_blur(image: Float[Array, "b h w c"], dilation: int = 1) -> Float[Array, "b h w c"]:
    """Weights 1, 2, 1 along rows and columns, ``dilation`` pixels apart, edges repeated."""
    side, far = (dilation, dilation), 2 * dilation
    padded = jnp.pad(image, ((0, 0), side, side, (0, 0)), mode="edge")
    near = slice(dilation, -dilation)
    rows = (padded[:, :-far] + 2 * padded[:, near] + padded[:, far:]) / 4
    return (rows[:, :, :-far] + 2 * rows[:, :, near] + rows[:, :, far:]) / 4
