"""Trainable self-attention over a grid of texture differences."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.models.layers import Dense


class TextureAttention(nn.Module):
    """Let every cell of the (angle, distance) grid attend to the others.

    The layer of arXiv 2403.16640 in form (scalar queries and keys, softmax over the cells, a gate
    that starts closed), with one change: the values are the differences themselves and the gate
    mixes, ``(1 - g) d + g A d``. Trained by the loss that it aggregates, a free scale on the values
    would be driven to zero; this way the sum stays between 16 times the smallest and 16 times the
    largest difference.
    """

    @nn.compact
    def __call__(self, grid: Float[Array, "b 4 4"]) -> Float[Array, "b 4 4"]:
        cells = grid.reshape(grid.shape[0], -1, 1)
        query, key = Dense(1, name="query")(cells), Dense(1, name="key")(cells)
        gate = self.param("gate", nn.initializers.constant(-4.0), ())
        attention = jax.nn.softmax(query * jnp.swapaxes(key, 1, 2), axis=-1)
        openness = jax.nn.sigmoid(gate)
        return ((1 - openness) * cells + openness * (attention @ cells)).reshape(grid.shape)
