"""``jaxharmo plan``."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxharmo.commands.chosen_config import ChosenConfig, parse_with_config
from jaxharmo.console import message
from jaxharmo.planning.machines import find_machine
from jaxharmo.planning.plan import plan
from jaxharmo.planning.report import lines


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Compile the training step for other hardware: memory, and a lower bound of the time.

    Needs the compiler of that machine: the extra plan-tpu or plan-cuda.
    """

    on: str
    """Machine: h100:8, h200:1, b200:8, a100:4, l4:1, v5e:2x4, v5p:2x2x2, v6e:4x4 and others."""
    chosen: Annotated[ChosenConfig, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=ChosenConfig
    )
    domains: int = 3
    """Domains where the config names none."""
    variants: bool = False
    """Compile also with another compute dtype, remat, accumulation and sharding of the state."""
    largest_batch: bool = False
    """Look for the largest batch that fits; compiles five to twenty times."""
    json: Path | None = None
    """File to write the figures to."""

    def run(self) -> None:
        """Compile and print."""
        machine = find_machine(self.on)
        figures = plan(
            self.chosen.load(tuple(map(str, range(self.domains)))),
            machine,
            variants=self.variants,
            largest_batch=self.largest_batch,
            report=message,
        )
        print("\n".join(lines(figures)))
        if self.json:
            self.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def parse(args: Sequence[str], prog: str) -> Any:
    """The options in ``args``, with the values of the chosen config as defaults."""
    return parse_with_config(Plan, args, prog)
