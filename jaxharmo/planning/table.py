"""The table of plans in a Markdown file: one row a config, its options and a machine.

A row is added as soon as its plan is made, so that a long list of machines can be interrupted and
goes on where it stopped.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxharmo.config import Config
from jaxharmo.files import write_text
from jaxharmo.planning.report import collectives, duration, size

_COLUMNS = (
    "config, options",
    "machine",
    "fits",
    "holds a device (temporaries)",
    "operations a device (of the networks)",
    "moved a device, kernels",
    "collectives a step",
    "compiled in (CPU time)",
    "a step at least",
    "the run at least",
)


def label(name: str, config: Config, shipped: Config) -> str:
    """``name`` and the options that make ``config`` of the ``shipped`` one."""
    own = dict(_leaves(shipped))
    options = [
        f"`--{path.replace('_', '-')} {value}`"
        for path, value in _leaves(config)
        if own.get(path) != value and path != "data.domains"
    ]
    return ", ".join([f"`{Path(name).stem}`", *options])


def _leaves(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not dataclasses.is_dataclass(config):
        yield path, config
        return
    for field in dataclasses.fields(config):
        yield from _leaves(getattr(config, field.name), f"{path}.{field.name}".lstrip("."))


def has_row(path: Path, name: str, machine: str) -> bool:
    """Whether the table in ``path`` has a row of this label and machine."""
    start = _line([name, f"`{machine}`"]).rstrip("|")
    return path.exists() and any(
        line.startswith(start) for line in path.read_text(encoding="utf-8").splitlines()
    )


def add_row(path: Path, name: str, figures: dict) -> None:
    """Add a row below the table in ``path``, which gets one at its end if it has none."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = text.splitlines()
    header = _line(_COLUMNS)
    if header not in lines:
        lines += [*([""] if lines else []), header, "|" + "---|" * len(_COLUMNS)]
    end = lines.index(header)
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    lines.insert(end, _line([name, f"`{figures['machine']}`", *_cells(figures)]))
    write_text(path, "\n".join(lines) + "\n")


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(figures: dict) -> list[str]:
    peak = size(figures["peak_bytes"]) if figures["peak_bytes"] else "?"
    if "estimate" not in figures:
        # A compiler that gives up for want of memory tells nothing else.
        return ["no", f"at least {peak}", *["–"] * 6]
    at_best = figures["estimate"]
    return [
        "yes" if figures["fits"] else "no",
        f"{peak} ({size(figures['temporary_bytes'])})",
        f"{figures['operations']:.3g} ({figures['operations_counted']:.3g})",
        f"{size(figures['bytes_moved'])}, {figures['kernels']:,}",
        collectives(figures["collectives"]),
        f"{figures['seconds_compile']:.0f} s ({figures['seconds_cpu']:.0f} s)",
        duration(at_best["seconds_step"]),
        duration(at_best["days"] * 86_400),
    ]
