"""A whole DICOM series -> the same series as another domain would show it."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
from jaxtyping import Float32, Int16
from pydicom.dataset import FileDataset
from tqdm import tqdm

from jaxharmo.data.prepare.headers import DERIVED, Skipped, SliceFile, quiet
from jaxharmo.data.prepare.headers import digest as digest_of
from jaxharmo.data.prepare.pixels import SCALE, PixelError, Pixels, pixels_of, read_dataset
from jaxharmo.data.prepare.series import Series, find_series, list_files
from jaxharmo.errors import InputError
from jaxharmo.harmonize.dicom import Derivation, derive

Translate = Callable[[Float32[np.ndarray, "n h w"], str], Float32[np.ndarray, "n h w"]]

BATCH = 8
"""Slices in memory at a time."""
PARTIAL_SUFFIX = ".jaxharmo-partial"


def harmonize_series(
    translate: Translate,
    to: str,
    source: Path,
    destination: Path,
    *,
    model: str,
    digest: str,
    report: Callable[[str], object] = print,
) -> int:
    """Translate the one CT series in ``source`` to the domain ``to``; the number of its slices.

    ``translate`` takes slices and gives them back, n × rows × columns, HU. ``destination`` appears
    only when all of it is written: ``slice-0001.dcm``, … by rising position. Padding keeps its
    value. A finished output of the same series, target and model (``digest``: SHA-256 of the
    weights) is left as it is. ``InputError`` where ``source`` is not one whole original series,
    or ``destination`` holds something else.
    """
    source, destination = source.resolve(), destination.resolve()
    if destination.is_relative_to(source) or source.is_relative_to(destination):
        raise InputError(f"{destination}: input and output must not lie in each other")
    series = _only_series(source, report)
    derivation = Derivation(
        model=model, digest=digest, origin=series.domain, to=to, time=datetime.now()
    )
    if _is_finished(destination, series, derivation):
        report(f"{destination}: already holds these {len(series.slices)} slices")
        return len(series.slices)

    with (
        _appearing(destination) as folder,
        tqdm(total=len(series.slices), unit="slice", disable=None) as bar,
    ):
        for start in range(0, len(series.slices), BATCH):
            batch = series.slices[start : start + BATCH]
            slices = [_read(item) for item in batch]
            results = _translate(translate, to, [pixels for _, pixels in slices])
            for number, ((dataset, _), hu, item) in enumerate(
                zip(slices, results, batch, strict=True), start=start + 1
            ):
                _write(folder / f"slice-{number:04d}.dcm", dataset, hu, derivation, item)
                bar.update()
            done = start + len(batch)
            if bar.disable and done % (10 * BATCH) == 0:
                report(f"{done} of {len(series.slices)} slices")
    report(f"{destination}: {len(series.slices)} slices, {series.domain or 'unknown'} to {to}")
    return len(series.slices)


def _only_series(source: Path, report: Callable[[str], object]) -> Series:
    """The series in the folder, none of whose slices may be missing."""
    series, skipped = find_series(source, list_files(source))
    for item in skipped:
        if item.lost:
            raise InputError(
                f"{source / item.file}: {item.reason}; restore the file, or move it out if it is "
                "no part of the series"
            )
    if len(series) > 1:
        raise InputError(
            f"{source}: holds {len(series)} CT series ({_folders(series)}); name a folder with one"
        )
    if not series:
        raise InputError(f"{source}: {_why_none(skipped)}")
    for reason, count in Counter(item.reason for item in skipped).items():
        report(f"left out: {count} × {reason}")
    steps = np.diff(series[0].positions)
    if len(steps) and steps.max() > 1.5 * np.median(steps):
        report(f"warning: up to {steps.max():g} mm between slices, {np.median(steps):g} mm mostly")
    return series[0]


def _folders(series: list[Series], most: int = 4) -> str:
    """Where the first few series lie."""
    names = [f"in {Path(each.slices[0].name).parent}" for each in series]
    return ", ".join(names[:most]) + ", …" * (len(names) > most)


def _why_none(skipped: list[Skipped]) -> str:
    if any(item.reason == DERIVED for item in skipped):
        return f"holds a {DERIVED}, which is not harmonized again; give the original series"
    return (
        f"no CT slice in it ({skipped[0].file}: {skipped[0].reason}); name a folder with a series"
    )


def _read(item: SliceFile) -> tuple[FileDataset, Pixels]:
    try:
        dataset = read_dataset(item.path)
        return dataset, pixels_of(dataset)
    except PixelError as error:
        raise InputError(f"{item.path}: {error}; no slice may be missing, restore it") from error


def _translate(translate: Translate, to: str, slices: list[Pixels]) -> Int16[np.ndarray, "n h w"]:
    """Whole HU of the translated slices, with the padding written back.

    The model sees padding as air, as it did when it was trained.
    """
    original = np.stack([pixels.hu for pixels in slices])
    padding = np.stack([pixels.padding for pixels in slices])
    result = np.asarray(translate(np.where(padding, np.float32(SCALE[0]), original), to))
    if result.shape != original.shape or not np.isfinite(result).all():
        raise FloatingPointError("the model returned no finite image for every slice")
    limits = np.iinfo(np.int16)
    hu = np.where(padding, original, result)
    return np.clip(np.rint(hu), limits.min, limits.max).astype(np.int16)


def _write(
    path: Path,
    dataset: FileDataset,
    hu: Int16[np.ndarray, "h w"],
    derivation: Derivation,
    item: SliceFile,
) -> None:
    try:
        with quiet():
            pydicom.dcmwrite(path, derive(dataset, hu, derivation), enforce_file_format=True)
    except OSError:
        raise
    except Exception as error:
        # What was read leniently can be impossible to write: any header value may be at fault.
        raise InputError(f"{item.path}: its header cannot be written back; repair it") from error


def _is_finished(destination: Path, series: Series, derivation: Derivation) -> bool:
    """Whether ``destination`` holds the output of just these slices.

    ``InputError`` where it holds anything else.
    """
    if not destination.exists():
        return False
    if not destination.is_dir():
        raise InputError(f"{destination}: a file; name a new or empty folder for the output")
    files = list(destination.iterdir())
    if not files:
        return False
    sources = {item.instance for item in series.slices}
    if len(files) != len(sources) or {_origin(path, derivation) for path in files} != sources:
        raise InputError(
            f"{destination}: not empty, and not this series harmonized by this model to "
            f"{derivation.to}; name a new folder"
        )
    return True


def _origin(path: Path, derivation: Derivation) -> str:
    """Digest of the SOPInstanceUID that an output was derived from; empty if it was not."""
    try:
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True)
            uid = header.SourceImageSequence[0].ReferencedSOPInstanceUID
            return digest_of(uid) if header.SOPInstanceUID == derivation.uid(uid) else ""
    except Exception:
        return ""


@contextlib.contextmanager
def _appearing(destination: Path) -> Iterator[Path]:
    """A folder beside ``destination`` that takes its name if all goes well, else vanishes."""
    partial = destination.with_name(destination.name + PARTIAL_SUFFIX)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if destination.exists():
            destination.rmdir()
        partial.rename(destination)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
