"""All files of a folder -> the slices in them, read in helper processes."""

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxharmo.console import Progress
from jaxharmo.data.prepare.headers import Skipped, SliceFile, read_header
from jaxharmo.data.prepare.series import Series, group, without_copies
from jaxharmo.data.prepare.workers import Workers, cores, open_workers
from jaxharmo.isolation import Death, limited

ReadFile = Callable[[Path, str], list[SliceFile | Skipped]]
"""Folder, name below it -> what is in the file; of the module level, or a ``partial`` of such."""
FILES_A_TASK = 200
_MOST_HELPERS = 4


def scan(
    workers: Workers,
    source: Path,
    files: list[Path],
    read: ReadFile,
    report: Callable[[str], object],
) -> Iterator[SliceFile | Skipped]:
    """What is in all files, in the order of their names.

    Where a process dies, the files that it had are read again each on its own: one that ends its
    process again is skipped, the others are not.
    """
    names = [path.relative_to(source).as_posix() for path in files]
    tasks = [
        tuple(names[start : start + FILES_A_TASK]) for start in range(0, len(names), FILES_A_TASK)
    ]
    found: dict[str, list[SliceFile | Skipped]] = {}
    suspects: list[tuple[str]] = []
    with Progress("headers", len(files), "file", report, summary=False) as progress:
        read_all = functools.partial(_read_files, read, source)
        for task, result in workers.run(read_all, tasks):
            if isinstance(result, Death):
                suspects += [(name,) for name in task]
            else:
                found |= zip(task, result, strict=True)
                progress.advance(len(task))
        for (name,), result in workers.run(read_all, suspects):
            found[name] = (
                [Skipped(name, result.reason, lost=True)]
                if isinstance(result, Death)
                else result[0]
            )
            progress.advance(1)
    return itertools.chain.from_iterable(found.pop(name) for name in names)


def find_series(
    source: Path,
    files: list[Path],
    *,
    derived: bool = False,
    ours: bool = False,
    report: Callable[[str], object] = print,
) -> tuple[list[Series], list[Skipped]]:
    """The series of single-frame CT slices among ``files``, every slice once.

    ``derived`` accepts derived images, ``ours`` output of jaxharmo. The other files come with a
    reason. The order of both lists does not depend on the order of the files.
    """
    count = min(cores(), _MOST_HELPERS, -(-len(files) // FILES_A_TASK))
    with open_workers(count) as workers:
        read = functools.partial(_read_one, derived, ours)
        series, skipped = group(scan(workers, source, files, read, report))
    series, copies = without_copies(series)
    return series, sorted([*skipped, *copies], key=lambda item: item.file)


def _read_one(derived: bool, ours: bool, source: Path, name: str) -> list[SliceFile | Skipped]:
    return [read_header(source / name, name, derived=derived, ours=ours)]


def _read_files(
    read: ReadFile, source: Path, names: tuple[str, ...]
) -> list[list[SliceFile | Skipped]]:
    found = []
    for name in names:
        with limited():
            found.append(read(source, name))
    return found
