"""Who does the tasks of an evaluation: this process, others, or workers of a Dask cluster."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from jaxharmo.data.prepare import workers as processes
from jaxharmo.data.prepare.workers import Job, Workers
from jaxharmo.isolation import Death

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextlib.contextmanager
def open_workers(job: Job) -> Iterator[Workers]:
    """Who does the work: this process where ``job.elsewhere`` does not hold."""
    if not job.elsewhere:
        yield _Here()
        return
    with processes.open_workers(job.workers, job.scheduler) as opened:
        yield opened


def alive(results: Iterator[tuple[Task, Result | Death]]) -> Iterator[tuple[Task, Result]]:
    """The results; ``OSError`` at the death of a process."""
    for task, result in results:
        if isinstance(result, Death):
            raise OSError(f"a process of the evaluation ended ({result.cause}); run it again")
        yield task, result


class _Here:
    """One task after another in this process.

    Not two at a time in threads: programs of XLA that start at once on a CPU can wait for each
    other forever.
    """

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Death]]:
        for task in tasks:
            yield task, function(task)
