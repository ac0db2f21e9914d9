"""Intensities: Hounsfield units to the network's range and back."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

Window = tuple[float, float]


def normalize(hu: Num[Array, "..."], window: Window) -> Float[Array, "..."]:
    """Clip HU to ``window`` and map it linearly onto [-1, 1], in float32."""
    low, high = window
    clipped = jnp.clip(hu.astype(jnp.float32), low, high)
    return (clipped - low) * (2.0 / (high - low)) - 1.0


def denormalize(image: Float[Array, "..."], window: Window) -> Float[Array, "..."]:
    """Map [-1, 1] linearly onto ``window`` in HU; values outside [-1, 1] are clipped."""
    low, high = window
    return (jnp.clip(image, -1.0, 1.0) + 1.0) * ((high - low) / 2.0) + low


def in_whole_hu(image: Float[Array, "..."], window: Window) -> Float[Array, "..."]:
    """Images in [-1, 1] as they are stored, in whole HU; the gradient passes as if unrounded.

    Power at the highest frequencies is that of rounding alone, under soft kernels.
    """
    unit = 2.0 / (window[1] - window[0])
    rounded = jnp.round((image + 1.0) / unit) * unit - 1.0
    return image + jax.lax.stop_gradient(rounded - image)
