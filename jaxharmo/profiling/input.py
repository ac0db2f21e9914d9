"""``jaxharmo profile input``: the speed of the reader, and whether a step waits for it."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from jaxharmo.config import Config
from jaxharmo.data.manifest import Domain
from jaxharmo.data.pipeline import grouped, training_batches
from jaxharmo.data.shards import SliceSource
from jaxharmo.runtime import make_mesh, to_global
from jaxharmo.training.program import step_program

SLICES_OF_AN_EXAMPLE = 3
_SINGLE_READS = 200


def profile_input(
    shards: Path,
    domains: tuple[Domain, ...],
    config: Config,
    *,
    batches: int,
    step_seconds: float | None = None,
    trace: Path | None = None,
) -> dict:
    """Read ``batches`` training batches at full speed, then as many between steps.

    ``slices_per_second`` counts source and references of the batches read at full speed, cropped
    and flipped; ``seconds_random_read`` is the median of single reads at random places of the
    largest domain. ``waiting`` is the share of the time that a loop of steps spends in waiting for
    its next batch; a step takes ``step_seconds`` of idling or, where not given, is the config's
    own, compiled first. ``trace`` is a folder for a profiler trace of that loop.
    """
    largest = max(
        (SliceSource(shards, "train", domain) for domain in domains),
        key=len,
    )
    stream = grouped(
        training_batches(
            shards,
            domains,
            config.data,
            batch_size=config.train.batch_size,
            seed=config.train.seed,
        ),
        config.train.steps_per_dispatch,
    )
    next(stream)
    started = time.perf_counter()
    for _ in range(batches):
        read = next(stream)
    reading = time.perf_counter() - started
    slices = SLICES_OF_AN_EXAMPLE * batches * read["source_domain"].size
    run_step = _idle(step_seconds) if step_seconds is not None else _step(config, read)
    waited, started = 0.0, time.perf_counter()
    with jax.profiler.trace(str(trace)) if trace else contextlib.nullcontext():
        for _ in range(batches):
            before = time.perf_counter()
            batch = next(stream)
            waited += time.perf_counter() - before
            run_step(batch)
    looped = time.perf_counter() - started
    return {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "slices": {domain.name: domain.slices.get("train", 0) for domain in domains},
        "crop": config.data.crop,
        "batch": config.train.batch_size,
        "slices_per_second": slices / reading,
        "seconds_random_read": _random_read(largest),
        "seconds_step": (looped - waited) / batches / config.train.steps_per_dispatch,
        "waiting": waited / looped,
    }


def _random_read(source: SliceSource) -> float:
    seconds = []
    for index in np.random.default_rng(0).integers(len(source), size=_SINGLE_READS):
        before = time.perf_counter()
        source[int(index)]
        seconds.append(time.perf_counter() - before)
    return float(np.median(seconds))


def _idle(seconds: float) -> Callable:
    return lambda batch: time.sleep(seconds)


def _step(config: Config, batch) -> Callable:
    mesh = make_mesh()
    program = step_program(config, mesh)
    state, step = program.start(), program.step
    state, metrics = jax.block_until_ready(step(state, to_global(mesh, batch)))

    def run(batch) -> None:
        nonlocal state, metrics
        before = metrics
        state, metrics = step(state, to_global(mesh, batch))
        # As the training loop does: one step in flight while the next batch is read.
        jax.block_until_ready(before)

    return run
