"""Random weights of a model without compiling its initialisation; the last layer is not zero."""

import math

import jax
import numpy as np

from jaxharmo.translator import averaged_shapes


def random_weights(config, seed=0, last=1.0):
    """``last`` scales what the generator's last layer has."""
    random = np.random.default_rng(seed)

    def draw(like):
        fan_in = math.prod(like.shape[:-1])
        scale = math.sqrt(1.5 / fan_in) if len(like.shape) > 1 else 0.1
        return random.normal(scale=scale, size=like.shape).astype(like.dtype)

    weights = jax.tree.map(draw, averaged_shapes(config))
    generator = weights["generator"]
    if "gain" in generator:
        # Gains are exponentials of 40 times what comes out.
        finals = [generator[name] for name in ("gain", "offset")]
        finals += [generator.get("residual", {}).get("correction", {})]
        finals += generator.get("local", {}).values()
        last /= 100
    else:
        finals = [layer for layer in generator.values() if layer.get("bias", np.ones(2)).size == 1]
    for final in finals:
        for name in final:
            final[name] *= np.float32(last)
    return weights
