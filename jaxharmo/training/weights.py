"""The weights of cells in the change losses, as measured so far."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxharmo.config import Config
from jaxharmo.losses.changes import WEIGHTS, Gaps, Memory
from jaxharmo.losses.descriptors import DESCRIPTORS
from jaxharmo.training.terms import Changes, same_scanner

CellWeights = dict[str, Float[np.ndarray, "f"]]
"""By the name of the descriptor; relative to an even share, so that their mean is 1."""


def measured_weights(changes: Changes, config: Config) -> CellWeights:
    """Means over the pairs of domains that were translated lately.

    Descriptors whose aggregation measures no weights are left out, and those without a translation.
    """
    together = same_scanner(config)
    found: CellWeights = {}
    for name, memory in changes.items():
        descriptor = DESCRIPTORS[name](config)
        if descriptor.aggregation not in WEIGHTS:
            continue
        variance = memory.variance(together, descriptor)
        weights = _mean_weights(memory, variance, descriptor.aggregation)
        if np.any(weights):
            found[name] = np.asarray(weights) * weights.size
    return found


@partial(jax.jit, static_argnames="aggregation")
def _mean_weights(
    memory: Memory, variance: Float[Array, "k k f"], aggregation: str
) -> Float[Array, "f"]:
    """All 0 where no pair was translated."""
    domains = len(variance)
    pairs = domains**2
    variance = variance.reshape(pairs, -1)
    weights = WEIGHTS[aggregation](
        Gaps(jnp.zeros_like(variance), variance, memory.wanted.reshape(pairs, -1))
    )
    seen = (memory.change_count > 0) & ~jnp.eye(domains, dtype=bool)
    share = seen.reshape(pairs, 1) / jnp.maximum(seen.sum(), 1)
    return (share * weights).sum(0)
