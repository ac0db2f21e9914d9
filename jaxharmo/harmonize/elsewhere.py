"""Volumes harmonized by other processes: of this machine, or of the workers of a Dask cluster."""

import functools
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxharmo.console import Progress
from jaxharmo.data.prepare.workers import Spread, limit_threads, open_workers
from jaxharmo.errors import InputError
from jaxharmo.harmonize.derivation import Method
from jaxharmo.harmonize.nifti import NiftiImage
from jaxharmo.harmonize.series import DicomSeries
from jaxharmo.harmonize.volume import Report, harmonize_volume
from jaxharmo.isolation import Death
from jaxharmo.runtime import keep_compilations


class Task(NamedTuple):
    """One volume to one place."""

    volume: DicomSeries | NiftiImage
    place: Path
    method: int
    """Number of the method."""
    title: str


def elsewhere(
    tasks: Sequence[Task],
    opener: Callable[[], list[Method]],
    origin: str | None,
    spread: Spread,
    report: Report,
) -> Iterator[str]:
    """What went wrong with each, as they end; ``opener`` gives a process its methods."""
    run = functools.partial(
        _harmonize, opener=pickle.dumps(opener), origin=origin, threads=spread.threads
    )
    with (
        open_workers(spread.workers, spread.scheduler) as workers,
        Progress("harmonizing", len(tasks), "result", report) as progress,
    ):
        for task, result in workers.run(run, tasks):
            if isinstance(result, Death):
                raise OSError(f"{task.title}: its process ended ({result.cause}); run it again")
            lines, error = result
            for line in (task.title, *lines, *([f"failed: {error}"] if error else [])):
                report(line)
            progress.advance()
            yield error


def _harmonize(
    task: Task, opener: bytes, origin: str | None, threads: int
) -> tuple[list[str], str]:
    """In another process: what there is to be said, and what went wrong."""
    lines: list[str] = []
    try:
        method = _methods(opener, threads)[task.method]
        harmonize_volume(task.volume, task.place, method, lines.append, origin)
    except InputError as error:
        return lines, str(error)
    return lines, ""


@functools.lru_cache(1)
def _methods(opener: bytes, threads: int) -> list[Method]:
    """Opened for the first task, kept for the others."""
    limit_threads(threads)
    keep_compilations()
    return pickle.loads(opener)()
