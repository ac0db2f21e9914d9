"""``jaxharmo profile step``: where the time of a training step goes, and what it needs."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from jaxharmo.config import Config
from jaxharmo.data.pipeline import Batch, grouped
from jaxharmo.errors import InputError
from jaxharmo.hlo import read_program
from jaxharmo.profiling.timing import measure_device, time_calls
from jaxharmo.runtime import make_mesh, to_global
from jaxharmo.training.flops import step_flops
from jaxharmo.training.program import Memory, StepProgram, step_program
from jaxharmo.training.state import TrainState, update_average
from jaxharmo.training.step import build_updates, prepare_inputs


def profile_step(
    config: Config,
    *,
    repeats: int,
    phases: bool = True,
    compile_only: bool = False,
    trace: Path | None = None,
) -> dict:
    """Profile the step of ``config`` on random slices, over all devices.

    ``flops`` counts the networks' operations in one step (``training.flops``); ``utilization`` is
    what that makes of the measured rate of a matrix product in the compute dtype. Memory is a
    device's: ``state_bytes`` stays, ``peak_bytes`` is all that the compiled step holds at once.
    ``collectives`` are those of one call, by kind.
    ``phases`` times the parts of a step one by one, each compiled alone, so that their sum is not
    quite the step; ``optimizer`` is contained in the four updates. ``compile_only`` stops before
    anything is run. ``trace`` is a folder for a profiler trace of one call.
    """
    mesh = make_mesh()
    if repeats < 1 or config.train.batch_size % mesh.size:
        raise InputError(
            f"--repeats must be at least 1, the batch must divide by {mesh.size} devices"
        )
    program = step_program(config, mesh)
    stride = config.train.steps_per_dispatch
    host_batch = next(grouped(iter([random_batch(config)] * stride), stride))
    batch = to_global(mesh, host_batch)

    def compile_step() -> tuple[Any, float]:
        before = time.perf_counter()
        compiled = step_program(config, mesh).lower().compile()
        return compiled, time.perf_counter() - before

    with _empty_compilation_cache():
        _, cold = compile_step()
        jax.clear_caches()
        step, cached = compile_step()
    memory = Memory.of(step)
    flops = step_flops(program.networks, config)
    collectives = read_program(step.as_text() or "").collectives
    figures = {
        "device": f"{jax.local_devices()[0].platform}: {jax.local_devices()[0].device_kind}",
        "devices": mesh.size,
        "jax": jax.__version__,
        "crop": config.data.crop,
        "batch": config.train.batch_size,
        "texture": config.loss.texture > 0,
        "compute_dtype": config.train.compute_dtype,
        "remat": config.train.remat,
        "accumulate": config.train.accumulate,
        "steps_per_dispatch": stride,
        "seconds_compile": cold,
        "seconds_compile_cached": cached,
        "flops": flops,
        "state_bytes": memory.arguments if memory else None,
        "temporary_bytes": memory.temporaries if memory else None,
        "peak_bytes": memory.peak if memory else None,
        "collectives": {kind: found.count for kind, found in collectives.items()},
    }
    if compile_only:
        return figures
    state, seconds = program.start(), []
    for _ in range(repeats + 1):
        before = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))
        seconds.append((time.perf_counter() - before) / stride)
    if trace:
        with jax.profiler.trace(str(trace)):
            state, metrics = jax.block_until_ready(step(state, batch))
    median = float(np.median(seconds[1:]))
    device = measure_device(dtype=config.train.compute_dtype)
    used = jax.local_devices()[0].memory_stats() or {}
    figures |= {
        "seconds_step": median,
        "seconds_step_spread": [min(seconds[1:]), max(seconds[1:])],
        "images_per_second": config.train.batch_size / median,
        "matmul_flops_per_second": device.flops_per_second,
        "utilization": flops / median / (mesh.size * device.flops_per_second),
        "peak_bytes_in_use": used.get("peak_bytes_in_use"),
    }
    if phases:
        one = to_global(mesh, random_batch(config))
        timed = _time_phases(state, one, program, config, repeats)
        timed["input"] = time_calls(lambda: to_global(mesh, host_batch), repeats=repeats).median
        figures["milliseconds"] = {name: 1e3 * value for name, value in timed.items()}
    return figures


def _time_phases(
    state: TrainState,
    batch: dict[str, jax.Array],
    program: StepProgram,
    config: Config,
    repeats: int,
) -> dict[str, float]:
    """Seconds of the parts of a step, by name."""
    optimizers = program.optimizers

    def seconds(function: Callable, *inputs: Any) -> float:
        return time_calls(jax.jit(function), *inputs, repeats=repeats).median

    def prepare(step: jax.Array, batch: dict[str, jax.Array]):
        return prepare_inputs(step, batch, config)

    inputs = jax.jit(prepare)(state.step, batch)._replace(changes=state.changes)
    timed = {"windowing, latents": seconds(prepare, state.step, batch)}
    for name, update in build_updates(program.networks, optimizers, config).items():
        timed[name] = seconds(update, state.params, state.opt_state, inputs)
    timed["average"] = seconds(
        lambda ema, params: update_average(ema, params, config.optim.ema), state.ema, state.params
    )
    timed["optimizer"] = seconds(
        lambda params, opt_state: [
            optimizers[name].update(params[name], opt_state[name], params[name]) for name in params
        ],
        state.params,
        state.opt_state,
    )
    return timed


@contextlib.contextmanager
def _empty_compilation_cache() -> Iterator[None]:
    """A persistent compilation cache that is empty, whatever the process has otherwise."""
    changed: dict[str, Any] = {
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    with tempfile.TemporaryDirectory() as folder:
        changed["jax_compilation_cache_dir"] = folder
        before = {name: getattr(jax.config, name) for name in changed}
        try:
            for name, value in changed.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()


def random_batch(config: Config) -> Batch:
    """The part of this process of a batch of uniform noise, in HU."""
    random = np.random.default_rng(0)
    size, count = config.data.crop, config.train.batch_size // jax.process_count()

    def slices(*shape: int) -> np.ndarray:
        return random.integers(-1024, 400, (*shape, size, size)).astype(np.int16)

    def domains() -> np.ndarray:
        return random.integers(len(config.data.domains), size=count).astype(np.int32)

    return {
        "source": slices(count),
        "source_domain": domains(),
        "source_pixel": np.ones(count, np.float32),
        "reference": slices(count, 2),
        "target_domain": domains(),
    }
