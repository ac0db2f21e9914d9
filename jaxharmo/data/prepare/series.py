"""Finding the CT series in a folder by their headers; file names mean nothing."""

import dataclasses
import os
import stat
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from jaxharmo.data.prepare.headers import Skipped, SliceFile, digest
from jaxharmo.errors import InputError

TWIN = "SOPInstanceUID of another file"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """One reconstruction of one scan: its slices by rising position along the normal."""

    slices: tuple[SliceFile, ...]

    @property
    def key(self) -> str:
        """Digest that identifies the series."""
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
        the earliest slice (or AcquisitionNumber). A series with neither is its own acquisition.
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


def without_copies(series: list[Series]) -> tuple[list[Series], list[Skipped]]:
    """Every slice once; the copies come with a reason."""
    kept: list[Series] = []
    copies: list[Skipped] = []
    for each in series:
        firsts = {item.instance: item for item in reversed(each.slices)}
        copies += [
            Skipped(item.label, TWIN, lost=True)
            for item in each.slices
            if firsts[item.instance] is not item
        ]
        kept.append(
            Series(slices=tuple(item for item in each.slices if firsts[item.instance] is item))
        )
    return kept, copies


def group(found: Iterable[SliceFile | Skipped]) -> tuple[list[Series], list[Skipped]]:
    """Slices as series, and what cannot be used, both in a fixed order.

    A copy of a slice stays in its series, for the case that the first cannot be read. Of slices of
    one SOPInstanceUID at several places, one place is right, whatever the names of the files.
    """
    groups: dict[str, list[SliceFile]] = defaultdict(list)
    skipped: list[Skipped] = []
    places: dict[str, set[tuple[str, float]]] = defaultdict(set)
    for item in found:
        if isinstance(item, Skipped):
            skipped.append(item)
        else:
            groups[sys.intern(item.series)].append(item)
            places[item.instance].add((item.series, item.position))
    displaced = {
        (instance, place)
        for instance, claimed in places.items()
        if len(claimed) > 1
        for place in claimed - {min(claimed, key=lambda place: _oddness(instance, place, groups))}
    }
    if displaced:
        for key, items in list(groups.items()):
            lost = [item for item in items if (item.instance, (key, item.position)) in displaced]
            skipped += [Skipped(item.label, TWIN, lost=True) for item in lost]
            gone = set(map(id, lost))
            groups[key] = [item for item in items if id(item) not in gone]
    series = [
        Series(
            slices=tuple(sorted(part, key=lambda item: (item.position, item.instance, item.label)))
        )
        for key in groups
        if groups[key]
        for part in _phases(groups[key])
    ]
    return sorted(series, key=lambda each: each.key), sorted(skipped, key=lambda item: item.file)


def _oddness(
    instance: str, place: tuple[str, float], groups: dict[str, list[SliceFile]]
) -> tuple[object, ...]:
    """How unlikely it is that a slice belongs to this place.

    In a series of few others, where another slice lies, and far from the others, it is.
    """
    series, position = place
    others = [item.position for item in groups[series] if item.instance != instance]
    distance = min((abs(other - position) for other in others), default=0.0)
    return -len(others), bool(others) and distance == 0, distance, series, position


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
