"""All volumes below an input, each translated by each method; an error costs one result.

One series and one target: the output is the series. More than one of either: the output has a
folder for each source, at its place below the input, and in it one result a target, named by the
target's slug.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxharmo.data.manifest import unique_slugs
from jaxharmo.data.prepare.headers import DERIVED, OURS, Skipped
from jaxharmo.data.prepare.scan import find_series
from jaxharmo.data.prepare.series import list_files
from jaxharmo.data.prepare.workers import Spread
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder
from jaxharmo.harmonize.derivation import Method
from jaxharmo.harmonize.elsewhere import Task, elsewhere
from jaxharmo.harmonize.nifti import NiftiImage, is_nifti, stem
from jaxharmo.harmonize.series import SIDECAR, DicomSeries
from jaxharmo.harmonize.volume import Report, harmonize_volume
from jaxharmo.lock import locked_share

_FIRST = 4


def find_volumes(
    source: Path,
    *,
    mixed: bool = False,
    derived: bool = False,
    ours: bool = False,
    report: Report = print,
) -> list[DicomSeries | NiftiImage]:
    """The CT series or NIfTI images in ``source``, a file or a folder; at least one.

    Files that are no part of a CT series are reported and left out. ``InputError`` where a slice of
    a series may be lost, and where a folder holds several series, unless they may be ``mixed``.
    ``derived`` takes images with ImageType DERIVED, except those that jaxharmo made, which ``ours``
    takes.
    """
    if is_nifti(source) and source.is_file():
        return [NiftiImage(source, ours=ours)]
    if source.is_file():
        raise InputError(f"{source}: neither a NIfTI image nor a folder; name the series' folder")
    files = list_files(source)
    images = [path for path in files if is_nifti(path)]
    others = [path for path in files if not is_nifti(path)]
    found, skipped = (
        find_series(source, others, derived=derived, ours=ours, report=report)
        if others
        else ([], [])
    )
    for item in skipped:
        if item.lost:
            raise InputError(
                f"{source / item.file}: {item.reason}; restore the file, or move it out if it is "
                "no part of the series"
            )
    if not found and not images:
        raise InputError(f"{source}: {_why_none(skipped)}")
    # The file that lies beside every result is no surprise.
    unknown = (item.reason for item in skipped if Path(item.file).name != SIDECAR)
    for reason, count in Counter(unknown).items():
        report(f"left out: {count} × {reason}")
    series = [DicomSeries(each, source) for each in found]
    shared = Counter(each.label for each in series)
    for each in series:
        if shared[each.label] > 1:
            if not mixed:
                raise InputError(
                    f"{source / each.label}: holds {shared[each.label]} CT series mixed; sort them "
                    "into a folder each, or add --mixed"
                )
            each.label = each.label / f"series-{each.fingerprint[:8]}"
    volumes = [
        NiftiImage(path, path.relative_to(source).parent / stem(path), ours=ours) for path in images
    ]
    return sorted([*series, *volumes], key=lambda volume: volume.label)


def find_volume(source: Path, **options: Any) -> DicomSeries | NiftiImage:
    """The only one in ``source``; ``find_volumes`` has the options and errors."""
    found = find_volumes(source, **options)
    if len(found) > 1:
        raise InputError(f"{source}: holds {len(found)} series; name a folder with one")
    return found[0]


def harmonize(
    source: Path,
    destination: Path,
    methods: list[Method],
    *,
    origin: str | None = None,
    skip_own: bool = False,
    mixed: bool = False,
    report: Report = print,
) -> int:
    """Everything in ``source`` by every method into ``destination``; the number of results there.

    Finished results are left as they are. ``origin`` replaces the source's domain from the headers;
    ``skip_own`` leaves out translations into it. Where several results are to be made, one
    that fails does not stop the others; one ``InputError`` at the end counts them.
    """
    check_apart(source, destination)
    volumes = find_volumes(source, mixed=mixed, report=report)
    return run(volumes, destination, methods, origin=origin, skip_own=skip_own, report=report)


def run(
    volumes: Sequence[DicomSeries | NiftiImage],
    destination: Path,
    methods: list[Method],
    *,
    origin: str | None = None,
    skip_own: bool = False,
    report: Report = print,
    spread: Spread | None = None,
    opener: Callable[[], list[Method]] | None = None,
) -> int:
    """``harmonize`` for volumes that are found already; with ``spread`` its part, or by others.

    Other processes get their ``methods`` from ``opener``, which has to be picklable.
    """
    spread = spread or Spread(workers=1)
    number, count = spread.share
    make_folder(destination.parent)
    lock = destination.with_name(f"{destination.name}.lock")
    with locked_share(lock, f"the output {destination}", spread.share):
        tasks = _tasks(volumes, destination, methods, origin, skip_own)
        share = tasks[number - 1 :: count]
        if not spread.elsewhere:
            results = _here(share, methods, origin, report, alone=len(tasks) == 1)
        else:
            assert opener is not None, "other processes need to know the methods"
            results = elsewhere(share, opener, origin, spread, report)
        failed = [error for error in results if error]
    if failed:
        raise InputError(f"{len(failed)} of {len(share)} results failed; first: {failed[0]}")
    return len(share)


def _tasks(
    volumes: Sequence[DicomSeries | NiftiImage],
    destination: Path,
    methods: Sequence[Method],
    origin: str | None,
    skip_own: bool,
) -> list[Task]:
    slugs = unique_slugs([method.derivation.to for method in methods])
    return [
        Task(
            volume,
            _place(volume, destination, slug if len(volumes) * len(methods) > 1 else ""),
            number,
            f"{volume.label} to {method.derivation.to}",
        )
        for volume in volumes
        for number, (method, slug) in enumerate(zip(methods, slugs, strict=True))
        if not (skip_own and method.derivation.to == (volume.origin if origin is None else origin))
    ]


def _here(
    tasks: Sequence[Task],
    methods: Sequence[Method],
    origin: str | None,
    report: Report,
    *,
    alone: bool,
) -> Iterator[str]:
    """What went wrong with each; where one result is all, that is raised."""
    for number, task in enumerate(tasks, start=1):
        if not alone:
            report(f"[{number}/{len(tasks)}] {task.title}")
        try:
            harmonize_volume(task.volume, task.place, methods[task.method], report, origin)
            yield ""
        except InputError as error:
            if alone:
                raise
            report(f"failed: {error}")
            yield str(error)


def _place(volume: DicomSeries | NiftiImage, destination: Path, slug: str) -> Path:
    if not slug:
        return destination
    name = f"{slug}.nii.gz" if isinstance(volume, NiftiImage) else slug
    return destination / volume.label / name


def check_apart(source: Path, destination: Path) -> None:
    """``InputError`` where input and output are one, or one lies in the other."""
    first, second = source.resolve(), destination.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise InputError(f"{destination}: input and output must not lie in each other")


def _why_none(skipped: list[Skipped]) -> str:
    reasons = {item.reason for item in skipped}
    if OURS in reasons:
        return f"holds a series {OURS}, which is not harmonized again; give the original series"
    if DERIVED in reasons:
        return f"holds a {DERIVED}; give the original series, or insist with --allow-derived"
    return (
        f"no CT slice in it ({skipped[0].file}: {skipped[0].reason}); name a folder with a series"
    )
