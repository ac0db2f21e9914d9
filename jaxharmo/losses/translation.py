"""Style reconstruction, diversity and cycle consistency (StarGAN v2)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "b h w c"]


def style_loss(encoded: Float[Array, "b s"], style: Float[Array, "b s"]) -> Float[Array, ""]:
    """Mean absolute difference of the target style and the style encoded from the translation."""
    return jnp.abs(encoded - style).mean()


def diversity(image: Images, other: Images) -> Float[Array, ""]:
    """Mean absolute difference of two translations, to be maximised; ``other`` has no gradient."""
    return jnp.abs(image - jax.lax.stop_gradient(other)).mean()


def cycle_loss(reconstruction: Images, source: Images) -> Float[Array, ""]:
    """Mean absolute difference of a source and its translation there and back, in [-1, 1] units."""
    return jnp.abs(reconstruction - source).mean()
