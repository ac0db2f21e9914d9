"""Processes, devices and where arrays lie on them."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxharmo.errors import InputError

DATA = "data"


def start_distributed() -> None:
    """Join the processes of a Slurm, Kubernetes or TPU job into one; before any other use of JAX.

    Raises ``InputError`` where there is no cluster to join: a process never goes on alone.
    """
    try:
        jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        (reason, *_) = [*str(error).strip().splitlines(), type(error).__name__]
        raise InputError(
            f"--distributed: no cluster to join ({reason}); start one process a task under Slurm, "
            "Kubernetes or on a TPU slice, or leave the option out"
        ) from error


def make_mesh() -> Mesh:
    """All devices of all processes in a row, along the axis ``data``."""
    # Explicit axes, the default, refuse the indexing by domain in a sharded batch.
    return jax.make_mesh((jax.device_count(),), (DATA,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_by_batch(mesh: Mesh) -> NamedSharding:
    """An array cut along its first axis, one piece a device."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def to_global(mesh: Mesh, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The batch of all processes on the devices, from the part that this process has read."""
    place = partial(jax.make_array_from_process_local_data, split_by_batch(mesh))
    return {name: place(value) for name, value in batch.items()}


def wait_for_all(what: str) -> None:
    """Return when every process has come here."""
    multihost_utils.sync_global_devices(what)


def is_main_process() -> bool:
    """Whether this process writes what is written once."""
    return jax.process_index() == 0


def process() -> tuple[int, int]:
    """Number of this process and how many there are."""
    return jax.process_index(), jax.process_count()
