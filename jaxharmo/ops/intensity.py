"""Intensities: Hounsfield units to the network's range and back, and where a window ends."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

Window = tuple[float, float]

CT_FLOOR = -1024.0
"""HU at which the scale of a CT begins; what lies below is padding."""
HANDOVER = 50.0
"""Width of the range inside a window, HU, over which a translation gives way to its source."""


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


def hand_over(
    hu: Float[Array, "n h w"], translated: Float[Array, "n h w"], window: Window
) -> Float[Array, "n h w"]:
    """The translation inside ``window``, the source outside, and a blend towards the ends."""
    low, high = window
    weight = _smoothstep((high - hu) / HANDOVER)
    if low > CT_FLOOR:
        weight *= _smoothstep((hu - low) / HANDOVER)
    blended = hu + weight * (translated - hu)
    return jnp.where((hu < low) | (hu > high), hu, blended)


def _smoothstep(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """0 below 0, 1 above 1, 3x² - 2x³ between."""
    x = jnp.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
