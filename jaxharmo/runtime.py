"""Processes, devices and where arrays lie on them."""

import dataclasses
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxharmo.errors import InputError

DATA = "data"
_SMALLEST_CUT = 1024
_NO_CLUSTER = (
    "--distributed: no cluster to join ({}); start one process a task under Slurm, Kubernetes or "
    "on a TPU slice, name the processes by --coordinator HOST:PORT, --processes and --process, or "
    "leave the option out"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """How this process finds the others of its job."""

    distributed: bool = False
    """Join the processes of a Slurm, Kubernetes or TPU job, or those named below, into one run."""
    coordinator: str | None = None
    """HOST:PORT of process 0, if the cluster does not provide it; use with the next two."""
    processes: int | None = None
    """How many processes there are."""
    process: int | None = None
    """The number of this process, from 0."""
    join_seconds: int = 300
    """How long to wait for the others."""


def start_distributed(cluster: Cluster) -> None:
    """Join the processes of a job into one; before any other use of JAX.

    Raises ``InputError`` where there is no cluster to join: a process never continues alone. One
    that waits in vain ends with the same line and code 2, because nothing can interrupt JAX there.
    """
    named = (cluster.coordinator, cluster.processes, cluster.process)
    if not cluster.distributed:
        if named != (None, None, None):
            raise InputError("--coordinator, --processes and --process are for --distributed")
        return
    if None in named and named != (None, None, None):
        raise InputError("--distributed: give all of --coordinator, --processes and --process")
    # JAX itself waits for ever, or aborts the process with a stack trace.
    impatience = threading.Timer(cluster.join_seconds, _give_up, (cluster.join_seconds,))
    impatience.daemon = True
    impatience.start()
    try:
        jax.distributed.initialize(*named, initialization_timeout=cluster.join_seconds + 60)
    except (RuntimeError, ValueError) as error:
        (reason, *_) = [*str(error).strip().splitlines(), type(error).__name__]
        raise InputError(_NO_CLUSTER.format(reason)) from error
    finally:
        impatience.cancel()


def _give_up(seconds: int) -> None:
    reason = f"not all processes came within {seconds} seconds"
    print(f"error: {_NO_CLUSTER.format(reason)}", file=sys.stderr, flush=True)
    os._exit(2)


def keep_compilations() -> None:
    """Keep compiled programs in the user's cache folder, so that the next start is quick.

    JAX_COMPILATION_CACHE_DIR names another folder, JAX_ENABLE_COMPILATION_CACHE=false leaves it.
    JAX's keys cover program, options, versions and device; what cannot be read is compiled again.
    """
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(root / "jaxharmo" / "compiled"))


def leave_cluster() -> None:
    """Part from the other processes, all at once; after it only local devices can be used."""
    jax.distributed.shutdown()


def is_alone() -> bool:
    """Whether there are no other processes to wait for: none were joined, or it has parted."""
    return not jax.distributed.is_initialized()


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Devices in a row, along the axis ``data``: those given, or all of all processes."""
    count = jax.device_count() if devices is None else len(devices)
    # Explicit axes, the default, refuse the indexing by domain in a sharded batch.
    return jax.make_mesh((count,), (DATA,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_by_batch(mesh: Mesh) -> NamedSharding:
    """An array cut along its first axis, one piece a device."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def place_state(mesh: Mesh, state: Any, *, shard: bool) -> Any:
    """Where the leaves of a state lie: replicated, or each cut into one piece a device.

    A leaf is cut along its longest axis that the number of devices divides; leaves below 1,024
    numbers, and those without such an axis, are replicated.
    """

    def place(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        axes = [axis for axis, length in enumerate(leaf.shape) if length % mesh.size == 0]
        if not shard or leaf.size < _SMALLEST_CUT or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*(None,) * longest, DATA))

    return jax.tree.map(place, state)


def gather(mesh: Mesh, tree: Any) -> Any:
    """A tree on the host, whole in every process; all of them have to come here."""
    return jax.device_get(jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree))


def place_as(like: Any, tree: Any) -> Any:
    """Arrays of the main process on the devices, each where that of ``like`` lies.

    All processes have to come here, with arrays of the same shapes.
    """
    if not is_alone():
        tree = multihost_utils.broadcast_one_to_all(tree)

    def place(leaf: Any, old: jax.Array) -> jax.Array:
        values = np.asarray(leaf, old.dtype)
        return jax.make_array_from_callback(values.shape, old.sharding, lambda cut: values[cut])

    return jax.tree.map(place, tree, like)


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


def agree(value: int) -> int:
    """The main process's ``value``, in every process; all have to come here."""
    if is_alone():
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def anywhere(flag: bool) -> bool:
    """Whether ``flag`` is true in any process; all have to come here."""
    return flag if is_alone() else bool(multihost_utils.process_allgather(np.int32(flag)).any())


def process() -> tuple[int, int]:
    """Number of this process and how many there are."""
    return jax.process_index(), jax.process_count()
