"""What every profile needs: medians of timed calls, and what this device can do at best."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_COPY_BYTES = 256 * 2**20
_MATMUL_SIDE = 2048


class Timing(NamedTuple):
    """Seconds of a call that has been compiled and warmed up."""

    median: float
    minimum: float
    maximum: float


def time_calls(function: Callable[..., Any], *inputs: Any, repeats: int) -> Timing:
    """Time ``repeats`` calls, each until its results are ready, after one that is not counted."""
    jax.block_until_ready(function(*inputs))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*inputs))
        seconds.append(time.perf_counter() - start)
    return Timing(statistics.median(seconds), min(seconds), max(seconds))


class Device(NamedTuple):
    """The first local device and its measured rates."""

    name: str
    bytes_per_second: float
    """Copying a large array; reading and writing both count."""
    flops_per_second: float
    """Float32 matrix product at the default precision."""

    def floor(self, flops: float, size: float) -> float:
        """Seconds below which a computation of so many operations and bytes cannot fall."""
        return max(flops / self.flops_per_second, size / self.bytes_per_second)


def measure_device(repeats: int = 5) -> Device:
    """Measure copy bandwidth and matrix rate of the first local device."""
    device = jax.local_devices()[0]
    large = jnp.zeros(_COPY_BYTES // 4, jnp.float32)
    copy = time_calls(jax.jit(lambda x: x + 1), large, repeats=repeats)
    square = jnp.ones((_MATMUL_SIDE, _MATMUL_SIDE), jnp.float32)
    product = time_calls(jax.jit(lambda x: x @ x), square, repeats=repeats)
    return Device(
        f"{device.platform}: {device.device_kind}",
        2 * _COPY_BYTES / copy.minimum,
        2 * _MATMUL_SIDE**3 / product.minimum,
    )
