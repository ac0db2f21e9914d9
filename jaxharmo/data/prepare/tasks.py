"""A task: some slices of one domain -> their records, in files under a passing name.

A task depends on the plan alone, so whoever does it, in whatever order, writes the same bytes.
"""

import dataclasses
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from jaxharmo.data.prepare.config import PrepareConfig
from jaxharmo.data.prepare.headers import Skipped, SliceFile
from jaxharmo.data.prepare.pixels import PixelError, Pixels, read_slices
from jaxharmo.data.prepare.preprocessing import preprocess
from jaxharmo.data.records import WRITER_OPTIONS, Slice, SliceHeader, encode
from jaxharmo.errors import InputError
from jaxharmo.typed import build

DOUBLE = "another slice of the series at its position"


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """A slice and where it goes."""

    item: SliceFile
    split: str
    patient: str
    series: str
    acquisition: str
    """Pseudonyms."""
    twins: tuple[SliceFile, ...]
    """All reconstructions at this place, itself among them, where there are others."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Slices of one domain, sorted by series and position."""

    number: int
    domain: int
    slices: tuple[Planned, ...]
    deadly: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Labels of slices whose decoding ends the process, and why; they are not read."""

    def items(self) -> Iterator[SliceFile]:
        """All slices that are read for it."""
        for planned in self.slices:
            yield planned.item
            yield from (twin for twin in planned.twins if twin != planned.item)


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """What came of a task."""

    slices: dict[str, int]
    """Records written, by split."""
    series: dict[str, int]
    """Records written, by pseudonym."""
    skipped: list[Skipped]
    contested: dict[str, int] = dataclasses.field(default_factory=dict)
    """Places at which slices of a series differ, by pseudonym."""


def decode_slice(item: SliceFile) -> None:
    """Read the pixels of one slice only to test whether its decoder ends the process."""
    for _ in read_slices([item]):
        pass


def write_task(task: Task, folder: Path, config: PrepareConfig) -> TaskResult:
    """Write ``task`` below ``folder``; its result file is written last and marks it as complete."""
    try:
        return _write_task(task, folder, config)
    except OSError as error:
        raise OSError(f"{folder}: {error.strerror or error}") from None


def record_path(folder: Path, number: int, split: str) -> Path:
    """Of the records of one task and split, until they get their final name."""
    return folder / f"{number:06d}-{split}.arrayrecord"


def result_path(folder: Path, number: int) -> Path:
    """Of the result of a task."""
    return folder / f"{number:06d}.json"


def read_result(folder: Path, number: int) -> TaskResult | None:
    """The result of a task; None where it is not done."""
    try:
        content = json.loads(result_path(folder, number).read_text(encoding="utf-8"))
        return build(TaskResult, content, "task")
    except FileNotFoundError:
        return None
    except (ValueError, InputError):
        # A disk that was full, or a power cut: the task is done again.
        return None


def _write_task(task: Task, folder: Path, config: PrepareConfig) -> TaskResult:
    counts: Counter[str] = Counter()
    by_series: Counter[str] = Counter()
    contested: Counter[str] = Counter()
    skipped: list[Skipped] = []
    mark = f"{os.uname().nodename if hasattr(os, 'uname') else ''}-{os.getpid()}.partial"
    partials: dict[str, Path] = {}
    writers: dict[str, Any] = {}
    with ExitStack() as stack:
        for planned, made in _cuts(task, config, contested):
            if isinstance(made, str):
                skipped.append(Skipped(planned.item.label, made, lost=True))
                continue
            split = planned.split
            if split not in writers:
                partials[split] = folder / f"{task.number:06d}-{split}-{mark}"
                writers[split] = ArrayRecordWriter(str(partials[split]), WRITER_OPTIONS)
                stack.callback(writers[split].close)
            writers[split].write(encode(made))
            counts[split] += 1
            by_series[planned.series] += 1
    for split, partial in partials.items():
        partial.replace(record_path(folder, task.number, split))
    series, differing = dict(sorted(by_series.items())), dict(sorted(contested.items()))
    result = TaskResult(dict(counts), series, skipped, differing)
    partial = folder / f"{task.number:06d}-{mark}"
    partial.write_text(json.dumps(dataclasses.asdict(result)), encoding="utf-8")
    partial.replace(result_path(folder, task.number))
    return result


def _cuts(
    task: Task, config: PrepareConfig, contested: Counter[str]
) -> Iterator[tuple[Planned, Slice | str]]:
    """The slice to write, or the reason why there is none, for everything in the task.

    ``contested`` counts, by series, the places that are claimed by slices that differ.
    """
    before: tuple[Planned, Pixels] | None = None
    start = 0
    for (series, _), claims in itertools.groupby(_read(task), key=_place):
        chosen: tuple[Planned, Pixels] | None = None
        differ = False
        for number, (planned, pixels) in enumerate(claims, start=start):
            start = number + 1
            if isinstance(pixels, PixelError):
                yield planned, str(pixels)
                continue
            if chosen is None:
                chosen = planned, pixels
                continue
            loser = planned
            if not np.array_equal(pixels.hu, chosen[1].hu):
                differ = True
                near = before if before and before[0].series == series else None
                neighbour = near[1] if near else _next_pixels(task, start, planned)
                if _nearer(pixels, chosen[1], neighbour):
                    loser, chosen = chosen[0], (planned, pixels)
            yield loser, DOUBLE
        contested[series] += differ
        if chosen:
            before = chosen
            yield chosen[0], _made(task, *chosen, config)


def _read(task: Task) -> Iterator[tuple[Planned, Pixels | PixelError]]:
    found = read_slices([planned.item for planned in task.slices], task.deadly)
    for planned, (_, pixels) in zip(task.slices, found, strict=True):
        yield planned, pixels


def _place(read: tuple[Planned, object]) -> tuple[str, float]:
    return read[0].series, read[0].item.position


def _next_pixels(task: Task, start: int, here: Planned) -> Pixels | None:
    """The first readable slice from number ``start`` on, elsewhere in the series of ``here``."""
    for planned in task.slices[start:]:
        if planned.series == here.series and planned.item.position != here.item.position:
            ((_, pixels),) = read_slices([planned.item], task.deadly)
            if isinstance(pixels, Pixels):
                return pixels
    return None


def _nearer(one: Pixels, other: Pixels, neighbour: Pixels | None) -> bool:
    """Whether ``one`` is more like the slice beside it: damage, or another place, is less so."""
    if neighbour is None:
        return False
    distances = [float(np.abs(each.hu - neighbour.hu).mean()) for each in (one, other)]
    return distances[0] < distances[1]


def _made(task: Task, planned: Planned, pixels: Pixels, config: PrepareConfig) -> Slice | str:
    item = planned.item
    made = preprocess(pixels, item.spacing, config, _twin(task, planned) if config.masks else None)
    if isinstance(made, str):
        return made
    header = SliceHeader(
        domain=task.domain,
        patient=planned.patient,
        series=planned.series,
        acquisition=planned.acquisition,
        position=item.position,
        spacing=made.spacing,
        body=made.body,
        lung=made.lung,
        origin=made.origin,
    )
    return Slice(header, made.pixels)


def _twin(task: Task, planned: Planned) -> Pixels | None:
    """The first readable reconstruction at this place, where it is not the slice itself."""
    for twin in planned.twins:
        if twin == planned.item:
            return None
        ((_, pixels),) = read_slices([twin], task.deadly)
        if isinstance(pixels, Pixels) and pixels.hu.shape == planned.item.shape:
            return pixels
    return None
