"""Finding the CT series in a folder by their headers; file names mean nothing."""

import dataclasses
import os
import stat
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from jaxharmo.data.prepare.headers import Skipped, SliceFile, digest, read_header
from jaxharmo.errors import InputError

TWIN = "SOPInstanceUID of another file"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """One reconstruction of one scan: its slices by rising position along the normal."""

    slices: tuple[SliceFile, ...]

    @property
    def key(self) -> str:
        """Digest that tells the series from all others."""
        return self.slices[0].series

    @property
    def patient(self) -> str:
        """Digest of the patient."""
        return self.slices[0].patient

    @property
    def domain(self) -> str:
        """Scanner–kernel domain; empty without ConvolutionKernel."""
        return self.slices[0].domain

    @property
    def positions(self) -> tuple[float, ...]:
        """Of the slices along the normal, mm."""
        return tuple(item.position for item in self.slices)

    @property
    def acquisition(self) -> str:
        """Digest shared by the reconstructions of one acquisition on one pixel grid.

        Equal study, frame of reference, tube voltage, in-plane geometry, thickness, and time of
        the earliest slice (or AcquisitionNumber). A series that tells neither is on its own.
        """
        moments = sorted({item.moment for item in self.slices if item.moment})
        return digest(self.slices[0].scan, moments[0]) if moments else digest("alone", self.key)


def list_files(source: Path, closed: list[Path] | None = None) -> list[Path]:
    """All regular files below ``source``, sorted; links are followed, each folder entered once.

    Folders without access are added to ``closed``. ``InputError`` where ``source`` is not a
    readable folder with files in it, and for a closed folder where there is no such list.
    """
    if not source.is_dir():
        raise InputError(f"{source}: not a folder; name one with DICOM files in it")

    def refuse(error: OSError) -> None:
        if closed is not None and error.filename != str(source):
            closed.append(Path(error.filename))
            return
        raise InputError(
            f"{error.filename}: cannot be read; grant access or move it out"
        ) from error

    files: list[Path] = []
    entered: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(source, followlinks=True, onerror=refuse):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        subfolders.sort()
        files.extend(path for name in names if _is_regular(path := Path(folder, name)))
    if not files:
        raise InputError(f"{source}: no files in it; name a folder with DICOM files in it")
    return sorted(files)


def find_series(source: Path, files: list[Path]) -> tuple[list[Series], list[Skipped]]:
    """The series of single-frame original CT slices among ``files``, every slice once.

    The other files come with a reason. Both lists are in an order that does not depend on the order
    of the files.
    """
    headers = (
        read_header(path, path.relative_to(source).as_posix())
        for path in tqdm(files, desc="headers", unit="file", disable=None)
    )
    series, skipped = group(headers)
    kept: list[Series] = []
    for each in series:
        seen: set[str] = set()
        for item in each.slices:
            if item.instance in seen:
                skipped.append(Skipped(item.label, TWIN, lost=True))
            seen.add(item.instance)
        firsts = {item.instance: item for item in reversed(each.slices)}
        kept.append(
            Series(slices=tuple(item for item in each.slices if firsts[item.instance] is item))
        )
    return kept, sorted(skipped, key=lambda item: item.file)


def group(found: Iterable[SliceFile | Skipped]) -> tuple[list[Series], list[Skipped]]:
    """Slices as series, and what is of no use, both in an order of their own.

    A copy of a slice stays in its series, for the case that the first cannot be read.
    """
    groups: dict[str, list[SliceFile]] = defaultdict(list)
    skipped: list[Skipped] = []
    seen: dict[str, tuple[str, float]] = {}
    for item in found:
        if isinstance(item, Skipped):
            skipped.append(item)
        elif seen.setdefault(item.instance, (item.series, item.position)) != (
            item.series,
            item.position,
        ):
            skipped.append(Skipped(item.label, TWIN, lost=True))
        else:
            groups[sys.intern(item.series)].append(item)
    series = [
        Series(
            slices=tuple(sorted(part, key=lambda item: (item.position, item.instance, item.label)))
        )
        for key in groups
        for part in _phases(groups[key])
    ]
    return sorted(series, key=lambda each: each.key), sorted(skipped, key=lambda item: item.file)


def _phases(slices: list[SliceFile]) -> list[list[SliceFile]]:
    """Apart by AcquisitionNumber where a scan covers its positions repeatedly, as dynamic CT does.

    Only where every position is then covered once: scanners also count single slices that way.
    """
    places = Counter(item.position for item in {item.instance: item for item in slices}.values())
    if max(places.values()) == 1:
        return [slices]
    parts: dict[str, list[SliceFile]] = defaultdict(list)
    for item in slices:
        parts[item.phase].append(item)
    repeated = any(
        len({item.instance for item in part}) != len({item.position for item in part})
        for part in parts.values()
    )
    if len(parts) == 1 or repeated:
        return [slices]
    return [
        [dataclasses.replace(item, series=digest(item.series, phase)) for item in part]
        for phase, part in parts.items()
    ]


def _is_regular(path: Path) -> bool:
    """Neither a broken link nor a pipe or device, which would block whoever opens it."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
