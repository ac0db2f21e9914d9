"""Writing and reading the ArrayRecord shards of a data set."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, SupportsIndex

from array_record.python.array_record_module import ArrayRecordWriter
from grain.sources import ArrayRecordDataSource

from jaxharmo.data.manifest import Domain, shard_paths
from jaxharmo.data.records import WRITER_OPTIONS, Slice, decode, encode
from jaxharmo.errors import InputError

SHARD_BYTES = 256 * 2**20
SHARD_SLICES = 4096
"""Of small slices: at every read ArrayRecord clears a list as long as its file, 1 ns a record."""


class ShardWriter:
    """Writes the slices of one domain and split; the final names appear only when all is written.

    Used as a context manager. A new shard begins when one reaches ``SHARD_BYTES`` or
    ``SHARD_SLICES``.
    """

    def __init__(self, directory: Path, split: str, slug: str):
        self._folder = directory / split
        self._folder.mkdir(parents=True, exist_ok=True)
        self._slug = slug
        self._writer: Any = None
        self._partials: list[Path] = []
        self._bytes = self._slices = 0
        self.count = 0
        for stale in self._folder.glob(f"{slug}-?????-of-?????.arrayrecord"):
            stale.unlink()

    def write(self, item: Slice) -> None:
        """Append one slice."""
        full = self._bytes >= SHARD_BYTES or self._slices >= SHARD_SLICES
        if self._writer is None or full:
            self._writer = self._open_shard()
        record = encode(item)
        self._writer.write(record)
        self._bytes += len(record)
        self._slices += 1
        self.count += 1

    def _open_shard(self) -> Any:
        self._close_shard()
        self._partials.append(self._folder / f"{self._slug}-{len(self._partials):05d}.partial")
        return ArrayRecordWriter(str(self._partials[-1]), WRITER_OPTIONS)

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._bytes, self._slices = None, 0, 0

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_shard()
        total = len(self._partials)
        for number, partial in enumerate(self._partials):
            if kind is None:
                name = f"{self._slug}-{number:05d}-of-{total:05d}.arrayrecord"
                partial.replace(self._folder / name)
            else:
                partial.unlink(missing_ok=True)


class SliceSource(Sequence[Slice]):
    """Random access to all slices of one domain and split, in the order of their writing."""

    def __init__(self, directory: Path, split: str, domain: Domain):
        self._name = f"{directory / split}, '{domain.name}'"
        paths = [str(path) for path in shard_paths(directory, split, domain)]
        with self._damage_told():
            # Grain refuses a source without files.
            self._records: Any = ArrayRecordDataSource(paths) if paths else []

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: SupportsIndex) -> Slice:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Grain checks the bounds of an iteration with an assertion.
        if index.__index__() >= len(self):
            raise IndexError(index)
        with self._damage_told():
            return decode(self._records[index.__index__()])

    @contextlib.contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self._name}: a shard is damaged; prepare the set again") from error
