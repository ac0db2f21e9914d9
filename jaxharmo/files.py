"""Folders and files that a command writes."""

from pathlib import Path

from jaxharmo.errors import InputError


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
