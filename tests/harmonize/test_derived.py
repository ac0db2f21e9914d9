"""Derived images on demand; what jaxharmo made never."""

import pydicom
import pytest
from dicom_files import write_series
from harmonized import harmonized, method, outputs

from jaxharmo.errors import InputError
from jaxharmo.harmonize.batch import find_volumes, run

DERIVED = ["DERIVED", "SECONDARY", "AXIAL"]


def allowed(source, destination):
    volumes = find_volumes(source, derived=True, report=lambda line: None)
    return run(volumes, destination, [method()], report=lambda line: None)


def test_a_derived_series_on_demand(tmp_path):
    write_series(tmp_path / "in", slices=3, ImageType=DERIVED)
    with pytest.raises(InputError, match="insist with --allow-derived"):
        harmonized(tmp_path / "in", tmp_path / "out")
    assert allowed(tmp_path / "in", tmp_path / "out") == 1
    assert len(outputs(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    "lost", [(), ("DerivationDescription",), ("ContributingEquipmentSequence",)]
)
@pytest.mark.parametrize("image_type", [DERIVED, ["ORIGINAL", "PRIMARY", "AXIAL"]])
def test_what_jaxharmo_made_stays_refused(tmp_path, lost, image_type):
    """By its marks, one of which an export may drop, whatever ImageType says by now."""
    write_series(tmp_path / "in", slices=3)
    harmonized(tmp_path / "in", tmp_path / "once")
    for path in (tmp_path / "once").glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.ImageType = image_type
        for keyword in lost:
            del dataset[keyword]
        dataset.save_as(path)
    (tmp_path / "once" / "harmonization.json").unlink()
    with pytest.raises(InputError, match="harmonized by jaxharmo, which is not harmonized again"):
        allowed(tmp_path / "once", tmp_path / "twice")
