"""The unit of work: some slices of one domain -> their records, in files under a passing name.

A unit depends on the plan alone, so whoever does it, in whatever order, writes the same bytes.
"""

import dataclasses
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from array_record.python.array_record_module import ArrayRecordWriter

from jaxharmo.data.prepare.config import PrepareConfig
from jaxharmo.data.prepare.cutting import cut
from jaxharmo.data.prepare.headers import Skipped, SliceFile
from jaxharmo.data.prepare.pixels import PixelError, Pixels, read_slices
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
class Unit:
    """Slices of one domain, sorted by series and position."""

    number: int
    domain: int
    slices: tuple[Planned, ...]


@dataclasses.dataclass(frozen=True)
class UnitResult:
    """What came of a unit."""

    slices: dict[str, int]
    """Records written, by split."""
    series: dict[str, int]
    """Records written, by pseudonym."""
    skipped: list[Skipped]


def write_unit(unit: Unit, folder: Path, config: PrepareConfig) -> UnitResult:
    """Write ``unit`` below ``folder``; its result file appears last and says that all is there."""
    try:
        return _write_unit(unit, folder, config)
    except OSError as error:
        raise OSError(f"{folder}: {error.strerror or error}") from None


def record_path(folder: Path, number: int, split: str) -> Path:
    """Of the records of one unit and split, until they get their final name."""
    return folder / f"{number:06d}-{split}.arrayrecord"


def result_path(folder: Path, number: int) -> Path:
    """Of the result of a unit."""
    return folder / f"{number:06d}.json"


def read_result(folder: Path, number: int) -> UnitResult | None:
    """The result of a unit; None where it is not done."""
    try:
        content = json.loads(result_path(folder, number).read_text(encoding="utf-8"))
        return build(UnitResult, content, "unit")
    except FileNotFoundError:
        return None
    except (ValueError, InputError):
        # A disk that was full, or a power cut: the unit is done again.
        return None


def _write_unit(unit: Unit, folder: Path, config: PrepareConfig) -> UnitResult:
    counts: Counter[str] = Counter()
    by_series: Counter[str] = Counter()
    skipped: list[Skipped] = []
    mark = f"{os.uname().nodename if hasattr(os, 'uname') else ''}-{os.getpid()}.partial"
    partials: dict[str, Path] = {}
    writers: dict[str, Any] = {}
    with ExitStack() as stack:
        for planned, made in _cuts(unit, config):
            if isinstance(made, str):
                skipped.append(Skipped(planned.item.label, made, lost=True))
                continue
            split = planned.split
            if split not in writers:
                partials[split] = folder / f"{unit.number:06d}-{split}-{mark}"
                writers[split] = ArrayRecordWriter(str(partials[split]), WRITER_OPTIONS)
                stack.callback(writers[split].close)
            writers[split].write(encode(made))
            counts[split] += 1
            by_series[planned.series] += 1
    for split, partial in partials.items():
        partial.replace(record_path(folder, unit.number, split))
    result = UnitResult(dict(counts), dict(sorted(by_series.items())), skipped)
    partial = folder / f"{unit.number:06d}-{mark}"
    partial.write_text(json.dumps(dataclasses.asdict(result)), encoding="utf-8")
    partial.replace(result_path(folder, unit.number))
    return result


def _cuts(unit: Unit, config: PrepareConfig) -> Iterator[tuple[Planned, Slice | str]]:
    """The slice to write, or the reason why there is none, for everything in the unit."""
    by_place = itertools.groupby(
        zip(unit.slices, read_slices([planned.item for planned in unit.slices]), strict=True),
        key=lambda pair: (pair[0].series, pair[0].item.position),
    )
    for _, group in by_place:
        found = False
        for planned, (_, pixels) in group:
            if found:
                yield planned, DOUBLE
            elif isinstance(pixels, PixelError):
                yield planned, str(pixels)
            else:
                found = True
                yield planned, _made(unit, planned, pixels, config)


def _made(unit: Unit, planned: Planned, pixels: Pixels, config: PrepareConfig) -> Slice | str:
    item = planned.item
    made = cut(pixels, item.spacing, config, _twin(planned) if config.masks else None)
    if isinstance(made, str):
        return made
    header = SliceHeader(
        domain=unit.domain,
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


def _twin(planned: Planned) -> Pixels | None:
    """The first readable reconstruction at this place, where it is not the slice itself."""
    for twin in planned.twins:
        if twin == planned.item:
            return None
        ((_, pixels),) = read_slices([twin])
        if isinstance(pixels, Pixels) and pixels.hu.shape == planned.item.shape:
            return pixels
    return None
