"""``jaxharmo plan``."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxharmo.commands.chosen_config import ChosenConfig, parse_with_config
from jaxharmo.config_files import load_config
from jaxharmo.console import message
from jaxharmo.files import write_text
from jaxharmo.planning.machines import find_machine
from jaxharmo.planning.plan import check_divides, plan
from jaxharmo.planning.report import lines
from jaxharmo.planning.table import add_row, has_row, label


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Compile the training step for other hardware: memory, and a lower bound of the time.

    Needs the compiler of that machine: the extra plan-tpu or plan-cuda.
    """

    on: tuple[str, ...]
    """Machines: h100:8, h200:1, b200:8, a100:4, l4:1, v5e:2x4, v5p:2x2x2, v6e:4x4 and others."""
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
    """File to write the figures to: a list where there are several machines."""
    table: Path | None = None
    """Markdown file to whose table of plans each one is added; those that it has are not made
    again."""

    def run(self) -> None:
        """Compile and print."""
        machines = [find_machine(name) for name in self.on]
        config = self.chosen.load(tuple(map(str, range(self.domains))))
        for machine in machines:
            check_divides(config, machine)
        name = label(self.chosen.config, config, load_config(self.chosen.config))
        made = []
        for machine in machines:
            if self.table and has_row(self.table, name, machine.name):
                message(f"{self.table} has {machine.name}")
                continue
            figures = plan(
                config,
                machine,
                variants=self.variants,
                largest_batch=self.largest_batch,
                report=message,
            )
            print("\n".join(lines(figures)), flush=True)
            if self.table:
                add_row(self.table, name, figures)
            made.append(figures)
        if self.json:
            content = made[0] if len(machines) == len(made) == 1 else made
            write_text(self.json, json.dumps(content, indent=2) + "\n")


def parse(args: Sequence[str], prog: str) -> Any:
    """The options in ``args``, with the values of the chosen config as defaults."""
    return parse_with_config(Plan, args, prog)
