"""Nothing is imported from where a command is called: that may be a folder of foreign data."""

import os
import sys
from pathlib import Path

_HOUSE = Path(__file__).resolve().parents[1]


def clean_path() -> None:
    """Take the working directory off the path of this process and of all that it starts.

    It gets there by ``python -m``, ``python -c`` and an empty part of PYTHONPATH. Where it is the
    folder that holds jaxharmo, it stays.
    """
    sys.path[:] = [entry for entry in sys.path if not _is_here(entry)]
    os.environ["PYTHONSAFEPATH"] = "1"
    if parts := os.environ.get("PYTHONPATH"):
        kept = [part for part in parts.split(os.pathsep) if not _is_here(part)]
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
        if not kept:
            del os.environ["PYTHONPATH"]


def _is_here(entry: str) -> bool:
    try:
        return os.path.samefile(entry or os.curdir, os.curdir) and Path.cwd() != _HOUSE
    except OSError:
        return False
