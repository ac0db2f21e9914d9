"""The training loop: restore, then step, log and save until the run is done."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int16

from jaxharmo.checkpoint import Checkpoints
from jaxharmo.config import Config
from jaxharmo.console import Progress, message
from jaxharmo.data.pipeline import Batch, grouped
from jaxharmo.errors import InputError, Preempted
from jaxharmo.losses.changes import Memory
from jaxharmo.preemption import Preemption
from jaxharmo.runtime import (
    gather,
    is_main_process,
    make_mesh,
    place_as,
    to_global,
    wait_for_all,
)
from jaxharmo.training.domains import CropsOf, PixelOf, describe_domains
from jaxharmo.training.metrics_writer import MetricsWriter
from jaxharmo.training.page import write_page
from jaxharmo.training.program import step_program
from jaxharmo.training.samples import TRANSLATIONS, build_sample_grid
from jaxharmo.training.state import TrainState
from jaxharmo.training.terms import Metrics
from jaxharmo.training.weights import measured_weights


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run reads of its shards."""

    batches_from: Callable[[int], Iterator[Batch]]
    """Number of the first batch -> batches; a resumed run skips those it has used."""
    crops_of: CropsOf
    """To measure how domains differ."""
    pixel_of: PixelOf
    samples: Int16[np.ndarray, "k h w"]
    """One slice a domain, HU, translated in the sample pictures."""


def fit(config: Config, workdir: Path, data: TrainingData) -> int:
    """Train until ``config.train.steps``, from the newest sound checkpoint if there is one.

    Returns the last step. Raises ``FloatingPointError`` naming step, terms and last checkpoint
    where a loss is not finite, before such a state is saved; ``Preempted`` after SIGTERM, when the
    state is saved; ``OSError`` where that fails.
    """
    with (
        Checkpoints(workdir, config.train.keep_checkpoints) as checkpoints,
        Preemption() as preemption,
    ):
        last = _train(config, workdir, data, checkpoints, preemption)
    wait_for_all("saved")
    return last


def _train(
    config: Config,
    workdir: Path,
    data: TrainingData,
    checkpoints: Checkpoints,
    preemption: Preemption,
) -> int:
    mesh = make_mesh()
    batch_size = config.train.batch_size
    if batch_size % mesh.size:
        raise InputError(
            f"--train.batch-size {batch_size} is not divisible by the {mesh.size} devices"
        )
    program = step_program(config, mesh)
    in_mm = config.model.generator.in_mm
    pixels = [data.pixel_of(number) for number in range(len(data.samples))] if in_mm else None
    sample_grid = build_sample_grid(program.networks, config, data.samples, pixels)
    rhythm, last = config.train, config.train.steps
    first = checkpoints.find_sound()
    state = program.start()
    if first:
        state = _merge(**checkpoints.restore(first, _parts(state)))
        message(f"resuming from step {first}")
    else:
        described = describe_domains(config, data.crops_of, data.pixel_of)
        state = dataclasses.replace(state, changes=place_as(state.changes, described))
    if first > last:
        message(f"--train.steps {last} is less than the run has; nothing is trained")
    if first >= last:
        return first
    if config.train.shard_state:
        message(f"state: {_shares(state)}")
    stride = rhythm.steps_per_dispatch
    batches = grouped(data.batches_from(first), stride)
    batch = to_global(mesh, next(batches))
    shown = is_main_process()
    if shown:
        message("compiling the training step")
    run_step = program.lower().compile()
    preemption.begin()
    metrics: Metrics = {}
    clock = _Clock(batch_size)
    with (
        MetricsWriter(workdir, first) if shown else nullcontext() as writer,
        Progress("training", last, "step", done=first, shown=shown) as progress,
    ):
        for step in range(first + stride, last + 1, stride):
            before = metrics
            state, metrics = run_step(state, batch)
            if step < last:
                batch = to_global(mesh, next(batches))
            # One step in flight: the next batch is read while the device works on this one.
            _read(step - stride, before, checkpoints)
            checkpoints.raise_failure()
            stopped = preemption.reached()
            logged = step % rhythm.log_every == 0 or step in (stride, last)
            saved = step % rhythm.checkpoint_every == 0 or step == last or stopped
            drawn = step % rhythm.sample_every == 0 or step == last
            values = _read(step, metrics, checkpoints) if logged or saved else {}
            if writer and logged:
                writer.scalars(step, values | clock.read(step))
            if drawn:
                average, changes = gather(mesh, (state.ema, state.changes))
                if writer:
                    writer.picture(step, TRANSLATIONS, sample_grid(average))
                    write_page(workdir, step, config, measured_weights(changes, config))
            if saved:
                checkpoints.save(step, _parts(state))
            if stopped:
                checkpoints.wait()
                raise Preempted(f"SIGTERM: step {step} is saved; run the same command again")
            progress.advance(stride)
    return last


def _parts(state: TrainState) -> dict[str, Any]:
    """What a checkpoint holds; the average apart, because all but training needs only that.

    The position in the data is the step: batch n is read for step n + 1.
    """
    rest = {"step": state.step, "params": state.params, "opt_state": state.opt_state}
    if state.changes:
        rest["changes"] = {name: dataclasses.asdict(sums) for name, sums in state.changes.items()}
    return {"ema": state.ema, "state": rest}


def _merge(ema: dict, state: dict) -> TrainState:
    changes = {name: Memory(**sums) for name, sums in state.pop("changes", {}).items()}
    return TrainState(ema=ema, changes=changes, **state)


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


def _read(step: int, metrics: Metrics, checkpoints: Checkpoints) -> dict[str, float]:
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        with suppress(OSError):
            checkpoints.wait()
        good = max(checkpoints.steps, default=0)
        kept = f"the last good checkpoint is that of step {good}" if good else "none was saved yet"
        raise FloatingPointError(f"step {step}: {', '.join(broken)} not finite; {kept}")
    return values


def _shares(state: TrainState) -> str:
    """How much of the state one device holds."""
    leaves = jax.tree.leaves(state)
    whole = sum(leaf.nbytes for leaf in leaves)
    part = sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)
    return f"{whole:,} bytes, {part:,} on each device"
