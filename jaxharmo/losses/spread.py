"""The spread of styles within a domain: drawn styles against those that are read off images."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Spread = Float[Array, "b m"]
Pair = tuple[Spread, Spread]
"""Two independent draws of every sample's domain."""


def energy_distance(drawn: Pair, real: Pair) -> Float[Array, ""]:
    """2 E|a - b| - E|a - a'| - E|b - b'|, mean over the batch (Székely & Rizzo 2013).

    Zero where both distributions are one, positive elsewhere; unbiased, so a batch of any size has
    the right gradient. The real ones are constants.
    """
    real = jax.lax.stop_gradient(real)
    apart = [_distance(a, b) for a in drawn for b in real]
    return (sum(apart) / 2 - _distance(*drawn) - _distance(*real)).mean()


def squared_mean(first: Spread, second: Spread) -> Float[Array, ""]:
    """Squared length of the mean of a distribution, from independent pairs drawn from it.

    Unbiased, as E[x · y] = E[x] · E[y]: the square of a batch's mean would hold its variance, too.
    """
    return (first * second).sum(1).mean()


def _distance(a: Spread, b: Spread) -> Float[Array, "b"]:
    return jnp.abs(a - b).sum(1)
