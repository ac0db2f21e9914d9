"""The unit of work: some slices of one series -> their records in all virtual domains.

A unit depends on the plan alone and runs on one thread, so whoever does it, in whatever order,
writes the same bytes.
"""

import dataclasses
import functools
import os
from pathlib import Path

import jax
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from jaxtyping import Float

from jaxharmo.data.manifest import Domain
from jaxharmo.data.records import WRITER_OPTIONS, Slice, SliceHeader, encode
from jaxharmo.data.rescan.acquire import scan
from jaxharmo.data.rescan.objects import make_object
from jaxharmo.data.rescan.scanner import Scanner
from jaxharmo.data.shards import SliceSource
from jaxharmo.runtime import keep_compilations

SLICES = 4
"""Of a unit at most: they share the places that are read in the fine grid."""
Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Unit:
    """Slices of one series, one split, one shape and one spacing."""

    number: int
    split: str
    domain: Domain
    """Of the source."""
    slices: tuple[int, ...]
    """Their numbers in it."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What is the same for all units."""

    source: Path
    folder: Path
    """For the records that are done."""
    scanners: tuple[Scanner, ...]
    seed: int
    window: tuple[float, float]
    all_grids: bool
    """Whether every split is on the grids of all scanners, as the test split is."""


def is_done(folder: Path, number: int) -> bool:
    """Whether a unit's records are all there."""
    return _mark(folder, number).exists()


def record_path(folder: Path, number: int, domain: int) -> Path:
    """Of the records of one unit and virtual domain."""
    return folder / f"{number:06d}-{domain:03d}.arrayrecord"


def write_unit(unit: Unit, work: Work) -> None:
    """Scan the slices and write the records."""
    _be_frugal()
    slices = SliceSource(work.source, unit.split, unit.domain)
    items = [slices[number] for number in unit.slices]
    spacing = items[0].header.spacing
    made: dict[float, Float[np.ndarray, "b h w"]] = {}
    for index, scanner in enumerate(work.scanners):
        width = scanner.geometry.width
        if width not in made:
            made[width] = np.stack([make_object(item.pixels, spacing, width) for item in items])
        seeds = [
            (work.seed, scanner.name, item.header.series, item.header.position) for item in items
        ]
        grids = reconstructions(scanner, work.scanners, work.all_grids or unit.split == "test")
        partial = work.folder / f"{unit.number:06d}-{index:03d}-{os.getpid()}.partial"
        writer = ArrayRecordWriter(str(partial), WRITER_OPTIONS)
        for grid, images in zip(grids, scan(made[width], spacing, grids, seeds), strict=True):
            for item, hu in zip(items, images, strict=True):
                pixels = np.rint(np.clip(hu, *work.window)).astype(np.int16)
                name = series_name(item.header.series, grid, scanner)
                writer.write(encode(Slice(header(item, index, name, grid), pixels)))
        writer.close()
        partial.replace(record_path(work.folder, unit.number, index))
    _mark(work.folder, unit.number).touch()


def reconstructions(
    scanner: Scanner, scanners: tuple[Scanner, ...], all_grids: bool
) -> tuple[Scanner, ...]:
    """The scanner itself; with ``all_grids`` also on the grids of the other scanners.

    A translation stays on its source's grid. So has its truth to be.
    """
    grids = [(scanner.field_of_view, scanner.matrix)]
    if all_grids:
        grids += [(other.field_of_view, other.matrix) for other in scanners]
    return tuple(
        dataclasses.replace(scanner, field_of_view=field, matrix=matrix)
        for field, matrix in dict.fromkeys(grids)
    )


def header(item: Slice, domain: int, series: str, scanner: Scanner) -> SliceHeader:
    """Of a slice as a virtual scanner shows it.

    The acquisition is named after the source's series, not after the scanner: slices of all virtual
    domains that show one object are pairs.
    """
    old = item.header
    move = functools.partial(_moved, shape=item.pixels.shape, spacing=old.spacing, scanner=scanner)
    return SliceHeader(
        domain=domain,
        patient=old.patient,
        series=series,
        acquisition=old.series,
        position=old.position,
        spacing=(scanner.pixel, scanner.pixel),
        body=move(old.body),
        lung=move(old.lung) if old.lung else None,
    )


def series_name(source: str, grid: Scanner, scanner: Scanner) -> str:
    """Pseudonym of the series that a scanner makes of a series; with the grid if not its own."""
    name = f"{source} {scanner.name} {scanner.label}"
    return name if grid == scanner else f"{name} {grid.field_of_view:g} mm / {grid.matrix}"


def _moved(box: Box, shape: tuple[int, int], spacing: tuple[float, float], scanner: Scanner) -> Box:
    """A box of pixels of the source on the scanner's grid, whose middle is the same."""
    ends = []
    for axis in (0, 1):
        for end, rounded in ((box[axis], np.floor), (box[axis + 2], np.ceil)):
            place = (end - shape[axis] / 2) * spacing[axis] / scanner.pixel + scanner.matrix / 2
            ends.append(int(np.clip(rounded(place), 0, scanner.matrix)))
    top, bottom, left, right = ends
    return top, left, bottom, right


def _mark(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.done"


@functools.lru_cache(1)
def _be_frugal() -> None:
    """One thread and no accelerator, before JAX starts: the processes are the parallelism."""
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    jax.config.update("jax_platforms", "cpu")
    keep_compilations()
