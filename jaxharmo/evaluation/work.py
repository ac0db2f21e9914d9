"""The folder of an unfinished evaluation: what it belongs to, and who is at work in it.

``parts.json`` says of which evaluation the chunks in the folder are parts.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from jaxharmo.data.prepare.workers import Job
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder, write_bytes_beside_others
from jaxharmo.lock import locked_share

MARKER = "parts.json"


def work_folder(output: Path) -> Path:
    """Beside the folder of the results."""
    return output.with_name(f"{output.name}.parts")


@contextlib.contextmanager
def held_evaluation(output: Path, job: Job) -> Iterator[Path]:
    """Hold the lock of an evaluation; its parts share it, and each holds one of its own.

    Yields the folder for chunks, which vanishes where nothing came to be in it.
    ``InputError`` where another process is at work.
    """
    folder = work_folder(output)
    make_folder(output.parent)
    lock = output.with_name(f"{output.name}.lock")
    with locked_share(lock, "this evaluation", job.share):
        try:
            yield folder
        finally:
            if job.share == (1, 1) and not any(folder.glob("*.npz")):
                close_work(folder)


def open_work(folder: Path, provenance: dict, job: Job) -> None:
    """Make ``folder`` ready for chunks of the evaluation that ``provenance`` describes, as JSON.

    Chunks of another one are discarded where this is no part. ``InputError`` where parts of another
    evaluation are there, none are there to be merged, or the folder is no folder of ours.
    """
    _, count = job.share
    marker = folder / MARKER
    if marker.exists():
        held = _read(marker)
        if held == provenance:
            return
        if count > 1 or job.merge:
            other = next(name for name in provenance if held.get(name) != provenance[name])
            raise InputError(
                f"{folder}: holds parts of another evaluation, with another {other}; give the "
                "options of those parts, or delete the folder"
            )
        shutil.rmtree(folder)
    elif job.merge:
        raise InputError(f"{folder}: no parts to merge; run --part 1/n to --part n/n first")
    elif folder.exists() and any(not path.name.startswith(MARKER) for path in folder.iterdir()):
        raise InputError(f"{folder}: not made by an evaluation; move it away")
    make_folder(folder)
    write_bytes_beside_others(marker, json.dumps(provenance).encode())


def close_work(folder: Path) -> None:
    """Remove the folder: all of it is in the results."""
    shutil.rmtree(folder, ignore_errors=True)


def _read(marker: Path) -> dict:
    try:
        held = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{marker}: damaged; delete {marker.parent}") from error
    if not isinstance(held, dict):
        raise InputError(f"{marker}: damaged; delete {marker.parent}")
    return held
