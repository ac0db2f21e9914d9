"""Fuzzing guided by coverage, with Atheris where it installs (``pip install atheris``).

``python tests/fuzz/guided.py header -max_total_time=600 CORPUS``: Atheris' own options follow the
name of the target. It stops at the first find and writes the input down.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pydicom", "jaxharmo"]):
    from jaxharmo.data.manifest import FILE_NAME, read_manifest
    from jaxharmo.data.prepare.headers import Skipped, SliceFile, read_header
    from jaxharmo.data.prepare.nifti import read_labels
    from jaxharmo.data.records import decode
    from jaxharmo.errors import InputError

FOLDER = Path(tempfile.mkdtemp(prefix="jaxharmo-guided-"))


def header(data):
    path = FOLDER / "slice"
    path.write_bytes(data)
    assert isinstance(read_header(path, "slice"), Skipped | SliceFile)


def record(data):
    try:
        decode(data)
    except ValueError:
        return


def manifest(data):
    (FOLDER / FILE_NAME).write_bytes(data)
    try:
        read_manifest(FOLDER)
    except InputError:
        return


def labels(data):
    path = FOLDER / "labels.csv"
    path.write_bytes(data)
    try:
        read_labels(path, "scanner-kernel")
    except InputError:
        return


TARGETS = {target.__name__: target for target in (header, record, manifest, labels)}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
