"""Who does the tasks of an evaluation: threads, processes, or workers of a Dask cluster."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from typing import TypeVar

from jaxharmo.data.prepare import workers as processes
from jaxharmo.data.prepare.workers import Job, Workers
from jaxharmo.isolation import Death

Task = TypeVar("Task")
Result = TypeVar("Result")
_AT_ONCE = 2
"""Tasks that one process has at work: while one waits for JAX, the other has its turn."""


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
    """A few tasks at a time in threads of this process."""

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Death]]:
        waiting = iter(tasks)
        # What the first task compiles and fits, the others find.
        for task in islice(waiting, 1):
            yield task, function(task)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            running = {pool.submit(function, task): task for task in waiting}
            try:
                for future in as_completed(running):
                    yield running[future], future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
