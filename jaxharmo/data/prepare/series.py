"""Finding the CT series in a folder by their headers; file names mean nothing."""

import dataclasses
import os
import stat
from collections import defaultdict
from pathlib import Path

from tqdm import tqdm

from jaxharmo.data.prepare.headers import Skipped, SliceFile, digest, read_header
from jaxharmo.errors import InputError


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
        moments = sorted(item.moment for item in self.slices if item.moment)
        return digest(self.slices[0].scan, moments[0]) if moments else digest("alone", self.key)


def list_files(source: Path) -> list[Path]:
    """All regular files below ``source``, sorted; links are followed, each folder entered once.

    ``InputError`` where ``source`` is not a readable folder with files in it.
    """
    if not source.is_dir():
        raise InputError(f"{source}: not a folder; name one with DICOM files in it")

    def refuse(error: OSError) -> None:
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
    """Group the CT slices among ``files`` into series; the other files come with a reason.

    Both lists are in an order that does not depend on the order of the files.
    """
    groups: dict[str, list[SliceFile]] = defaultdict(list)
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for path in tqdm(files, desc="headers", unit="file", disable=None):
        header = read_header(path, path.relative_to(source).as_posix())
        if isinstance(header, Skipped):
            skipped.append(header)
        elif header.instance in seen:
            skipped.append(Skipped(header.name, "SOPInstanceUID of another file", lost=True))
        else:
            seen.add(header.instance)
            groups[header.series].append(header)
    series = [
        Series(slices=tuple(sorted(groups[key], key=lambda item: (item.position, item.instance))))
        for key in sorted(groups)
    ]
    return series, sorted(skipped, key=lambda item: item.file)


def _is_regular(path: Path) -> bool:
    """Neither a broken link nor a pipe or device, which would block whoever opens it."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
