"""Untrusted bytes are decoded in helper processes, so that a crash costs one file.

Decoders of compressed pixels are native code. Damaged bytes can make them crash, loop or allocate
all memory. This is no sandbox: a helper has the rights of the user.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxharmo.clean_path import clean_path

try:
    import resource
except ImportError:  # Windows: there, files have no limits, but their own process all the same.
    resource = None

SECONDS = 120
"""Of a processor that one file, or one slice of it, may take; ten times as long by the clock."""
MEMORY = 2**30
"""Bytes that the decoding of one file, or one slice of it, may take (Linux)."""
_PRELOAD = ["jaxharmo.data.prepare.tasks"]
_SLOW = 10
_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
_TOO_LONG = ("SIGPROF", "SIGALRM")


@dataclasses.dataclass(frozen=True)
class Death:
    """The end of a helper in the midst of its task."""

    cause: str
    """Name of the signal, or the exit code."""

    @property
    def from_outside(self) -> bool:
        """Somebody ended the process, the kernel for lack of memory perhaps: no file did."""
        return self.cause in _FROM_OUTSIDE

    @property
    def reason(self) -> str:
        """Of the file that it died at, as in ``skipped.csv``."""
        if self.cause in _TOO_LONG:
            return f"decoding takes longer than {SECONDS} s"
        return f"its decoder crashes ({self.cause})"


class Helper:
    """A process that runs one function at a time; it starts with its first, and anew after a death.

    Functions and arguments must be picklable. Not for several threads at once.
    """

    def __init__(self) -> None:
        self._process: Any = None
        self.connection: Any = None
        """Readable, for ``multiprocessing.connection.wait``, when ``receive`` will not block."""

    def send(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Begin; ``receive`` has the end."""
        if self._process is None:
            self._start()
        try:
            self.connection.send((function, arguments))
        except OSError:
            # It was killed while it had nothing to do.
            self.close()
            self._start()
            self.connection.send((function, arguments))

    def receive(self) -> Any:
        """What the function returned, a ``Death``, or raises what it raised."""
        try:
            raised, value = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self.close()
            return Death(signal.Signals(-code).name if code < 0 else f"exit code {code}")
        if raised:
            raise value
        return value

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """``send`` and ``receive``."""
        self.send(function, *arguments)
        return self.receive()

    def close(self) -> None:
        """End the process, whatever it is at."""
        if self._process is not None:
            self.connection.close()
            self._process.kill()
            self._process.join()
            self._process.close()
        self._process = self.connection = None

    def _start(self) -> None:
        context = _context()
        self.connection, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _as_a_parent():
            process.start()
        self._process = process
        theirs.close()


class Helpers:
    """A pool with one helper per thread that needs one; they end with this process."""

    def __init__(self) -> None:
        self._idle: list[Helper] = []

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """As ``Helper.call``; ``OSError`` where somebody ended the helper."""
        try:
            helper = self._idle.pop()
        except IndexError:
            helper = Helper()
        try:
            return survived(helper.call(function, *arguments))
        finally:
            self._idle.append(helper)


def survived(result: Any) -> Any:
    """``result``; ``OSError`` where it is a death that no file is to blame for."""
    if isinstance(result, Death) and result.from_outside:
        raise OSError(
            f"a helper process was ended ({result.cause}), for lack of memory perhaps; "
            "the same command goes on"
        )
    return result


def warm_up() -> None:
    """Let what helpers are made from start in the background, if there is such a thing here."""
    context = _context()
    if context.get_start_method() == "forkserver":
        from multiprocessing import forkserver

        with _as_a_parent():
            forkserver.ensure_running()


@contextlib.contextmanager
def limited(memory: int = MEMORY) -> Iterator[None]:
    """The share of one file: in a helper, time and memory beyond it end in a ``Death`` or an error.

    ``memory``: bytes that may be allocated. Outside a helper nothing is limited, because the end of
    the process would cost more than the file.
    """
    if _at_rest is None or resource is None:
        yield
        return
    used, hard = _at_rest
    most = hard if used is None else used + memory
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, _SLOW * SECONDS)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


_at_rest: tuple[int | None, int] | None = None
"""In a helper: bytes of data that it has while it decodes nothing (Linux), and may have at all."""


def _serve(connection: Any) -> None:
    """Run what comes until nothing comes any more."""
    _become_a_helper()
    while True:
        try:
            function, arguments = connection.recv()
            answer = (False, function(*arguments))
        except EOFError:
            return
        except Exception as error:
            answer = (True, error)
        try:
            connection.send(answer)
        except OSError:
            return
        except Exception as error:
            connection.send((True, RuntimeError(f"{type(error).__name__}: {error}")))


def _become_a_helper() -> None:
    """Leave interrupts to the parent, end with it even if it is killed, and be silent.

    Decoders print what they think of damaged bytes, some of it with values of the header.
    """
    global _at_rest
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    if resource is not None:
        # A crash is expected here; its picture of the memory would hold the patient's image.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        statistics = Path("/proc/self/statm")
        used = None
        if statistics.exists():
            used = int(statistics.read_text().split()[5]) * resource.getpagesize()
        _at_rest = (used, hard)


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _context() -> Any:
    # Not by forking: threads of numerical libraries do not survive it.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(_PRELOAD)
    return context


@contextlib.contextmanager
def _as_a_parent() -> Iterator[None]:
    """While processes start: on a clean path, without the main script, and though we are a daemon.

    The fork server would put the working directory first on its path, and import ``numpy.py`` from
    a folder of data. To run the main script again would cost the start of JAX, and fail where it
    has no guard. Workers of Dask are daemons, which may have no children for fear of orphans:
    helpers are none, they end with their parent.
    """
    with _lock, _main_hidden(), _path_clean(), _daemon_forgotten():
        yield


_lock = threading.Lock()


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    main = sys.modules["__main__"]
    hidden = {name: vars(main).pop(name) for name in ("__file__",) if name in vars(main)}
    spec, main.__spec__ = main.__spec__, None
    try:
        yield
    finally:
        vars(main).update(hidden)
        main.__spec__ = spec


@contextlib.contextmanager
def _path_clean() -> Iterator[None]:
    names = ("PYTHONSAFEPATH", "PYTHONPATH")
    path, environment = list(sys.path), {name: os.environ.get(name) for name in names}
    clean_path()
    try:
        yield
    finally:
        sys.path[:] = path
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _daemon_forgotten() -> Iterator[None]:
    config = multiprocessing.current_process()._config  # pyright: ignore[reportAttributeAccessIssue]
    daemon = config.pop("daemon", None)
    try:
        yield
    finally:
        if daemon is not None:
            config["daemon"] = daemon
