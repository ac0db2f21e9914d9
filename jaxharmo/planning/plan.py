"""A training step on a machine that is not here: does it fit, what does it do, how long at best."""

import dataclasses
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jaxlib.version

from jaxharmo.config import Config, check
from jaxharmo.errors import InputError
from jaxharmo.hlo import Collectives, Program, read_program
from jaxharmo.planning.estimate import estimate
from jaxharmo.planning.machines import Machine
from jaxharmo.planning.target import absent_devices
from jaxharmo.runtime import make_mesh
from jaxharmo.training.flops import step_flops
from jaxharmo.training.program import Memory, step_program

DISAGREEMENT = 2.0
"""Factor between compiled and counted operations above which a plan warns."""
_OUT_OF_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|[Rr]an out of memory")
_USED = re.compile(r"Used (\d+(?:\.\d+)?)([KMG]) of (\d+(?:\.\d+)?)([KMG])")
_ALLOCATED = re.compile(r"Allocation \(size=(\d+)\)")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
Report = Callable[[str], None]


def plan(
    config: Config, machine: Machine, *, variants: bool, largest_batch: bool, report: Report
) -> dict:
    """Figures of the step of ``config`` on ``machine``; ``report`` gets a line a compilation.

    Bytes are those of one device, operations and collectives those of one step. ``variants`` adds
    ``variants``, the same with one choice changed each; ``largest_batch`` adds the largest batch
    that fits. Raises ``InputError``, before it compiles, where the devices do not divide the
    batch, or the compiler is missing.
    """
    check_divides(config, machine)
    devices = absent_devices(machine)

    def compiled(name: str, changed: Config) -> dict:
        report(f"compiling {name} for {machine.name}")
        return plan_step(changed, machine, devices)

    figures = {
        "machine": machine.name,
        "source_of_peaks": machine.card.source,
        "devices": machine.devices,
        "device_kind": devices[0].device_kind,
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "crop": config.data.crop,
        "batch": config.train.batch_size,
        **compiled("the step", config),
    }
    if variants:
        figures["variants"] = {
            name: compiled(name, changed) for name, changed in changes(config, machine).items()
        }
    if largest_batch:

        def fits(batch: int) -> bool:
            changed = _replaced(config, batch_size=batch)
            return compiled(f"batch {batch}", changed)["fits"]

        figures["largest_batch"] = find_largest_batch(
            config.train.batch_size,
            math.lcm(machine.devices, config.train.accumulate),
            fits,
            figures["fits"],
        )
    return figures


def check_divides(config: Config, machine: Machine) -> None:
    """``InputError`` where the batch does not divide over the devices."""
    batch = config.train.batch_size
    if batch % machine.devices:
        raise InputError(
            f"--on {machine.name}: --train.batch-size {batch} does not divide over "
            f"{machine.devices} devices; take a multiple of {machine.devices}"
        )


def changes(config: Config, machine: Machine) -> dict[str, Config]:
    """The config with one choice changed each, by the option that does it."""
    train = config.train
    other = "bfloat16" if train.compute_dtype == "float32" else "float32"
    chosen = {
        f"--train.compute-dtype {other}": {"compute_dtype": other},
        "--train.no-remat" if train.remat else "--train.remat": {"remat": not train.remat},
    }
    twice = 2 * train.accumulate
    if train.batch_size % (twice * machine.devices) == 0:
        chosen[f"--train.accumulate {twice}"] = {"accumulate": twice}
    if machine.devices > 1:
        name = "--train.no-shard-state" if train.shard_state else "--train.shard-state"
        chosen[name] = {"shard_state": not train.shard_state}
    return {name: check(_replaced(config, **fields)) for name, fields in chosen.items()}


def _replaced(config: Config, **fields: Any) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **fields))


def find_largest_batch(
    start: int, granule: int, fits: Callable[[int], bool], start_fits: bool
) -> int:
    """About the largest multiple of ``granule`` that fits, 0 where none does.

    Doubles from ``start`` until one does not fit, then halves what lies between until that is less
    than a sixteenth.
    """
    low, high = (start, 2 * start) if start_fits else (0, start)
    while start_fits and fits(high):
        low, high = high, 2 * high
    low, high = low // granule, high // granule
    while high - low > max(1, low // 16):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * granule) else (low, middle)
    return low * granule


def plan_step(config: Config, machine: Machine, devices: Sequence[Any]) -> dict:
    """Compile one step and analyse it."""
    program = step_program(config, make_mesh(devices))
    usable = machine.card.memory * machine.card.share
    started, busy = time.perf_counter(), processor_time()
    try:
        compiled = program.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if not _OUT_OF_MEMORY.search(str(error)):
            raise
        # A TPU's compiler gives up where memory is short.
        return {"fits": False, "peak_bytes": _needed(str(error)), "usable_bytes": usable}
    seconds, busy = time.perf_counter() - started, processor_time() - busy
    memory = Memory.of(compiled)
    assert memory, "compilers for accelerators report memory"
    counted = step_flops(program.networks, config) / machine.devices
    done = _of_one_step(read_program(compiled.as_text() or ""), config.train.steps_per_dispatch)
    at_best = estimate(
        done,
        machine,
        config.train.compute_dtype,
        steps=config.train.steps,
        operations=counted,
    )
    return {
        "fits": memory.peak <= usable,
        "peak_bytes": memory.peak,
        "usable_bytes": usable,
        "argument_bytes": memory.arguments,
        "temporary_bytes": memory.temporaries,
        "result_bytes": memory.results,
        "compute_dtype": config.train.compute_dtype,
        "operations": done.operations,
        "operations_counted": counted,
        "bytes_moved": done.bytes,
        "kernels": done.kernels,
        "collectives": {kind: found._asdict() for kind, found in done.collectives.items()},
        "seconds_compile": seconds,
        "seconds_cpu": busy,
        "steps": config.train.steps,
        "estimate": {
            "seconds_compute": at_best.compute,
            "seconds_memory": at_best.memory,
            "seconds_links": at_best.links,
            "seconds_step": at_best.step,
            "days": at_best.days,
            "device_hours": at_best.device_hours,
        },
        "warnings": warnings(done.operations, counted),
    }


def processor_time() -> float:
    """Of this process and of the assemblers that XLA has started for NVIDIA's cards, seconds."""
    return sum(os.times()[:4])


def _needed(complaint: str) -> float | None:
    """Bytes needed at least, from a compiler's error of too little memory; None if not given."""
    if used := _USED.search(complaint):
        return float(used[1]) * _UNITS[used[2]]
    one = _ALLOCATED.search(complaint)
    return float(one[1]) if one else None


def _of_one_step(program: Program, steps: int) -> Program:
    collectives = {
        kind: Collectives(found.count // steps, found.bytes // steps)
        for kind, found in program.collectives.items()
    }
    return Program(
        program.operations / steps, program.bytes / steps, program.kernels // steps, collectives
    )


def warnings(compiled: float, counted: float) -> list[str]:
    """A warning if the two counts of operations disagree."""
    ratio = compiled / counted if counted else 1.0
    if 1 / DISAGREEMENT <= ratio <= DISAGREEMENT:
        return []
    return [
        f"the compiled step has {ratio:.2g} times the operations of its networks "
        f"({compiled:.3g} and {counted:.3g} a device), not counting losses, textures and "
        "recomputation; the estimate uses the larger number"
    ]
