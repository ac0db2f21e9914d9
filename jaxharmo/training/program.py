"""The training step as one program for a row of devices, which need not be here."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxharmo.config import Config
from jaxharmo.models.networks import Networks, build
from jaxharmo.runtime import place_state, replicated, split_by_batch
from jaxharmo.training.optim import Optimizers, build_optimizers
from jaxharmo.training.state import TrainState, init_state
from jaxharmo.training.step import build_step

_ONE_ALL_REDUCE = {"xla_gpu_all_reduce_combine_threshold_bytes": str(2**31)}
"""For GPUs: the gradients of an update are summed over them in one piece, of at most so many bytes.
XLA's own limit is less than the weights of one network."""


@dataclasses.dataclass(frozen=True)
class StepProgram:
    """The step of a config over the devices of a mesh, not compiled yet."""

    networks: Networks
    optimizers: Optimizers
    start: Callable[[], TrainState]
    """The first state, on the devices."""
    step: Any
    """``jax.jit`` of the step; the state that it is given is used up."""
    state: TrainState
    """Shapes and places of the state's leaves."""
    batch: dict[str, jax.ShapeDtypeStruct]
    """The same of a batch's arrays."""

    def lower(self) -> Any:
        """The step as JAX hands it to the compiler."""
        return self.step.lower(self.state, self.batch)


def step_program(config: Config, mesh: Mesh) -> StepProgram:
    """The step of ``config`` on ``mesh``, whose devices must divide the batch."""
    networks = build(config)
    optimizers = build_optimizers(config.optim, networks.__dataclass_fields__)
    start = partial(init_state, networks, optimizers, config)
    shapes = jax.eval_shape(start)
    placed = place_state(mesh, shapes, shard=config.train.shard_state)
    # Small, and needed whole by every update: cut, they would be sent around in many pieces.
    whole = place_state(mesh, shapes.changes, shard=False)
    placed = dataclasses.replace(placed, changes=whole)
    step = jax.jit(
        build_step(networks, optimizers, config, at_once=mesh.size > 1),
        donate_argnums=0,
        out_shardings=(placed, replicated(mesh)),
        compiler_options=_ONE_ALL_REDUCE if mesh.devices.flat[0].platform == "gpu" else None,
    )
    put = lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)  # noqa: E731
    batch = {name: put(leaf, split_by_batch(mesh)) for name, leaf in _batch_shapes(config).items()}
    state = jax.tree.map(put, shapes, placed)
    return StepProgram(
        networks, optimizers, jax.jit(start, out_shardings=placed), step, state, batch
    )


def _batch_shapes(config: Config) -> dict[str, jax.ShapeDtypeStruct]:
    """Of what ``data.pipeline`` reads and groups."""
    count, stride, size = config.train.batch_size, config.train.steps_per_dispatch, config.data.crop
    lead = (count,) if stride == 1 else (count, stride)
    pixels = lambda *shape: jax.ShapeDtypeStruct((*lead, *shape, size, size), np.int16)  # noqa: E731
    domains = jax.ShapeDtypeStruct(lead, np.int32)
    return {
        "source": pixels(),
        "source_domain": domains,
        "source_pixel": jax.ShapeDtypeStruct(lead, np.float32),
        "reference": pixels(2),
        "target_domain": domains,
    }


class Memory(NamedTuple):
    """What a compiled program holds on each device, bytes."""

    arguments: int
    temporaries: int
    results: int
    peak: int
    """All at once; results that take an argument's place count once."""

    @classmethod
    def of(cls, compiled: Any) -> "Memory | None":
        """Of ``compiled``; None where the compiler does not report it."""
        told = compiled.memory_analysis()
        if told is None:
            return None
        held = told.argument_size_in_bytes + told.output_size_in_bytes - told.alias_size_in_bytes
        return cls(
            arguments=told.argument_size_in_bytes,
            temporaries=told.temp_size_in_bytes,
            results=told.output_size_in_bytes,
            peak=held + told.temp_size_in_bytes,
        )
