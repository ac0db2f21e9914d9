"""How the training slices of each domain are described, before the first step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int16

from jaxharmo.config import Config
from jaxharmo.losses.changes import Memory
from jaxharmo.losses.descriptors import DESCRIPTORS
from jaxharmo.ops.intensity import normalize
from jaxharmo.training.terms import Changes, remembered

CropsOf = Callable[[int], Int16[np.ndarray, "n s s"]]
"""Number of a domain -> crops of its training slices, HU."""

_AT_ONCE = 16
"""Images, to bound memory."""


def describe_domains(config: Config, crops_of: CropsOf) -> Changes:
    """The memories of all change losses, with the means and variances of every domain."""
    descriptors = {name: DESCRIPTORS[name](config) for name in remembered(config)}
    if not descriptors:
        return {}

    @jax.jit
    def describe(pixels: Int16[jax.Array, "b s s"]) -> dict[str, Float[jax.Array, "b f"]]:
        images = normalize(pixels, config.data.window)[..., None]
        return {name: each.describe(images) for name, each in descriptors.items()}

    def moments(domain: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        crops = crops_of(domain)
        # One shape for all calls: the last is filled up from the front.
        numbers = np.arange(0, len(crops), _AT_ONCE)[:, None] + np.arange(_AT_ONCE)
        found = [describe(crops[some % len(crops)]) for some in numbers]
        cells = {
            name: np.concatenate([each[name] for each in found])[: len(crops)].astype(np.float64)
            for name in descriptors
        }
        return {name: (rows.mean(0), rows.var(0)) for name, rows in cells.items()}

    by_domain = [moments(domain) for domain in range(len(config.data.domains))]
    return {
        name: Memory.start(
            *(
                jnp.asarray(np.stack(values), jnp.float32)
                for values in zip(*(found[name] for found in by_domain), strict=True)
            )
        )
        for name in descriptors
    }
