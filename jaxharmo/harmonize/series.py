"""A DICOM series as a volume to harmonize, and the folder that its result is written to."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from jaxtyping import Float
from pydicom.dataset import FileDataset

from jaxharmo.data.prepare.headers import digest as digest_of
from jaxharmo.data.prepare.headers import quiet
from jaxharmo.data.prepare.pixels import PixelError, Pixels, pixels_of, read_dataset
from jaxharmo.data.prepare.series import Series
from jaxharmo.errors import InputError
from jaxharmo.files import appearing_folder
from jaxharmo.harmonize.derivation import Derivation
from jaxharmo.harmonize.dicom import derive, derived_uid
from jaxharmo.isolation import Death, Helpers

SIDECAR = "harmonization.json"
_READERS = Helpers()


class DicomSeries:
    """One CT series; its slices are read when they are needed."""

    def __init__(self, series: Series, source: Path):
        self._slices = series.slices
        self.origin = series.domain
        self.spacing = series.slices[0].spacing[0]
        self.fingerprint = digest_of(*(item.instance for item in series.slices))
        folders = [str(Path(item.name).parent) for item in series.slices]
        self.label = Path(os.path.commonpath(folders))
        """Folder of its files, below the input."""
        steps = np.diff(series.positions)
        if (steps == 0).any():
            raise InputError(
                f"{source / self.label}: several slices at one position, so more than one series "
                "under one SeriesInstanceUID; sort them apart"
            )
        self.remarks = (
            [f"up to {steps.max():g} mm between slices, {np.median(steps):g} mm mostly"]
            if len(steps) and steps.max() > 1.5 * np.median(steps)
            else []
        )

    def __len__(self) -> int:
        return len(self._slices)

    @property
    def positions(self) -> tuple[float, ...]:
        """Of the slices along their normal, mm."""
        return tuple(item.position for item in self._slices)

    def read(self, number: int) -> tuple[FileDataset, Pixels]:
        """Slice ``number`` from the bottom."""
        path = self._slices[number].path
        try:
            found = _READERS.call(_read_slice, path)
        except PixelError as error:
            raise InputError(f"{path}: {error}; no slice may be missing, restore it") from error
        if isinstance(found, Death):
            raise InputError(f"{path}: {found.reason}; no slice may be missing, restore it")
        return found

    def is_finished(self, destination: Path, derivation: Derivation) -> bool:
        """Whether ``destination`` holds the output of just these slices."""
        if not destination.exists():
            return False
        if not destination.is_dir():
            raise InputError(f"{destination}: a file; name a new or empty folder for the output")
        entries = list(destination.iterdir())
        if not entries:
            return False
        sources = {item.instance for item in self._slices}
        files = [path for path in entries if path.name != SIDECAR]
        if len(files) != len(sources) or {_origin(path, derivation) for path in files} != sources:
            raise InputError(
                f"{destination}: not empty, and not this series harmonized by this model to "
                f"{derivation.to} in this way; name a new folder"
            )
        return True

    @contextlib.contextmanager
    def writing(self, destination: Path, derivation: Derivation) -> Iterator["_Writer"]:
        """Files appear in ``destination`` together: ``slice-0001.dcm``, … from the bottom."""
        with appearing_folder(destination) as folder:
            yield _Writer(folder, [item.path for item in self._slices], derivation)


def _read_slice(path: Path) -> tuple[FileDataset, Pixels]:
    """In a helper: a slice without the stored form of its pixels, which is not needed any more."""
    dataset = read_dataset(path)
    pixels = pixels_of(dataset)
    del dataset.PixelData
    return dataset, pixels


class _Writer:
    def __init__(self, folder: Path, sources: list[Path], derivation: Derivation):
        self._folder, self._sources, self._derivation = folder, sources, derivation

    def write(self, number: int, payload: FileDataset, hu: Float[np.ndarray, "h w"]) -> None:
        limits = np.iinfo(np.int16)
        whole = np.clip(np.rint(hu), limits.min, limits.max).astype(np.int16)
        path = self._folder / f"slice-{number + 1:04d}.dcm"
        try:
            with quiet():
                derived = derive(payload, whole, self._derivation)
                pydicom.dcmwrite(path, derived, enforce_file_format=True)
        except OSError:
            raise
        except Exception as error:
            # What was read leniently can be impossible to write: any header value may be at fault.
            raise InputError(
                f"{self._sources[number]}: its header cannot be written back; repair it"
            ) from error

    def sidecar(self, text: str) -> None:
        (self._folder / SIDECAR).write_text(text, encoding="utf-8")


def _origin(path: Path, derivation: Derivation) -> str:
    """Digest of the SOPInstanceUID that an output was derived from; empty if it was not."""
    try:
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True)
            uid = header.SourceImageSequence[0].ReferencedSOPInstanceUID
            return digest_of(uid) if header.SOPInstanceUID == derived_uid(uid, derivation) else ""
    except Exception:
        return ""
