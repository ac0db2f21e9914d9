"""The optimizers against Adam written out in NumPy."""

import numpy as np
import optax
import pytest

from jaxharmo.config import OptimConfig
from jaxharmo.training.optim import build_optimizers


@pytest.mark.parametrize("decay", ["l2", "decoupled"])
@pytest.mark.parametrize(("name", "rate"), [("generator", 1e-2), ("mapping_network", 1e-4)])
def test_adam_with_decay(decay, name, rate):
    config = OptimConfig(
        learning_rate=1e-2, mapping_learning_rate=1e-4, beta1=0.5, weight_decay=0.1, decay=decay
    )
    optimizer = build_optimizers(config, [name])[name]
    random = np.random.default_rng(0)
    weight = random.normal(size=5)
    found, state = weight.astype(np.float32), optimizer.init(weight.astype(np.float32))
    first = second = np.zeros(5)
    for step in range(1, 4):
        gradient = random.normal(size=5)
        updates, state = optimizer.update(gradient.astype(np.float32), state, found)
        found = optax.apply_updates(found, updates)
        if decay == "l2":
            gradient = gradient + 0.1 * weight
        first = 0.5 * first + 0.5 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        update = first / (1 - 0.5**step) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        if decay == "decoupled":
            update = update + 0.1 * weight
        weight = weight - rate * update
    np.testing.assert_allclose(found, weight, rtol=1e-4)
