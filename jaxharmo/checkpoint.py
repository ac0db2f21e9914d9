"""Checkpoints of named pytrees by step, with Orbax; the only module that imports Orbax.

A checkpoint is the folder ``RUN/checkpoints/<step>``. It is written under another name; its files
are flushed to the disk and their SHA-256 listed in ``digests.json``; then it gets its name, and
only then is the oldest one removed. So a save that is killed at any moment, or that finds the disk
full, leaves no checkpoint and touches none. A reader compares the files with their digests.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from orbax.checkpoint import v1 as ocp

from jaxharmo.console import message
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder, write_text
from jaxharmo.runtime import agree, is_alone, is_main_process, process

FOLDER = "checkpoints"
DIGESTS = "digests.json"
_PARTIAL = ".partial"
_DAMAGED = ".damaged"
Trees = TypeVar("Trees", bound=dict[str, Any])

# Orbax logs a dozen lines for every save.
logging.getLogger("absl").setLevel(logging.ERROR)


class Checkpoints:
    """The checkpoints under ``RUN/checkpoints``; saving runs in the background.

    Used as a context manager: leaving it waits for the last save. The job that trains names how
    many to ``keep``, and clears away the remains of killed saves; without it nothing is removed.
    """

    def __init__(self, workdir: Path, keep: int | None = None):
        self._folder = workdir / FOLDER
        self._keep = keep
        self._saver = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Future[None] | None = None
        if keep:
            make_folder(self._folder)
            if is_main_process():
                self._clear()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A failed save must not hide why the work has stopped.
        self._saver.shutdown()
        if kind is None:
            self.wait()

    @property
    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, rising."""
        if not self._folder.is_dir():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())

    def find_sound(self, report: Callable[[str], None] = message) -> int:
        """Step of the newest undamaged checkpoint, the same for all processes; 0: there is none.

        Damaged ones are reported, and set aside as ``<step>.damaged`` by the job that trains.
        Raises ``InputError`` where all are damaged.
        """
        steps, sound = self.steps, -1
        if is_main_process():
            sound = self._find_sound(steps, report) if steps else 0
        sound = agree(sound)
        if sound < 0:
            raise InputError(f"{self._folder}: every checkpoint is damaged; train in a new folder")
        return sound

    def save(self, step: int, trees: dict[str, Any]) -> None:
        """Begin to save the named trees; they are copied first, so they may be donated at once.

        All processes have to come here. Raises ``OSError`` where this save, or the one before,
        fails; ``wait`` and ``raise_failure`` raise it, too.
        """
        self.wait()
        partial = self._folder / f"{step}{_PARTIAL}"
        try:
            written = ocp.save_checkpointables_async(str(partial.absolute()), trees)
        except Exception as error:
            raise self._failure(step, error) from error
        self._saving = self._saver.submit(self._finish, step, partial, written)

    def wait(self) -> None:
        """Return when the last save is done."""
        if self._saving:
            saving, self._saving = self._saving, None
            saving.result()

    def raise_failure(self) -> None:
        """Raise what has stopped the last save, if it has failed by now."""
        if self._saving and self._saving.done():
            self.wait()

    def restore(self, step: int, like: Trees) -> Trees:
        """The trees named in ``like``, in its structure and shardings; others are not read.

        Raises ``InputError`` where one does not fit, for example after a change of the model.
        """
        path = self._folder / str(step)
        try:
            with ocp.Context(multiprocessing_options=_readers()):
                return ocp.load_checkpointables(str(path.absolute()), like)  # pyright: ignore[reportReturnType]
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{path}: of another model ({_reason(error)})") from error

    def _find_sound(self, steps: list[int], report: Callable[[str], None]) -> int:
        for step in reversed(steps):
            path = self._folder / str(step)
            damage = find_damage(path)
            if damage is None:
                return step
            aside = path.with_name(f"{step}{_DAMAGED}")
            report(f"{path}: damaged ({damage}); {'set aside' if self._keep else 'left out'}")
            if self._keep:
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
        return -1

    def _finish(self, step: int, partial: Path, written: ocp.AsyncResponse[None]) -> None:
        try:
            written.result()
            if is_main_process():
                _seal(partial)
                partial.rename(self._folder / str(step))
                _flush(self._folder)
                for old in self.steps[: -self._keep] if self._keep else ():
                    unnamed = self._folder / f"{old}{_PARTIAL}"
                    shutil.rmtree((self._folder / str(old)).rename(unnamed))
        except Exception as error:
            raise self._failure(step, error) from error

    def _failure(self, step: int, error: Exception) -> OSError:
        if is_main_process():
            self._clear()
        kept = f"checkpoint {self.steps[-1]} is kept" if self.steps else "there is none before it"
        return OSError(
            f"{self._folder / str(step)}: could not be saved ({_reason(error)}); {kept}; mend this "
            "and run the same command again"
        )

    def _clear(self) -> None:
        for path in self._folder.glob(f"*{_PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)


def find_damage(path: Path) -> str | None:
    """What is wrong with the files of a checkpoint; ``None`` for a sound one."""
    try:
        digests = json.loads((path / DIGESTS).read_text(encoding="utf-8"))
        for name, expected in digests.items():
            size = (path / name).stat().st_size
            if size != expected["bytes"]:
                return f"{name} has {size} of {expected['bytes']} bytes"
            if _sha256(path / name) != expected["sha256"]:
                return f"{name} has changed"
    except OSError as error:
        return f"{Path(error.filename or path).name}: {error.strerror}"
    except (ValueError, AttributeError, KeyError, TypeError):
        return f"{DIGESTS} cannot be read"
    return None


def has_checkpoints(workdir: Path) -> bool:
    """Whether training in ``workdir`` would resume from a checkpoint."""
    return bool(Checkpoints(workdir).steps)


def find_step(workdir: Path, step: int | None) -> int:
    """``step``, or that of the newest undamaged checkpoint.

    Raises ``InputError`` where that step is damaged or does not exist; it lists those that do.
    """
    folder, checkpoints = workdir / FOLDER, Checkpoints(workdir)
    if not folder.is_dir():
        raise InputError(f"{workdir}: no {FOLDER} in it; name the folder of a training run")
    if not checkpoints.steps:
        raise InputError(f"{folder}: no finished checkpoint; train first")
    if step is None:
        return checkpoints.find_sound()
    if step not in checkpoints.steps:
        found = ", ".join(map(str, checkpoints.steps))
        raise InputError(f"{folder}: no checkpoint of step {step}; there are: {found}")
    if damage := find_damage(folder / str(step)):
        raise InputError(f"{folder / str(step)}: damaged ({damage}); choose another --step")
    return step


def _readers() -> ocp.options.MultiprocessingOptions:
    """Who reads together: all processes of a run; one that has parted from them by itself."""
    if not is_alone():
        return ocp.options.MultiprocessingOptions()
    this = process()[0]
    return ocp.options.MultiprocessingOptions(primary_host=this, active_processes={this})


def _seal(folder: Path) -> None:
    """Flush every file of a folder to the disk and list its size and digest."""
    digests = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        _flush(path)
        digests[path.relative_to(folder).as_posix()] = {
            "bytes": path.stat().st_size,
            "sha256": _sha256(path),
        }
    write_text(folder / DIGESTS, json.dumps(digests, indent=1) + "\n")
    _flush(folder / DIGESTS)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        _flush(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: BaseException) -> str:
    """The first line of a message; of TensorStore's, the operating system's words."""
    (line, *_) = [*str(error).strip().splitlines(), type(error).__name__]
    known = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
    return next((words for words in known if words in str(error)), line[:200])
