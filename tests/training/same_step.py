"""Two steps that should be one: their losses and gradients, up to rounding."""

from functools import partial

import jax
import numpy as np
import optax

EPSILON = np.finfo(np.float32).eps


def assert_same_step(found, found_metrics, expected, metrics, *, gradients, rtol=1e-5):
    """Compare losses, and the part of the optimizers' states that ``gradients`` names.

    A gradient is measured against the largest of its network, because some are zero but for
    rounding: that of a bias before an instance norm, which takes every constant away, or of the
    keys' bias in a softmax. What is left where parts as large as a loss cancel, as in the gate of
    the texture attention, has the rounding of that loss.
    """
    for name, value in metrics.items():
        np.testing.assert_allclose(found_metrics[name], value, rtol=rtol, err_msg=name)
    cancelled = EPSILON * max(abs(float(value)) for value in metrics.values())
    for name, state in expected.opt_state.items():
        own = optax.tree.get(state, gradients)
        largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(own))
        assert largest > 0
        near = partial(
            np.testing.assert_allclose, rtol=rtol, atol=rtol * largest + cancelled, err_msg=name
        )
        jax.tree.map(near, optax.tree.get(found.opt_state[name], gradients), own)
