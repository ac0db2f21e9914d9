"""Devices that are not here, for the compiler."""

import contextlib
import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import topologies

from jaxharmo.errors import InputError
from jaxharmo.planning.machines import Card, Gpu, Machine

_EXTRAS = {
    "tpu": ("libtpu", "plan-tpu"),
    "cuda": ("jax_plugins.xla_cuda13", "plan-cuda"),
}
"""By the kind of a card: the package that holds its compiler, and the extra that brings it."""
_TPU_ENVIRONMENT = {
    # Otherwise libtpu queries the cloud's metadata server, with long waits.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    # A TPU has one process at a time; where none is used, plans may run side by side.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
_CHIPS_OF_A_HOST = (2, 2, 1)


def check_compiler(kind: str) -> None:
    """``InputError`` with the command that installs it, where a compiler is missing."""
    package, extra = _EXTRAS[kind]
    with contextlib.suppress(ModuleNotFoundError):
        if importlib.util.find_spec(package):
            return
    raise InputError(
        f"compiling for {kind} needs the extra {extra} ({package} is missing): "
        f"pip install 'jaxharmo[{extra}]' (in a clone: pip install -e '.[{extra}]')"
    )


def absent_devices(machine: Machine) -> Sequence[Any]:
    """The devices of ``machine``, good for lowering and compiling and for nothing else.

    Raises ``InputError`` where the compiler is missing, or refuses the machine.
    """
    kind = machine.card.kind
    check_compiler(kind)
    # The devices of this machine have no part in it.
    jax.config.update("jax_platforms", "cpu")
    try:
        if kind == "tpu":
            return _tpu(machine)
        return _gpus(machine)
    except (jax.errors.JaxRuntimeError, NotImplementedError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--on {machine.name}: the compiler refuses it ({reason})") from error


def _tpu(machine: Machine) -> Sequence[Any]:
    for name, value in _TPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    shape = (*machine.shape, 1)[:3]
    host = tuple(min(chips, length) for chips, length in zip(_CHIPS_OF_A_HOST, shape, strict=True))
    topology = topologies.get_topology_desc(
        platform="tpu", topology_name=machine.name, chips_per_host_bounds=host
    )
    return topology.devices


def _gpus(machine: Machine) -> Sequence[Any]:
    assert machine.card.gpu
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    # Slices, hosts, devices.
    topology = f"1x1x{machine.devices}"
    found = topologies.get_topology_desc(
        platform="cuda",
        topology_name=topology,
        topology=topology,
        target_config=target_config(machine.card, machine.card.gpu),
    )
    return found.devices


def target_config(card: Card, gpu: Gpu) -> str:
    """The card as text of XLA's ``GpuTargetConfigProto``.

    Limits of threads and registers are those of all cards since Pascal (CUDA programming guide,
    "Compute capabilities").
    """
    major, minor = gpu.capability
    device = {
        "threads_per_block_limit": 1024,
        "threads_per_warp": 32,
        "shared_memory_per_block": 49_152,
        "shared_memory_per_core": gpu.shared,
        "shared_memory_per_block_optin": gpu.shared_of_block,
        "threads_per_core_limit": gpu.threads,
        "core_count": gpu.cores,
        "fpus_per_core": gpu.fpus,
        "block_dim_limit_x": 2_147_483_647,
        "block_dim_limit_y": 65_535,
        "block_dim_limit_z": 65_535,
        "memory_bandwidth": round(card.memory_rate),
        "l2_cache_size": gpu.l2,
        "clock_rate_ghz": gpu.clock_ghz,
        "device_memory_size": round(card.memory),
        "registers_per_core_limit": 65_536,
        "registers_per_block_limit": 65_536,
    }
    features = "ACCELERATED_FEATURES" if gpu.extended else "NONE"
    return "\n".join(
        [
            "gpu_device_info {",
            *(f"  {name}: {value}" for name, value in device.items()),
            f"  cuda_compute_capability {{ major: {major} minor: {minor} "
            f"feature_extension: {features} }}",
            "}",
            'platform_name: "CUDA"',
            "dnn_version_info { major: 9 minor: 10 patch: 0 }",
            "runtime_version { major: 13 minor: 0 patch: 0 }",
            f'device_description_str: "{gpu.description}"',
            "",
        ]
    )
