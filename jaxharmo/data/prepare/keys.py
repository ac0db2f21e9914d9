"""The key file: the patient behind each pseudonym. Optional, and never with the shards."""

import csv
import io
import os
from pathlib import Path

from jaxharmo.data.prepare.elements import quiet, texts
from jaxharmo.data.prepare.nifti import is_nifti
from jaxharmo.data.prepare.plan import Plan
from jaxharmo.data.prepare.reading import read_dicom
from jaxharmo.files import defused, make_folder

HEAD = ("series", "patient", "acquisition", "PatientID", "StudyInstanceUID", "SeriesInstanceUID",
        "folder")  # fmt: skip


def write_key_file(path: Path, plan: Plan) -> None:
    """A CSV with a line a series, readable by its owner alone.

    The identifiers are read again, as none is kept. A NIfTI volume has only its path.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(HEAD)
    for each in plan.series:
        item = each.slices[0]
        identifiers = ["", "", ""]
        if not is_nifti(item.name):
            with quiet():
                header = read_dicom(item.path, stop_before_pixels=True)
                identifiers = [" ".join(texts(header, keyword)) for keyword in HEAD[3:6]]
        place = item.name if is_nifti(item.name) else Path(item.name).parent.as_posix()
        pseudonyms = (
            plan.keys[each.key],
            plan.patients[each.patient],
            plan.acquisitions[each.acquisition],
        )
        writer.writerow(map(defused, (*pseudonyms, *identifiers, place)))
    make_folder(path.parent)
    partial = path.with_name(f"{path.name}.partial")
    with open(
        os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        "w",
        encoding="utf-8",
        errors="backslashreplace",
        newline="",
    ) as file:
        file.write(table.getvalue())
    partial.replace(path)
