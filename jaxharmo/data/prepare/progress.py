"""The folder of an unfinished shard set: whether it is ours, and what is done.

``progress.json`` marks the folder as ours and unfinished; ``work/`` holds the tasks that are done.
Both vanish when the manifest is written.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from jaxharmo.data.manifest import FILE_NAME as MANIFEST_NAME
from jaxharmo.data.manifest import SPLITS, Manifest, read_manifest
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder
from jaxharmo.lock import locked

FILE_NAME = "progress.json"
LOCK = "progress.json.lock"
WORK = "work"


def open_destination(
    directory: Path, provenance: dict[str, str], *, shared: bool = False
) -> Manifest | None:
    """A finished set of the same provenance; None after a new or unfinished one is made ready.

    What an unfinished set of another provenance has is discarded, unless the folder is ``shared``
    with other jobs. ``InputError`` where ``directory`` holds anything else.
    """
    if (directory / MANIFEST_NAME).exists():
        manifest = read_manifest(directory)
        if manifest.provenance != provenance:
            raise InputError(
                f"{directory}: holds a shard set made from other files or settings, or "
                "by another version; name a new folder, or delete this one"
            )
        close_destination(directory)
        return manifest
    marker = directory / FILE_NAME
    if marker.exists():
        try:
            same = json.loads(marker.read_text(encoding="utf-8"))["provenance"] == provenance
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{marker}: damaged; delete {directory}") from error
        if not same and shared:
            raise InputError(
                f"{directory}: holds parts made from other files or settings; delete it first"
            )
        if not same:
            for folder in (WORK, *SPLITS):
                shutil.rmtree(directory / folder, ignore_errors=True)
    elif directory.exists() and any(
        not entry.name.startswith(FILE_NAME) for entry in directory.iterdir()
    ):
        raise InputError(f"{directory}: not empty and no shard set; name a new or empty folder")
    make_folder(directory / WORK)
    # Several jobs may do this at once, so the passing name is each one's own.
    partial = directory / f"{FILE_NAME}-{os.getpid()}.partial"
    partial.write_text(json.dumps({"provenance": provenance}), encoding="utf-8")
    partial.replace(marker)
    return None


@contextlib.contextmanager
def held_destination(directory: Path, *, shared: bool = False) -> Iterator[None]:
    """Make the folder and hold its lock; a folder in which nothing came to be is removed."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: a file; name a new or empty folder for the shards")
    make_folder(directory)
    try:
        with locked(directory / LOCK, "this shard set", shared=shared):
            yield
    finally:
        if not any(directory.iterdir()):
            directory.rmdir()


def close_destination(directory: Path) -> None:
    """Remove what belongs to an unfinished set: the manifest now marks it as complete."""
    shutil.rmtree(directory / WORK, ignore_errors=True)
    for stale in (*directory.glob(f"{FILE_NAME}-*.partial"), directory / FILE_NAME):
        stale.unlink(missing_ok=True)
