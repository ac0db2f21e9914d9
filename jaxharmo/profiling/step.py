"""``jaxharmo profile step``: compile time, speed, memory and collectives of the training step."""

import re
import time
from collections import Counter

import jax
import numpy as np

from jaxharmo.config import Config
from jaxharmo.errors import InputError
from jaxharmo.models.networks import build
from jaxharmo.profiling.timing import measure_device
from jaxharmo.runtime import make_mesh, replicated, to_global
from jaxharmo.training.optim import build_optimizers
from jaxharmo.training.state import init_state
from jaxharmo.training.step import build_step

_COLLECTIVE = re.compile(r"\b(all-reduce|all-gather|reduce-scatter|all-to-all)(?:-start)?\(")


def profile_step(config: Config, *, repeats: int) -> dict:
    """Profile the step of ``config`` on random slices, over all devices.

    ``flops`` is XLA's count for one step on one device (loops counted once), ``utilization`` its
    share of the measured rate of a float32 matrix product.
    """
    mesh = make_mesh()
    if repeats < 1 or config.train.batch_size % mesh.size:
        raise InputError(
            f"--repeats must be at least 1, the batch must divide by {mesh.size} devices"
        )
    networks = build(config)
    optimizers = build_optimizers(config.optim, networks.__dataclass_fields__)
    state = jax.jit(
        lambda: init_state(networks, optimizers, config), out_shardings=replicated(mesh)
    )()
    batch = to_global(mesh, _random_batch(config))
    start = time.perf_counter()
    step = jax.jit(build_step(networks, optimizers, config), donate_argnums=0)
    step = step.lower(state, batch).compile()
    compiled_after = time.perf_counter() - start
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))
        seconds.append(time.perf_counter() - start)
    median = float(np.median(seconds[1:]))
    cost, memory = step.cost_analysis() or {}, step.memory_analysis()
    device = measure_device()
    flops = float(cost.get("flops", float("nan")))
    return {
        "device": device.name,
        "devices": mesh.size,
        "jax": jax.__version__,
        "crop": config.data.crop,
        "batch": config.train.batch_size,
        "texture": config.loss.texture > 0,
        "seconds_compile": compiled_after,
        "seconds_step": median,
        "seconds_step_spread": [min(seconds[1:]), max(seconds[1:])],
        "images_per_second": config.train.batch_size / median,
        "flops": flops,
        "utilization": flops / median / device.flops_per_second,
        "temporary_bytes": memory.temp_size_in_bytes if memory else None,
        "collectives": dict(Counter(_COLLECTIVE.findall(step.as_text() or ""))),
    }


def _random_batch(config: Config) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    size, count = config.data.crop, config.train.batch_size // jax.process_count()

    def slices(*shape: int) -> np.ndarray:
        return random.integers(-1024, 400, (*shape, size, size)).astype(np.int16)

    def domains() -> np.ndarray:
        return random.integers(len(config.data.domains), size=count).astype(np.int32)

    return {
        "source": slices(count),
        "source_domain": domains(),
        "reference": slices(count, 2),
        "target_domain": domains(),
    }
