"""Compiled functions in float64 for threads."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Programs of XLA that start at once on a CPU can wait for each other forever.
_ONE_AT_A_TIME = threading.Lock()


def in_float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of arrays, compiled; numbers become float64, and NumPy arrays come back."""

    @jax.jit
    def compiled(*arrays: jax.Array) -> Any:
        return function(*(a if a.dtype == bool else a.astype(jnp.float64) for a in arrays))

    @functools.wraps(function)
    def run(*arrays: np.ndarray | float) -> Any:
        with _ONE_AT_A_TIME, jax.enable_x64(True):
            return jax.device_get(compiled(*arrays))

    return run
