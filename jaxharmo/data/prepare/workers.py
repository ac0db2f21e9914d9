"""Who does the work: helper processes of this machine, or of the workers of a Dask cluster.

Order of completion is theirs; nothing that is written may depend on it.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from jaxharmo.errors import InputError
from jaxharmo.isolation import Death, Helper, survived

Task = TypeVar("Task")
Result = TypeVar("Result")
CONNECT_SECONDS = 30
_IN_FLIGHT = 2
"""Tasks a Dask worker that are handed out at a time; the others are not even made yet."""


class Workers(Protocol):
    """Runs a function of the module level on tasks that can be pickled."""

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Death]]:
        """Every task with its result, as they come, or with the death of the process it ran in.

        One call at a time. ``OSError`` where somebody ended a process, as the kernel does for lack
        of memory.
        """
        ...


@contextlib.contextmanager
def open_workers(count: int, scheduler: str | None = None) -> Iterator[Workers]:
    """``count`` processes (0: one a core), or the Dask cluster at the address ``scheduler``.

    ``InputError`` where the cluster cannot be reached.
    """
    if count < 0:
        raise InputError(f"workers {count}: must not be negative")
    if scheduler:
        with _dask_client(scheduler) as client:
            yield _Dask(client)
        return
    helpers = [Helper() for _ in range(count or cores())]
    try:
        yield _Here(helpers)
    finally:
        for helper in helpers:
            helper.close()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Here:
    def __init__(self, helpers: list[Helper]):
        self._helpers = helpers

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Death]]:
        waiting = iter(tasks)
        busy: dict[Any, tuple[Helper, Task]] = {}

        def begin(helpers: list[Helper]) -> None:
            for helper, task in zip(helpers, waiting, strict=False):
                helper.send(function, task)
                busy[helper.connection] = helper, task

        begin(self._helpers)
        while busy:
            for connection in wait(list(busy)):
                helper, task = busy.pop(connection)
                result = survived(helper.receive())
                begin([helper])
                yield task, result


class _Dask:
    def __init__(self, client: Any):
        self._client = client

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Death]]:
        from distributed import as_completed

        waiting = iter(tasks)
        running: dict[str, Task] = {}
        done = as_completed(loop=self._client.loop)
        while True:
            workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
            for task in itertools.islice(waiting, _IN_FLIGHT * workers - len(running)):
                future = self._client.submit(_in_a_helper, function, task, pure=False)
                running[future.key] = task
                done.add(future)
            if not running:
                return
            future = next(done)
            yield running.pop(future.key), survived(future.result())


_thread = threading.local()


def _in_a_helper(function: Callable[[Any], Any], task: Any) -> Any:
    """In a Dask worker: Dask would start it again, and give the same file to all the others."""
    if not hasattr(_thread, "helper"):
        _thread.helper = Helper()
    return _thread.helper.call(function, task)


@contextlib.contextmanager
def _dask_client(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise InputError('--scheduler needs Dask: pip install "jaxharmo[cluster]"') from None
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({type(error).__name__})"
        ) from error
    with client:
        yield client
