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
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8", errors=errors, newline="")
    partial.replace(path)
