"""A folder of DICOM files -> a shard set, one slice in memory at a time."""

import csv
import hashlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxharmo.data.manifest import SPLITS, Domain, Manifest, unique_slugs, write_manifest
from jaxharmo.data.prepare.factors import acquisition_of_series
from jaxharmo.data.prepare.headers import Skipped
from jaxharmo.data.prepare.pixels import PixelError, body_box, pixels_of, read_dataset
from jaxharmo.data.prepare.progress import DomainResult, open_destination
from jaxharmo.data.prepare.series import Series, find_series, list_files
from jaxharmo.data.prepare.splits import Splits, make_splits
from jaxharmo.data.records import Slice, SliceHeader
from jaxharmo.data.shards import ShardWriter
from jaxharmo.errors import InputError
from jaxharmo.files import write_text

SKIPPED_NAME = "skipped.csv"
Window = tuple[float, float]


def prepare(
    source: Path,
    destination: Path,
    *,
    window: Window = (-1024.0, 3071.0),
    report: Callable[[str], object] = print,
) -> Manifest:
    """Write the CT slices below ``source`` into the shard set ``destination``.

    Pixels are HU clipped to ``window`` on the scanner's own grid; padding becomes its lower end.
    ``skipped.csv`` names every file not used. A killed run goes on where it stopped when it is
    started again; a finished set of the same files is left as it is. Messages go to ``report``.
    ``InputError`` where there is nothing to prepare, or ``destination`` holds something else.
    """
    source, destination = source.resolve(), destination.resolve()
    _check(source, destination, window)
    files = list_files(source)
    provenance = {
        "tool": "jaxharmo prepare",
        "window": f"{window[0]:g} {window[1]:g}",
        "files": _fingerprint(source, files),
    }
    progress = open_destination(destination, provenance)
    if isinstance(progress, Manifest):
        report(f"{destination}: already prepared from these files")
        return progress

    series, skipped = find_series(source, files)
    skipped += [
        Skipped(item.name, "ConvolutionKernel missing")
        for each in series
        if not each.domain
        for item in each.slices
    ]
    series = [each for each in series if each.domain]
    if not series:
        raise InputError(f"{source}: no usable CT slice in {_main_reason(skipped)}")
    splits = make_splits(series)
    for warning in splits.warnings:
        report(f"warning: {warning}")

    progress.save()
    writer = _DomainWriter(destination, series, splits, window)
    domains: list[Domain] = []
    with tqdm(total=sum(len(each.slices) for each in series), unit="slice", disable=None) as bar:
        for index, (name, slug) in enumerate(zip(writer.names, writer.slugs, strict=True)):
            if slug not in progress.done:
                progress.add(slug, writer.write(index, bar))
            result = progress.done[slug]
            skipped += result.skipped
            domains.append(Domain(index=index, name=name, slug=slug, slices=result.slices))
            if bar.disable:
                counts = ", ".join(f"{split} {count}" for split, count in result.slices.items())
                report(f"{name}: {counts}")
    total = sum(sum(domain.slices.values()) for domain in domains)
    if not total:
        raise InputError(f"{source}: no CT slice could be read in {_main_reason(skipped)}")

    manifest = Manifest(
        window=window,
        spacing="native",
        split_by=splits.split_by,
        domains=tuple(domains),
        patients=_patients_by_split(series, splits, writer.patients),
        paired=_paired(series),
        series={
            writer.keys[each.key]: acquisition_of_series([item.factors for item in each.slices])
            for each in sorted(series, key=lambda each: writer.keys[each.key])
        },
        provenance=provenance,
    )
    _write_skipped(destination / SKIPPED_NAME, skipped)
    write_manifest(destination, manifest)
    progress.finish()
    report(
        f"{destination}: {total} slices, {len(domains)} domains, {len(manifest.paired)} pairs of "
        f"domains from the same acquisitions; {len(skipped)} files not used, see {SKIPPED_NAME}"
    )
    return manifest


class _DomainWriter:
    """Writes the shards of a domain at a time, under pseudonyms in the order of digests."""

    def __init__(self, directory: Path, series: list[Series], splits: Splits, window: Window):
        self.names = sorted({each.domain for each in series})
        self.slugs = unique_slugs(self.names)
        self.patients = _pseudonyms("P", (each.patient for each in series))
        self.keys = _pseudonyms("S", (each.key for each in series))
        self._acquisitions = _pseudonyms("A", (each.acquisition for each in series))
        self._directory, self._series, self._splits = directory, series, splits
        self._window = window

    def write(self, index: int, bar: tqdm) -> DomainResult:
        """All slices of the domain with this index; ``bar`` counts them."""
        skipped: list[Skipped] = []
        with ExitStack() as stack:
            shards = {
                split: stack.enter_context(ShardWriter(self._directory, split, self.slugs[index]))
                for split in SPLITS
            }
            for each in self._series:
                if each.domain == self.names[index]:
                    skipped += self._write_series(each, index, shards, bar)
        return DomainResult({split: shard.count for split, shard in shards.items()}, skipped)

    def _write_series(
        self, series: Series, domain: int, shards: dict[str, ShardWriter], bar: tqdm
    ) -> list[Skipped]:
        skipped: list[Skipped] = []
        written: set[float] = set()
        for item in series.slices:
            bar.update()
            if item.position in written:
                skipped.append(Skipped(item.name, "another slice of the series at its position"))
                continue
            try:
                pixels = pixels_of(read_dataset(item.path))
            except PixelError as error:
                skipped.append(Skipped(item.name, str(error)))
                continue
            written.add(item.position)
            hu = np.where(pixels.padding, self._window[0], pixels.hu)
            header = SliceHeader(
                domain=domain,
                patient=self.patients[series.patient],
                series=self.keys[series.key],
                acquisition=self._acquisitions[series.acquisition],
                position=item.position,
                spacing=item.spacing,
                body=body_box(hu),
            )
            shard = shards[self._splits.of(series, item.position)]
            shard.write(Slice(header, np.clip(np.rint(hu), *self._window).astype(np.int16)))
        return skipped


def _check(source: Path, destination: Path, window: Window) -> None:
    limits = np.iinfo(np.int16)
    if not limits.min <= window[0] < window[1] <= limits.max:
        raise InputError(f"window {window}: must rise and lie within {limits.min} to {limits.max}")
    if destination.is_relative_to(source):
        raise InputError(f"{destination}: lies in the input folder; name one outside of it")


def _fingerprint(source: Path, files: Iterable[Path]) -> str:
    """SHA-256 of names, sizes and times of change: tells a new input from the same one again."""
    listing = hashlib.sha256()
    for path in files:
        status = path.stat()
        name = os.fsencode(path.relative_to(source))
        listing.update(b"%s\0%d\0%d\n" % (name, status.st_size, status.st_mtime_ns))
    return listing.hexdigest()


def _pseudonyms(letter: str, keys: Iterable[str]) -> dict[str, str]:
    """Key -> letter and number. Digests are the keys, so their order tells nothing."""
    return {key: f"{letter}{number:04d}" for number, key in enumerate(sorted(set(keys)), start=1)}


def _paired(series: list[Series]) -> tuple[tuple[str, str], ...]:
    """Pairs of domains with slices at the same position of the same acquisition."""
    reconstructions: dict[str, list[Series]] = defaultdict(list)
    for each in series:
        reconstructions[each.acquisition].append(each)
    pairs = {
        (min(a.domain, b.domain), max(a.domain, b.domain))
        for group in reconstructions.values()
        for a, b in combinations(group, 2)
        if a.domain != b.domain and not set(a.positions).isdisjoint(b.positions)
    }
    return tuple(sorted(pairs))


def _patients_by_split(
    series: list[Series], splits: Splits, pseudonyms: dict[str, str]
) -> dict[str, list[str]]:
    members: dict[str, set[str]] = {split: set() for split in SPLITS}
    for each in series:
        for position in each.positions:
            members[splits.of(each, position)].add(pseudonyms[each.patient])
    return {split: sorted(found) for split, found in members.items()}


def _main_reason(skipped: list[Skipped]) -> str:
    """Of all these files, why most are of no use."""
    ((reason, count),) = Counter(item.reason for item in skipped).most_common(1)
    return f"{len(skipped)} files; {count} of them: {reason}"


def _write_skipped(path: Path, skipped: list[Skipped]) -> None:
    """``skipped.csv``, atomically; bytes of a file name that are no text are escaped."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("file", "reason"))
    writer.writerows((item.file, item.reason) for item in sorted(skipped, key=lambda s: s.file))
    write_text(path, table.getvalue(), errors="backslashreplace")
