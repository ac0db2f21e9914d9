"""Who does the work: this process, processes on all cores, or a Dask cluster.

Order of completion is theirs; nothing that is written may depend on it.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from jaxharmo.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")
CONNECT_SECONDS = 30
_IN_FLIGHT = 2
"""Tasks a worker that are handed out at a time; the others are not even made yet."""


class Workers(Protocol):
    """Runs a function of the module level on tasks that can be pickled."""

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Every task with its result, as they come."""
        ...


@contextlib.contextmanager
def open_workers(count: int, scheduler: str | None) -> Iterator[Workers]:
    """``count`` processes (0: one a core), or the Dask cluster at the address ``scheduler``.

    ``InputError`` where the cluster cannot be reached.
    """
    if count < 0:
        raise InputError(f"workers {count}: must not be negative")
    if scheduler:
        with _dask_client(scheduler) as client:
            yield _Dask(client)
        return
    count = count or cores()
    if count == 1:
        yield _Here()
        return
    # Not by forking: threads of numerical libraries do not survive it.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["jaxharmo.data.prepare.units"])
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_outlive_nobody)
    try:
        yield _Processes(pool, count)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Here:
    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        for task in tasks:
            yield task, function(task)


class _Processes:
    def __init__(self, pool: ProcessPoolExecutor, count: int):
        self._pool, self._count = pool, count

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        waiting = iter(tasks)
        running: dict[Any, Task] = {}
        try:
            while True:
                for task in itertools.islice(waiting, _IN_FLIGHT * self._count - len(running)):
                    with _main_hidden():
                        running[self._pool.submit(function, task)] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    yield task, future.result()
        except BrokenProcessPool:
            raise OSError(
                "a worker process died, for lack of memory or in a decoder of compressed pixels; "
                "the same command goes on, with --workers 1 in one process"
            ) from None


class _Dask:
    def __init__(self, client: Any):
        self._client = client

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        from distributed import as_completed

        waiting = iter(tasks)
        running: dict[str, Task] = {}
        done = as_completed(loop=self._client.loop)
        while True:
            workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
            for task in itertools.islice(waiting, _IN_FLIGHT * workers - len(running)):
                future = self._client.submit(function, task, pure=False)
                running[future.key] = task
                done.add(future)
            if not running:
                return
            future = next(done)
            yield running.pop(future.key), future.result()


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


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep new processes from running the main script again, which all they do needs nothing of.

    It would cost them the start of JAX, and fail where the script has no guard.
    """
    main = sys.modules["__main__"]
    hidden = {name: vars(main).pop(name) for name in ("__file__",) if name in vars(main)}
    spec, main.__spec__ = main.__spec__, None
    try:
        yield
    finally:
        vars(main).update(hidden)
        main.__spec__ = spec


def _outlive_nobody() -> None:
    """Leave interrupts to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    sys.stderr.flush()
    os._exit(1)
