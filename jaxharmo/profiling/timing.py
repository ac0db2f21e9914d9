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


def time_in_a_loop(
    function: Callable[[Any], Any], start: Any, *, repeats: int, rounds: int | None = None
) -> Timing:
    """Time one of ``rounds`` calls, each on the result of the one before, in a loop on the device.

    What it takes to dispatch a call does not count. More rounds on an accelerator than on a CPU
    where none are given.
    """
    rounds = rounds or (4 if jax.default_backend() == "cpu" else 100)
    loop = jax.jit(lambda value: jax.lax.fori_loop(0, rounds, lambda _, x: function(x), value))
    whole = time_calls(loop, start, repeats=repeats)
    return Timing(*(seconds / rounds for seconds in whole))


class Device(NamedTuple):
    """The first local device and its measured rates."""

    name: str
    bytes_per_second: float
    """Copying a large array; reading and writing both count."""
    flops_per_second: float
    """Matrix product at the default precision, float32 unless noted."""

    def floor(self, flops: float, size: float) -> float:
        """Seconds below which a computation of so many operations and bytes cannot fall."""
        return max(flops / self.flops_per_second, size / self.bytes_per_second)


def measure_device(repeats: int = 5, dtype: str = "float32") -> Device:
    """Measure copy bandwidth, and matrix rate in ``dtype``, of the first local device."""
    device = jax.local_devices()[0]
    large = jnp.zeros(_COPY_BYTES // 4, jnp.float32)
    copy = time_in_a_loop(lambda x: x + 1, large, repeats=repeats)
    square = jnp.full((_MATMUL_SIDE, _MATMUL_SIDE), 1 / _MATMUL_SIDE, dtype)
    product = time_in_a_loop(lambda x: x @ x, square, repeats=repeats)
    return Device(
        f"{device.platform}: {device.device_kind}",
        2 * _COPY_BYTES / copy.minimum,
        2 * _MATMUL_SIDE**3 / product.minimum,
    )
