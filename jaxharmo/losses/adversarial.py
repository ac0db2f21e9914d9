"""The non-saturating adversarial loss and its gradient penalty."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def real_loss(logits: Float[Array, "b"]) -> Float[Array, ""]:
    """Binary cross-entropy of logits against "real": ``mean(softplus(-logit))``."""
    return jax.nn.softplus(-logits).mean()


def fake_loss(logits: Float[Array, "b"]) -> Float[Array, ""]:
    """Binary cross-entropy of logits against "fake": ``mean(softplus(logit))``."""
    return jax.nn.softplus(logits).mean()


def r1_penalty(gradient: Float[Array, "b h w c"]) -> Float[Array, ""]:
    """Half the squared norm of the logit's gradient with respect to the real image, batch mean.

    ``R1 = ½ E ||∂D(x)/∂x||²`` (Mescheder et al. 2018, arXiv 1801.04406).
    """
    return 0.5 * jnp.square(gradient).sum((1, 2, 3)).mean()
