"""A shard set, acquired anew on virtual scanners, as a shard set."""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxharmo.console import Progress
from jaxharmo.data.manifest import (
    FILE_NAME,
    SPLITS,
    Acquisition,
    Domain,
    Manifest,
    choose_domains,
    read_manifest,
    shard_paths,
    unique_slugs,
    write_manifest,
)
from jaxharmo.data.prepare.progress import (
    WORK,
    close_destination,
    held_destination,
    open_destination,
)
from jaxharmo.data.prepare.workers import open_workers
from jaxharmo.data.records import Slice, read_records
from jaxharmo.data.rescan.choice import SCANNERS, choose_scanners
from jaxharmo.data.rescan.scanner import MANUFACTURER, Scanner
from jaxharmo.data.rescan.units import SLICES, Unit, Work, is_done, record_path, write_unit
from jaxharmo.data.shards import ShardWriter, SliceSource
from jaxharmo.errors import InputError
from jaxharmo.isolation import Death, warm_up
from jaxharmo.version import __version__

WINDOW = (-1024.0, 3071.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RescanConfig:
    """What is scanned on which virtual scanners."""

    scanners: tuple[str, ...] = tuple(SCANNERS)
    """Names of those that come along (alba, boreas, corona, dione), or JSON files of others."""
    domains: tuple[str, ...] = ()
    """Domains of the source whose slices are the objects; all by default."""
    field_of_view: float | None = None
    """Side of every scanner's image instead of its own, mm: on one grid, all domains can be
    compared pixel by pixel."""
    matrix: int | None = None
    """Pixels a side of every scanner's image instead of its own."""
    all_grids: bool = False
    """Training and validation slices, too, on the grids of all scanners: pairs to train on where
    grids differ. The test split has them always."""
    seed: int = 0
    """Of the noise; the same seed gives the same files."""


def rescan(
    source: Path,
    destination: Path,
    config: RescanConfig | None = None,
    *,
    scanners: tuple[Scanner, ...] = (),
    workers: int = 0,
    report: Callable[[str], object] = print,
) -> Manifest:
    """Write the slices of ``source`` as virtual scanners show them into ``destination``.

    ``scanners`` take the place of those that ``config`` names.
    ``workers`` processes (0: one a core); the bytes do not depend on them. A killed run goes on
    where it stopped; a finished set of the same settings is kept. ``InputError`` for impossible
    scanners, a source without spacing, and a body that does not fit into a field of view.
    """
    config = config or RescanConfig()
    scanners = scanners or _scanners(config)
    manifest = read_manifest(source)
    chosen = choose_domains(manifest, config.domains)
    source, destination = source.resolve(), destination.resolve()
    if destination.is_relative_to(source):
        raise InputError(f"{destination}: lies in the input folder; name one outside of it")
    warm_up()
    units, patients = _plan(source, chosen, scanners)
    provenance = {
        "tool": "jaxharmo rescan",
        "version": __version__,
        "settings": json.dumps(dataclasses.asdict(config)),
        "scanners": json.dumps([dataclasses.asdict(scanner) for scanner in scanners]),
        "objects": json.dumps([domain.name for domain in chosen]),
        "source": _digest(source, manifest),
        "source_provenance": json.dumps(manifest.provenance),
    }
    with held_destination(destination):
        finished = open_destination(destination, provenance)
        if finished:
            report(f"{destination}: already made with these settings")
            return finished
        work = Work(source, destination / WORK, scanners, config.seed, WINDOW, config.all_grids)
        _write_units(work, units, workers, report)
        made = _assemble(destination, work, units, patients, manifest, provenance)
        close_destination(destination)
        return made


def _scanners(config: RescanConfig) -> tuple[Scanner, ...]:
    changes = {"field_of_view": config.field_of_view, "matrix": config.matrix}
    changes = {name: value for name, value in changes.items() if value is not None}
    try:
        return tuple(
            dataclasses.replace(scanner, **changes) for scanner in choose_scanners(config.scanners)
        )
    except ValueError as error:
        raise InputError(f"--{str(error).replace('_', '-')}") from error


def _plan(
    source: Path, domains: tuple[Domain, ...], scanners: tuple[Scanner, ...]
) -> tuple[list[Unit], dict[str, set[str]]]:
    """All units, and the patients of each split."""
    units: list[Unit] = []
    patients: dict[str, set[str]] = {split: set() for split in SPLITS}
    for domain, split in itertools.product(domains, SPLITS):
        slices = SliceSource(source, split, domain)
        keys = []
        for number, item in enumerate(slices):
            _check(item, scanners, f"{source / split}, slice {number} of '{domain.name}'")
            keys.append((item.header.series, item.pixels.shape, item.header.spacing))
            patients[split].add(item.header.patient)
        numbered = itertools.groupby(enumerate(keys), key=lambda pair: pair[1])
        for _, group in numbered:
            for part in _batched([number for number, _ in group], SLICES):
                units.append(Unit(len(units), split, domain, part))
    if not units:
        raise InputError(f"{source}: holds no slice of the chosen domains")
    return units, patients


def _check(item: Slice, scanners: tuple[Scanner, ...], place: str) -> None:
    """``InputError`` where a slice has no spacing, or shows a body that a scanner would cut off."""
    spacing = item.header.spacing
    if len(spacing) != 2 or not all(
        isinstance(step, int | float) and math.isfinite(step) and 0.01 <= step <= 20
        for step in spacing
    ):
        raise InputError(
            f"{place}: no usable spacing ({spacing}); prepare the set from files that have one"
        )
    reach = 0.0
    for axis in (0, 1):
        low, high = item.header.body[axis], item.header.body[axis + 2]
        middle = item.pixels.shape[axis] / 2
        reach = max(reach, max(middle - low, high - middle) * spacing[axis])
    for scanner in scanners:
        if 2 * reach > scanner.field_of_view + scanner.pixel:
            raise InputError(
                f"{place}: the body reaches {reach:.0f} mm from the middle, beyond the field of "
                f"view of {scanner.name} ({scanner.field_of_view:g} mm); --field-of-view "
                f"{math.ceil(2 * reach)} would hold it"
            )
        if 2 * reach > scanner.geometry.width:
            raise InputError(
                f"{place}: the body reaches {reach:.0f} mm from the middle, beyond the detector of "
                f"{scanner.name} ({scanner.geometry.width:g} mm); give it more elements"
            )


def _write_units(
    work: Work, units: list[Unit], workers: int, report: Callable[[str], object]
) -> None:
    total = sum(len(unit.slices) for unit in units)
    with open_workers(workers) as pool, Progress("rescan", total, "slice", report) as progress:

        def left() -> Iterator[Unit]:
            for unit in units:
                if is_done(work.folder, unit.number):
                    progress.skip(len(unit.slices))
                else:
                    yield unit

        for unit, result in pool.run(functools.partial(write_unit, work=work), left()):
            if isinstance(result, Death):
                raise OSError(
                    f"{work.folder}: unit {unit.number} ends its process ({result.cause})"
                )
            progress.advance(len(unit.slices))


def _assemble(
    destination: Path,
    work: Work,
    units: list[Unit],
    patients: dict[str, set[str]],
    source: Manifest,
    provenance: dict[str, str],
) -> Manifest:
    """All records under their final names, and the manifest, last."""
    names = [scanner.domain for scanner in work.scanners]
    slugs = unique_slugs(names)
    counts: list[dict[str, int]] = [{} for _ in names]
    series: dict[str, Acquisition] = {}
    for index, split in itertools.product(range(len(names)), SPLITS):
        with ShardWriter(destination, split, slugs[index]) as writer:
            for unit in units:
                if unit.split == split:
                    for item in read_records(record_path(work.folder, unit.number, index)):
                        writer.write(item)
                        header = item.header
                        series[header.series] = _acquisition(
                            source.series.get(header.acquisition),
                            work.scanners[index],
                            header.spacing[0],
                        )
        counts[index][split] = writer.count
    manifest = Manifest(
        window=work.window,
        spacing="native",
        split_by=source.split_by,
        domains=tuple(
            Domain(index=index, name=name, slug=slug, slices=counts[index])
            for index, (name, slug) in enumerate(zip(names, slugs, strict=True))
        ),
        patients={split: sorted(patients[split]) for split in SPLITS},
        paired=tuple(itertools.combinations(names, 2)),
        series=dict(sorted(series.items())),
        preprocessing={"object": "simulated from a denoised slice of another set"},
        provenance=provenance,
    )
    write_manifest(destination, manifest)
    return manifest


def _acquisition(source: Acquisition | None, scanner: Scanner, pixel: float) -> Acquisition:
    """What the headers of a series would hold, had the scanner written some."""
    return Acquisition(
        manufacturer=MANUFACTURER,
        model=scanner.name,
        kernel=scanner.label,
        kernel_raw=scanner.label,
        kvp=scanner.kvp,
        exposure=scanner.exposure,
        slice_thickness=source.slice_thickness if source else None,
        pixel_spacing=pixel,
        contrast=source.contrast if source else None,
    )


def _batched(numbers: list[int], most: int) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(numbers), most):
        yield tuple(numbers[start : start + most])


def _digest(source: Path, manifest: Manifest) -> str:
    """SHA-256 of the manifest and of the sizes of the shards: the same input again."""
    digest = hashlib.sha256((source / FILE_NAME).read_bytes())
    for domain, split in itertools.product(manifest.domains, SPLITS):
        for path in shard_paths(source, split, domain):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()
