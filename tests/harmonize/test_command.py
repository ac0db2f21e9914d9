import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import ct_slice, save, write_series
from random_weights import random_weights
from small import SMALL, replace

from jaxharmo.errors import InputError
from jaxharmo.harmonize.command import Choices, harmonize_command
from jaxharmo.harmonize.harmonizer import Harmonizer
from jaxharmo.translator import Translator

OWN = "SIEMENS Sensation 16 -- B30f"
DOMAINS = (OWN, "SIEMENS Sensation 16 -- B70f", "GE MEDICAL SYSTEMS LightSpeed VCT -- LUNG")


@pytest.fixture(scope="module")
def harmonizer():
    config = replace(SMALL, data={"domains": DOMAINS}, eval={"batch_size": 4})
    translator = Translator(config, random_weights(config), 3)
    return Harmonizer(translator, Path("no-such-folder"), name="small")


def run(harmonizer, source, destination, **choices):
    lines = []
    count = harmonize_command(
        source, destination, lambda: harmonizer, Choices(**choices), lines.append
    )
    return count, lines


def sidecars(folder):
    return {
        path.parent.relative_to(folder).as_posix(): json.loads(path.read_text())
        for path in folder.rglob("harmonization.json")
    }


def test_every_series_to_every_other_domain(harmonizer, tmp_path):
    write_series(tmp_path / "in" / "a", slices=2, series="a")
    write_series(tmp_path / "in" / "a" / "deeper", slices=3, series="b", kernel="B70f")
    write_series(tmp_path / "in" / "unknown", slices=1, series="c", kernel=None)
    count, _ = run(harmonizer, tmp_path / "in", tmp_path / "out", to=("all",))
    found = sidecars(tmp_path / "out")
    assert count == len(found) == 2 + 2 + 3
    for place, about in found.items():
        folder = tmp_path / "out" / place
        assert len(list(folder.glob("slice-*.dcm"))) == about["slices"]
        assert about["from"] != about["to"]
    slugs = ("siemens-sensation-16-b70f", "ge-medical-systems-lightspeed-vct-lung")
    assert {place for place in found if place.startswith("a/") and "deeper" not in place} == {
        f"a/{slug}" for slug in slugs
    }
    assert found[f"unknown/{slugs[0]}"]["from"] is None


def test_several_series_in_one_folder_on_demand(harmonizer, tmp_path):
    for name in "ab":
        write_series(tmp_path / "in", slices=2, series=name)
    with pytest.raises(InputError, match="--mixed"):
        run(harmonizer, tmp_path / "in", tmp_path / "out", to=DOMAINS[1:2])
    assert run(harmonizer, tmp_path / "in", tmp_path / "out", to=DOMAINS[1:2], mixed=True)[0] == 2
    assert len(sidecars(tmp_path / "out")) == 2


def test_one_that_fails_does_not_stop_the_others(harmonizer, tmp_path):
    for name in "abc":
        write_series(tmp_path / "in" / name, slices=3, series=name)
    # Its pixels are cut, its header is sound: seen when it is read, in the middle of the series.
    broken = ct_slice(1, series="b", SOPInstanceUID="1.2.3")
    broken.PixelData = broken.PixelData[:-100]
    broken.ImagePositionPatient = [-24, -24, 1.25]
    save(broken, tmp_path / "in" / "b" / "broken")
    with pytest.raises(InputError, match=r"1 of 3 results failed; first: .*broken: truncated"):
        run(harmonizer, tmp_path / "in", tmp_path / "out", to=DOMAINS[1:2])
    assert {place.split("/")[0] for place in sidecars(tmp_path / "out")} == {"a", "c"}
    assert not list((tmp_path / "out" / "b").iterdir())
    (tmp_path / "in" / "b" / "broken").unlink()
    _, lines = run(harmonizer, tmp_path / "in", tmp_path / "out", to=DOMAINS[1:2])
    assert sum("already done" in line for line in lines) == 2
    assert len(sidecars(tmp_path / "out")) == 3


def test_a_reference_and_a_seed(harmonizer, tmp_path):
    write_series(tmp_path / "in", slices=2)
    write_series(tmp_path / "like", slices=2, kernel="B70f", patient="another")
    write_series(tmp_path / "odd", slices=2, kernel="Qr40", patient="third")
    images = []
    for name, choices in {
        "like": {"like": tmp_path / "like"},
        "odd": {"like": tmp_path / "odd", "to": DOMAINS[1:2]},
        "seed": {"seed": 5, "to": DOMAINS[1:2]},
        "mean": {"to": DOMAINS[1:2], "kernel_tag": True, "origin": "mine"},
    }.items():
        run(harmonizer, tmp_path / "in", tmp_path / "out" / name, **choices)
        dataset = pydicom.dcmread(tmp_path / "out" / name / "slice-0001.dcm")
        images.append((dataset.SOPInstanceUID, dataset.pixel_array.tobytes()))
        about = json.loads((tmp_path / "out" / name / "harmonization.json").read_text())
        assert about["to"] == DOMAINS[1]
        assert about["style"].split()[0] == {"odd": "like"}.get(name, name)
    assert len(set(images)) == 4
    assert dataset.ConvolutionKernel == "B70f"
    assert about["from"] == "mine"
    assert "not trained on" in about["warnings"][0]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({}, "name one with --to DOMAIN or --like"),
        ({"to": ("B99",)}, f"no domain 'B99'; there are: .*{DOMAINS[1]}"),
        ({"to": DOMAINS[1:2] * 2}, "names a domain twice"),
        ({"to": DOMAINS[1:2], "seed": -1}, "--seed"),
        ({"like": "in", "seed": 1}, "--seed"),
        ({"to": DOMAINS[1:2], "like": "in"}, "leave --to out"),
        ({"like": "odd"}, "name the one domain that it belongs to"),
        ({"like": "empty"}, "no files in it"),
        ({"to": DOMAINS[1:2], "date": "yesterday"}, "not a date"),
    ],
)
def test_choices_that_make_no_sense(harmonizer, tmp_path, choices, words):
    write_series(tmp_path / "in", slices=1)
    write_series(tmp_path / "odd", slices=1, kernel="Qr40")
    (tmp_path / "empty").mkdir()
    if "like" in choices:
        choices = choices | {"like": tmp_path / choices["like"]}
    with pytest.raises(InputError, match=words) as caught:
        run(harmonizer, tmp_path / "in", tmp_path / "out", **choices)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_odd_sizes_keep_what_lies_outside_the_window(harmonizer, tmp_path):
    random = np.random.default_rng(0)
    for rows, columns in ((101, 99), (64, 130)):
        place = tmp_path / f"{rows}"
        hu = random.integers(-1024, 900, (2, rows, columns)).astype(np.int16)
        for index in range(2):
            dataset = ct_slice(index, Rows=rows, Columns=columns)
            dataset.PixelData = (hu[index] + 1024).astype("<i2").tobytes()
            save(dataset, place / "in" / str(index))
        run(harmonizer, place / "in", place / "out", to=DOMAINS[1:2])
        made = np.stack([pydicom.dcmread(place / "out" / f"slice-000{n}.dcm").pixel_array
                         for n in (1, 2)])  # fmt: skip
        np.testing.assert_array_equal(made[hu > 400], hu[hu > 400])
        assert (made != hu)[hu < 350].mean() > 0.9
