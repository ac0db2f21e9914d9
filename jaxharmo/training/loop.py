"""The training loop: restore, then step, tell and save until the run is done."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxharmo.checkpoint import Checkpoints
from jaxharmo.config import Config
from jaxharmo.data.pipeline import Batch, grouped
from jaxharmo.errors import InputError
from jaxharmo.journal import Journal, progress, tell
from jaxharmo.models.networks import build
from jaxharmo.runtime import is_main_process, make_mesh, replicated, to_global
from jaxharmo.training.objectives import Metrics
from jaxharmo.training.optim import build_optimizers
from jaxharmo.training.samples import build_sample_grid
from jaxharmo.training.state import TrainState, init_state
from jaxharmo.training.step import build_step

BatchesFrom = Callable[[int], Iterator[Batch]]
"""Number of the first batch -> batches; a run that goes on skips what it has seen."""


def fit(
    config: Config,
    workdir: Path,
    batches_from: BatchesFrom,
    sources: np.ndarray,
) -> int:
    """Train until ``config.train.steps``, from the newest checkpoint if there is one.

    ``sources``, (k h w) int16 HU, one slice a domain, are translated in the sample pictures.
    Returns the last step. Raises ``FloatingPointError`` naming step and terms where a loss is
    not finite, before such a state is saved.
    """
    mesh = make_mesh()
    batch_size = config.train.batch_size
    if batch_size % mesh.size:
        raise InputError(f"--train.batch-size {batch_size} does not divide by {mesh.size} devices")
    networks = build(config)
    optimizers = build_optimizers(config.optim, networks.__dataclass_fields__)
    start = jax.jit(
        lambda: init_state(networks, optimizers, config), out_shardings=replicated(mesh)
    )
    train_step = jax.jit(
        build_step(networks, optimizers, config), donate_argnums=0, out_shardings=replicated(mesh)
    )
    sample_grid = build_sample_grid(networks, config, sources)
    rhythm, last = config.train, config.train.steps
    with Checkpoints(workdir, rhythm.keep_checkpoints) as checkpoints:
        state = start()
        first = max(checkpoints.steps, default=0)
        if first:
            state = _merge(**checkpoints.restore(first, _parts(state)))
            tell(f"going on from step {first}")
        if first >= last:
            return first
        stride = rhythm.steps_per_dispatch
        batches = grouped(batches_from(first), stride)
        metrics: Metrics = {}
        clock = _Clock(batch_size)
        with Journal(workdir, first) if is_main_process() else nullcontext() as journal:
            steps = range(first + stride, last + 1, stride)
            for step in progress(steps, last // stride, "training", first // stride):
                before = metrics
                state, metrics = train_step(state, to_global(mesh, next(batches)))
                # One step in flight: the next batch is read while the device works on this one.
                jax.block_until_ready(before)
                told = step % rhythm.log_every == 0 or step in (stride, last)
                saved = step % rhythm.checkpoint_every == 0 or step == last
                drawn = step % rhythm.sample_every == 0 or step == last
                values = _read(step, metrics) if told or saved else {}
                if journal and told:
                    journal.scalars(step, values | clock.read(step))
                if journal and drawn:
                    journal.picture(step, "translations", sample_grid(jax.device_get(state.ema)))
                if saved:
                    checkpoints.save(step, _parts(state))
    return last


def _parts(state: TrainState) -> dict[str, Any]:
    """What a checkpoint holds; the average apart, because all but training needs only that.

    The position in the data is the step: batch n is read for step n + 1.
    """
    rest = {"step": state.step, "params": state.params, "opt_state": state.opt_state}
    return {"ema": state.ema, "state": rest}


def _merge(ema: dict, state: dict) -> TrainState:
    return TrainState(ema=ema, **state)


class _Clock:
    """Images a second between two readings; the first step, which compiles, is left out."""

    def __init__(self, batch_size: int):
        self._batch_size, self._step, self._time = batch_size, -1, 0.0

    def read(self, step: int) -> dict[str, float]:
        now, before, then = time.perf_counter(), self._step, self._time
        self._step, self._time = step, now
        if before < 0:
            return {}
        return {"images_per_second": (step - before) * self._batch_size / (now - then)}


def _read(step: int, metrics: Metrics) -> dict[str, float]:
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise FloatingPointError(
            f"step {step}: {', '.join(broken)} not finite; the last checkpoint before it is kept"
        )
    return values
