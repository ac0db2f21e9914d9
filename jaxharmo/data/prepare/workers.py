"""Who does the work: helper processes of this machine, or of the workers of a Dask cluster.

Order of completion is theirs; nothing that is written may depend on it.
"""

import contextlib
import dataclasses
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """Who does the work; the result does not depend on it."""

    workers: int = 0
    """Processes; 0 is one a core."""
    scheduler: str | None = None
    """Address of a Dask scheduler that does the work instead (tcp://host:port); its workers must
    see all folders under the same names."""
    part: str | None = None
    """i/n: do the i-th of n parts, as an array job of a cluster does, and leave the others."""

    @property
    def share(self) -> tuple[int, int]:
        """Number and count of the part, 1 of 1 where there is one; ``InputError`` for no part."""
        if self.part is None:
            return 1, 1
        first, slash, second = self.part.partition("/")
        number, count = (int(each) if each.isdecimal() else 0 for each in (first, second))
        if not slash or not 1 <= number <= count:
            raise InputError(f"part {self.part}: must be i/n, as 1/8 is the first of eight")
        return number, count

    @property
    def elsewhere(self) -> bool:
        """Whether other processes do the work."""
        return self.scheduler is not None or self.workers != 1

    @property
    def threads(self) -> int:
        """Of each of the other processes, so that all of them together have this machine's cores.

        A worker of Dask is taken to have one core for each of its threads.
        """
        return 1 if self.scheduler else max(1, cores() // (self.workers or cores()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job(Spread):
    """Work that ends with what needs all of it."""

    merge: bool = False
    """Finish what all parts have done."""

    @property
    def share(self) -> tuple[int, int]:
        """As of ``Spread``; ``InputError`` where a part is to be merged, too."""
        if self.merge and self.part is not None:
            raise InputError("--merge finishes what all parts have done; give it without --part")
        return super().share


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


def limit_threads(count: int) -> None:
    """Let this process use ``count`` cores; to be called before JAX starts its threads."""
    os.environ["NPROC"] = str(count)


def cores() -> int:
    """Cores that this process may use: at most ``NPROC`` of the environment, by which XLA goes."""
    limit = os.environ.get("NPROC", "")
    if limit.isdecimal() and int(limit):
        return int(limit)
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
