"""The shard sets of a suite: objects, and what its virtual scanners make of them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxharmo.benchmark.suites import Suite
from jaxharmo.console import track
from jaxharmo.data.manifest import Manifest, read_manifest
from jaxharmo.data.phantom import PhantomConfig, make_phantom
from jaxharmo.data.rescan import RescanConfig, rescan
from jaxharmo.errors import InputError

PHANTOM_KERNEL = "PHANTOM Ellipse -- B50f"
"""The object: not softer than the virtual kernels of the suites need, and at a high dose."""
PHANTOM_DOSE = 16.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """Objects and size of a suite."""

    shards: Path | None = None
    """Shard set whose slices are the objects; without it, a phantom is made."""
    objects: tuple[str, ...] = ()
    """Domains of it; all if not given. Name one where a patient is in several."""
    patients: int = 14
    """Patients of the phantom: nine to train on, one to validate, four to test."""
    slices: int = 4
    """Slices of each of them."""
    size: int = 256
    """Pixels a side of every virtual scanner's image."""
    field_of_view: float = 330.0
    """Side of the first scanner's image, mm; the others keep their ratio to it."""
    workers: int = 0
    """Processes that scan; 0 is one a core."""


class Prepared(NamedTuple):
    """The shard sets of a suite."""

    paired: Path
    """Every domain on the grids of all scanners: to judge on, and to train on with pairs."""
    training: Path
    """Every domain on its own grid, as a scanner delivers it: to train on without pairs."""
    manifest: Manifest
    """Of the paired set."""


def prepare_suite(
    suite: Suite, workdir: Path, config: SuiteConfig, report: Callable[[str], object]
) -> Prepared:
    """Make the shard sets under ``workdir``, or go on where a killed run stopped.

    Raises ``InputError`` as ``make_phantom`` and ``rescan`` do, for a size that no scanner has, and
    for objects without a patient in each of the splits.
    """
    try:
        scanners = suite.sized(config.size, config.field_of_view)
    except ValueError as error:
        message = str(error).replace("matrix", "size").replace("_", "-")
        raise InputError(f"--{message}") from error
    source = config.shards or workdir / "object"
    if not config.shards:
        phantom = PhantomConfig(
            patients=config.patients,
            slices=config.slices,
            domains=(PHANTOM_KERNEL,),
            doses=(PHANTOM_DOSE,),
        )
        make_phantom(source, phantom, lambda items, total: track(items, total, "phantom", "slice"))
    _check_splits(source)
    grids = {(scanner.field_of_view, scanner.matrix) for scanner in scanners}
    names = ("paired", "training") if len(grids) > 1 else ("paired",)
    made = [
        rescan(
            source,
            workdir / name,
            RescanConfig(domains=config.objects, all_grids=name == "paired"),
            scanners=scanners,
            workers=config.workers,
            report=report,
        )
        for name in names
    ]
    return Prepared(workdir / "paired", workdir / names[-1], made[0])


def _check_splits(source: Path) -> None:
    """Whole patients have to be apart: trained on, validated on, judged on."""
    manifest = read_manifest(source)
    if manifest.split_by != "patient":
        raise InputError(
            f"{source}: split by {manifest.split_by}, so patients are not apart; take a set of "
            "more patients"
        )
    for split in ("train", "validation", "test"):
        if not any(domain.slices.get(split) for domain in manifest.domains):
            raise InputError(
                f"{source}: no slices in the split '{split}'; take a set of more patients"
            )
