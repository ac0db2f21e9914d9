"""How long a step would take at best: a roofline of operations, memory and links.

Williams, Waterman, Patterson: Roofline (doi 10.1145/1498765.1498785). It is a lower bound: kernels
do not reach the peak figures, small ones wait to be started, and nothing is counted for the host.
"""

from typing import NamedTuple

from jaxharmo.hlo import Collectives, Program
from jaxharmo.planning.machines import Machine

_DAY = 86_400
_ROUNDS = {
    # Of n devices in a ring: bytes that each sends, by those that it gives in.
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-gather": lambda n: n - 1,
    "reduce-scatter": lambda n: (n - 1) / n,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-permute": lambda n: 1.0,
}


class Estimate(NamedTuple):
    """Seconds of a step by what limits it, and of a run."""

    compute: float
    memory: float
    links: float
    step: float
    """The longer of computing and memory, which overlap, and then the links."""
    days: float
    """Of all steps."""
    device_hours: float


def estimate(
    program: Program, machine: Machine, dtype: str, *, steps: int, operations: float = 0.0
) -> Estimate:
    """The estimate for one step a call of ``program``; ``operations`` are a lower bound of them.

    Products count at the peak rate of ``dtype``.
    """
    card = machine.card
    compute = max(program.operations, operations) / card.peaks[dtype]
    memory = program.bytes / card.memory_rate
    links = seconds_of_links(program.collectives, machine)
    step = max(compute, memory) + links
    seconds = steps * step
    return Estimate(compute, memory, links, step, seconds / _DAY, seconds / 3600 * machine.devices)


def seconds_of_links(collectives: dict[str, Collectives], machine: Machine) -> float:
    """Seconds that the collectives take in a ring at the full rate of a device's links."""
    sent = sum(found.bytes * _ROUNDS[kind](machine.devices) for kind, found in collectives.items())
    return sent / machine.card.link_rate
