"""The spread of styles within a domain: drawn styles against styles encoded from images."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Spread = Float[Array, "b m"]
Pair = tuple[Spread, Spread]
"""Two independent draws of every sample's domain."""


def energy_distance(drawn: Pair, real: Pair) -> Float[Array, ""]:
    """2 E|a - b| - E|a - a'| - E|b - b'|, mean over the batch (Székely & Rizzo 2013).

    Zero if the distributions are equal, otherwise positive. Unbiased, so the expected gradient is
    right for a batch of any size. ``real`` has no gradient.
    """
    real = jax.lax.stop_gradient(real)
    apart = [_distance(a, b) for a in drawn for b in real]
    return (sum(apart) / 2 - _distance(*drawn) - _distance(*real)).mean()


def squared_mean(first: Spread, second: Spread) -> Float[Array, ""]:
    """Squared length of the mean of a distribution, from independent pairs drawn from it.

    Unbiased, because E[x · y] = E[x] · E[y]. The square of a batch's mean contains its variance.
    """
    return (first * second).sum(1).mean()


def _distance(a: Spread, b: Spread) -> Float[Array, "b"]:
    return jnp.abs(a - b).sum(1)
