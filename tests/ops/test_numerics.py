"""Sums that a miscompilation of XLA for CPUs got wrong, so that a release like it is found out.

JAX 0.10.2 returned wrong values for a matrix-vector product under ``vmap`` followed by a reduction
(jax-ml/jax#39103), from a size on at which the work is split among threads; it and 0.11.0 crash or
hang in reductions of seven axes (jax-ml/jax#39257, #40412). The flags of the test suite change what
XLA compiles, so that these run in processes with none.
"""

import os
import subprocess
import sys

import pytest

PRODUCTS = """
import jax, numpy as np
import jax.numpy as jnp

def lengths(rows, matrix):
    return jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2))(rows)

for count in (1_000, 16_385, 32_769, 100_003):
    for width in (3, 8):
        rows = np.zeros((count, width), np.float32)
        rows[:, 0] = np.arange(count)
        matrix = np.eye(width, dtype=np.float32)
        found = np.asarray(jax.jit(lengths)(rows, matrix))
        expected = (rows.astype(np.float64) ** 2).sum(1)
        wrong = np.abs(found - expected) > 1e-6 * expected
        assert not wrong.any(), (count, width, int(wrong.sum()))
"""


AXES = """
import jax, jax.numpy as jnp

shape = (3, 1, 2, 2, 8, 8, 8)
first, second = jnp.ones(shape), jnp.full(shape, 2.0)
found = jax.jit(lambda a, b: jnp.sum(a * b, axis=3))(first, second)
assert (found == 4).all()
"""


@pytest.mark.parametrize("program", [PRODUCTS, AXES], ids=["products", "axes"])
def test_reductions(program):
    environment = {name: os.environ[name] for name in os.environ if name != "XLA_FLAGS"}
    environment["JAX_PLATFORMS"] = "cpu"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
