"""The phantom's physics, measured back from its images."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from jaxharmo.data.manifest import read_manifest
from jaxharmo.data.phantom import PhantomConfig, make_phantom
from jaxharmo.data.phantom.anatomy import draw_chest
from jaxharmo.data.phantom.scanner import DOMAINS
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError

CONFIG = PhantomConfig(patients=4, slices=1, size=96)
SHARP = ("PHANTOM Ellipse -- B70f",)


def truth(patient, index, slices=1):
    return draw_chest((CONFIG.seed, patient), index, slices, size=96, pixel=320 / 96)


def contents(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_every_domain_holds_the_same_acquisitions(phantom):
    manifest = read_manifest(phantom)
    assert manifest.domain_names == CONFIG.domains
    assert len(manifest.paired) == 3
    for split in ("train", "validation", "test"):
        keys = [
            [(item.header.acquisition, item.header.position) for item in
             SliceSource(phantom, split, domain)]
            for domain in manifest.domains
        ]  # fmt: skip
        assert keys[0]
        assert keys[0] == keys[1] == keys[2]
    everyone = [*itertools.chain(*manifest.patients.values())]
    assert len(everyone) == len(set(everyone)) == CONFIG.patients


def test_patients_and_slices_differ():
    pictures = [truth(patient, index, 4) for patient in (0, 1) for index in (0, 1)]
    for first in range(4):
        for second in range(first):
            assert np.abs(pictures[first] - pictures[second]).mean() > 5


def test_tissue_has_its_hounsfield_units(phantom):
    manifest = read_manifest(phantom)
    item = SliceSource(phantom, "train", manifest.domains[0])[0]
    expected = truth(0, 0)
    for low, high in ((-900, -800), (30, 60)):
        region = binary_erosion((expected > low) & (expected < high))
        assert np.median(item.pixels[region]) == pytest.approx(np.median(expected[region]), abs=25)


def test_made_once(phantom):
    stamp = (phantom / "dataset.json").stat().st_mtime_ns
    make_phantom(phantom, CONFIG)
    assert (phantom / "dataset.json").stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match="made with other options"):
        make_phantom(phantom, PhantomConfig(patients=5, slices=1, size=96))


def test_the_same_seed_gives_the_same_bytes(phantom, tmp_path):
    make_phantom(tmp_path / "again", CONFIG)
    assert contents(tmp_path / "again") == contents(phantom)


@pytest.mark.slow
def test_processes_give_the_same_bytes(phantom, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxharmo.data.phantom.collection.POOL_WORTH", 0)
    make_phantom(tmp_path / "again", CONFIG)
    assert contents(tmp_path / "again") == contents(phantom)


def test_the_manifest_tells_how_each_series_was_acquired(phantom):
    manifest = read_manifest(phantom)
    found = set()
    for domain in manifest.domains:
        for split in ("train", "validation", "test"):
            for item in SliceSource(phantom, split, domain):
                series = manifest.series[item.header.series]
                assert f"{series.manufacturer} {series.model} -- {series.kernel}" == domain.name
                assert series.pixel_spacing == item.header.spacing[0]
                found.add(item.header.series)
    assert found == manifest.series.keys()


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Patients who went to one of three scanners each, with labels that differ."""
    directory = tmp_path_factory.mktemp("collection")
    config = PhantomConfig(
        patients=12,
        slices=1,
        size=64,
        domains=("all",),
        pairing="scanner",
        kvps=(100.0, 120.0, 140.0),
        thicknesses=(1.25, 5.0),
    )
    return directory, make_phantom(directory, config)


def test_a_patient_may_be_on_one_scanner_only(collection):
    directory, manifest = collection
    assert manifest.domain_names == tuple(DOMAINS)
    assert len(manifest.paired) == 10 + 1 + 3
    patients = {
        domain.name: {
            item.header.patient
            for split in ("train", "validation", "test")
            for item in SliceSource(directory, split, domain)
        }
        for domain in manifest.domains
    }
    for first, second in itertools.combinations(patients, 2):
        if (first, second) in manifest.paired:
            assert patients[first] == patients[second]
        else:
            assert patients[first].isdisjoint(patients[second])
    assert all(min(domain.slices.values()) > 0 for domain in manifest.domains)


def test_labels_vary_by_patient_and_only_there(collection):
    manifest = collection[1]
    assert {series.kvp for series in manifest.series.values()} == {100.0, 120.0, 140.0}
    assert {series.slice_thickness for series in manifest.series.values()} == {1.25, 5.0}
    by_patient = {}
    for name, series in manifest.series.items():
        by_patient.setdefault(name[:11], set()).add((series.kvp, series.slice_thickness))
    assert all(len(labels) == 1 for labels in by_patient.values())


def test_noise_goes_by_the_root_of_the_dose(tmp_path):
    """The same slice at three doses; what differs from the highest of them is noise."""
    pixels, exposures = {}, {}
    for dose in (100.0, 1.0, 0.25):
        doses = (dose, 1.0, 1.0)
        config = PhantomConfig(patients=3, slices=1, size=96, domains=SHARP, doses=doses)
        manifest = make_phantom(tmp_path / str(dose), config)
        (item,) = SliceSource(tmp_path / str(dose), "train", manifest.domains[0])
        pixels[dose] = item.pixels.astype(float)
        exposures[dose] = manifest.series[item.header.series].exposure
    body = pixels[100.0] > -500
    noise = {dose: (pixels[dose] - pixels[100.0])[body].std() for dose in (1.0, 0.25)}
    assert noise[0.25] / noise[1.0] == pytest.approx(2, rel=0.1)
    assert exposures == {100.0: 10_000.0, 1.0: 100.0, 0.25: 25.0}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"domains": ("PHANTOM Ellipse -- B99",)}, "MIRAGE Oval -- L"),
        ({"domains": ("MIRAGE Oval -- L",) * 2}, "domains"),
        ({"domains": ()}, "domains"),
        ({"patients": 2}, "patients"),
        ({"domains": ("all",), "pairing": "none"}, "at least 30"),
        ({"kvps": ()}, "kvps"),
        ({"doses": ()}, "doses"),
        ({"doses": (1.0, -1.0)}, "doses"),
        ({"size": 8}, "size"),
    ],
)
def test_bad_settings_are_named(tmp_path, fields, named):
    with pytest.raises(InputError, match=named):
        make_phantom(tmp_path / "x", PhantomConfig(**fields))
    assert not (tmp_path / "x").exists()
