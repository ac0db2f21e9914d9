"""One process at a time writes into a folder; a crash leaves no stale lock.

It is an operating system's lock on an open file, so it ends with the process, however that ends.
Across machines it works on file systems with distributed locks: NFS 4, Lustre (mounted with
``flock``), GPFS, CephFS. The locks of a machine that fails expire there after a minute or two; a
requeued Slurm job waits for that. On file systems without locks, and on Windows, nothing is locked.
"""

import contextlib
import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from jaxharmo.errors import InputError

try:
    import fcntl
except ImportError:
    fcntl = None

LOST_MACHINE_SECONDS = 180.0
"""How long a job waits for the lock of its own earlier start; leases of NFS 4 last 90 s."""
_RETRY_SECONDS = 1.0
_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def locked(path: Path, what: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file ``path``, whose folder exists; it is removed in the end, unless shared.

    ``shared`` with others that share. ``InputError`` where another process has it; the line names
    ``what``, and the process.
    """
    file = _acquire(path, what, shared) if fcntl else None
    try:
        yield
    finally:
        if file:
            # Others wait for this very file, and look whether it still has its name.
            if not shared:
                path.unlink(missing_ok=True)
            file.close()


@contextlib.contextmanager
def locked_share(path: Path, what: str, share: tuple[int, int]) -> Iterator[None]:
    """``locked``, or with the other parts of the work where ``share`` (i, n) is one of several.

    A part is done by one process at a time.
    """
    number, count = share
    with locked(path, what, shared=count > 1), contextlib.ExitStack() as stack:
        if count > 1:
            name = f"part {number} of {count}"
            own = path.with_name(f"{path.stem}.part-{number}-of-{count}.lock")
            stack.enter_context(locked(own, name))
        yield


def _acquire(path: Path, what: str, shared: bool) -> IO[str] | None:
    assert fcntl
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    end = time.monotonic() + LOST_MACHINE_SECONDS
    while True:
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            if error.errno in _CLOSED:
                # Nobody can write here; the first write reports it.
                return None
            raise
        try:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except OSError as error:
            holder = _read(file)
            file.close()
            if error.errno in _UNKNOWN:
                return None
            if _is_own_earlier_start(holder) and time.monotonic() < end:
                time.sleep(_RETRY_SECONDS)
                continue
            by = f"process {holder['process']} on {holder['machine']}" if holder else "another"
            raise InputError(
                f"{path.parent}: {by} is at work on {what}; wait for its end, or name another"
            ) from None
        if _has_its_name(file, path):
            _write(file)
            return file
        file.close()


def _has_its_name(file: IO[str], path: Path) -> bool:
    """Whether the file that is locked was not removed by the holder before."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _is_own_earlier_start(holder: dict[str, str]) -> bool:
    job = os.environ.get("SLURM_JOB_ID", "")
    return bool(job) and holder.get("job") == job and holder.get("start") != _start()


def _start() -> str:
    """How often Slurm has put the job into the queue again."""
    return os.environ.get("SLURM_RESTART_COUNT", "0")


def _write(file: IO[str]) -> None:
    holder = {
        "machine": platform.node(),
        "process": str(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "start": _start(),
    }
    file.truncate(0)
    file.write(json.dumps(holder))
    file.flush()


def _read(file: IO[str]) -> dict[str, str]:
    """Who holds the lock; empty where that cannot be read, as in the moment of its taking."""
    try:
        file.seek(0)
        holder = json.load(file)
        return {name: str(holder[name]) for name in ("machine", "process", "job", "start")}
    except (ValueError, KeyError, TypeError, OSError):
        return {}
