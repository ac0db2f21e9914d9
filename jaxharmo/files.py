"""Folders and files that a command writes."""

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from jaxharmo.errors import InputError

PARTIAL_SUFFIX = ".jaxharmo-partial"
_FORMULA = tuple("=+-@\t\r\n")


def make_folder(path: Path) -> None:
    """Make a folder and its parents; ``InputError`` where its place is taken or closed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise InputError(
            f"{path}: cannot be made a folder ({error.strerror}); name another"
        ) from error


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write a file under a temporary name first, so that it is never seen half-written."""
    write_bytes(path, text.encode("utf-8", errors))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name first, so that it is never seen half-written."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def write_bytes_beside_others(path: Path, content: bytes) -> None:
    """``write_bytes`` where several processes may write the file at once."""
    partial = path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def defused(cell: object) -> object:
    """A cell of a CSV as it is, or with an apostrophe before what a spreadsheet would run.

    Names and texts of foreign files may begin like a formula.
    """
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA else cell


@contextlib.contextmanager
def appearing_folder(destination: Path) -> Iterator[Path]:
    """A folder beside ``destination`` that takes its name if all goes well, else vanishes.

    ``InputError`` where it cannot be made. What a killed run left of it is removed first.
    """
    partial = destination.with_name(destination.name + PARTIAL_SUFFIX)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{destination}: cannot be written ({error.strerror})") from error
    try:
        yield partial
        if destination.exists():
            destination.rmdir()
        partial.rename(destination)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
