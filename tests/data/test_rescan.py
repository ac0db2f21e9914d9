"""Virtual scanners: physics with known answers, then the command's sets."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxharmo.data.manifest import read_manifest
from jaxharmo.data.phantom.anatomy import draw_chest
from jaxharmo.data.phantom.scanner import DOMAINS, expose, project, reconstruct
from jaxharmo.data.records import Slice, decode, encode
from jaxharmo.data.rescan import RescanConfig, collection, rescan
from jaxharmo.data.rescan.acquire import count, expected_signal, image, line_integrals, scan
from jaxharmo.data.rescan.beam import CORTICAL, spectrum, water_correction
from jaxharmo.data.rescan.choice import SCANNERS, choose_scanners
from jaxharmo.data.rescan.objects import make_object, noise_level
from jaxharmo.data.rescan.scanner import Scanner
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError
from jaxharmo.evaluation.slices import DomainSlices
from jaxharmo.ops.reconstruction import noise_power

SMALL = Scanner(
    name="Small", kernel="B30f", field_of_view=330, matrix=96, elements=128, pitch=3.0, views=96
)


@functools.cache
def signal_of(scanner):
    """``expected_signal`` of a scanner, compiled once for all tests."""
    return jax.jit(functools.partial(expected_signal, scanner=scanner))


@functools.cache
def image_of(scanner):
    """``image`` of a scanner, compiled once for all tests."""
    return jax.jit(functools.partial(image, scanner=scanner))


def cylinder(radius, size=96, pixel=3.4):
    axis = (np.arange(size) - (size - 1) / 2) * pixel
    fine = np.hypot(axis[:, None], axis)
    return np.clip((radius - fine) / pixel + 0.5, 0, 1).astype(np.float32)[None], fine


@pytest.mark.parametrize("kvp", [80.0, 100.0, 120.0, 140.0])
def test_water_correction_gives_back_the_length(kvp):
    shares, water, _ = spectrum(kvp)
    lengths = np.linspace(5, 500, 100)
    logs = -np.log(np.exp(-np.outer(lengths, water)) @ shares)
    found = sum(c * logs ** (power + 1) for power, c in enumerate(water_correction(kvp)))
    np.testing.assert_allclose(found, lengths, rtol=5e-4)


@pytest.mark.parametrize("name", ["boreas", "dione"])
def test_water_cylinder_is_flat_in_both_families(name):
    scanner = dataclasses.replace(
        SCANNERS[name], field_of_view=330, matrix=96, elements=128, pitch=3.0, views=96
    )
    objects, distance = cylinder(110)
    hu = image_of(scanner)(*signal_of(scanner)(objects, (3.4, 3.4)))
    hu = np.asarray(hu)[0] - scanner.offset
    axis = (np.arange(96) - 47.5) * scanner.pixel
    distance = np.hypot(axis[:, None], axis)
    for low in range(0, 90, 15):
        assert hu[(distance >= low) & (distance < low + 15)].mean() == pytest.approx(0, abs=3)


def test_beam_hardening_darkens_between_bones_only():
    axis = (np.arange(96) - 47.5) * 3.4
    objects, _ = cylinder(110)
    bones = (np.hypot(axis[:, None], np.abs(axis) - 60) < 15) * (CORTICAL - 1)
    images = []
    for each in (objects, objects + bones[None].astype(np.float32)):
        images.append(np.asarray(image_of(SMALL)(*signal_of(SMALL)(each, (3.4, 3.4))))[0])
    change = images[1] - images[0]
    assert change[44:52, 44:52].mean() < -10
    assert change[14:20, 44:52].mean() > change[44:52, 44:52].mean() + 10


def test_counts_are_poisson_with_electronic_noise():
    expected = np.full((100, 200), 400.0, np.float32)
    counts = count(expected, 15.0, (0, "a", "s", 1.0))
    assert counts.mean() == pytest.approx(400, abs=1)
    assert counts.var() == pytest.approx(400 + 15**2, rel=0.03)
    np.testing.assert_array_equal(counts, count(expected, 15.0, (0, "a", "s", 1.0)))
    other = count(expected, 15.0, (0, "a", "s", 2.0))
    assert abs(np.corrcoef(counts.ravel(), other.ravel())[0, 1]) < 0.05


def test_predicted_variance_of_line_integrals():
    objects, _ = cylinder(110)
    expected, beam = signal_of(SMALL)(objects, (3.4, 3.4))
    _, variance = line_integrals(expected, beam, SMALL)
    drawn = [
        line_integrals(jnp.asarray(count(np.asarray(expected)[0], 12.0, (k, "", "", 0.0))), beam[0],
                       SMALL)[0]
        for k in range(40)
    ]  # fmt: skip
    middle = np.s_[:, 54:74]
    found = np.var(drawn, 0, ddof=1)[middle].mean()
    assert found == pytest.approx(np.asarray(variance)[0][middle].mean(), rel=0.05)


def test_noise_power_of_a_water_cylinder():
    """Poisson and electronic noise, through logarithm, water correction and filter."""
    scanner = dataclasses.replace(SMALL, matrix=128, bowtie=0.0, modulation=0.0)
    objects, _ = cylinder(110)
    expected, beam = signal_of(scanner)(objects, (3.4, 3.4))
    _, variance = line_integrals(expected, beam, scanner)
    repeats, side, pixel = 96, 48, scanner.pixel
    drawn = [count(np.asarray(expected)[0], 12.0, (k, "", "", 0.0)) for k in range(repeats)]
    hu = np.asarray(image_of(scanner)(np.stack(drawn), beam))
    middle = slice(64 - side // 2, 64 + side // 2)
    taper = np.outer(np.hanning(side), np.hanning(side))
    spectra = np.abs(np.fft.fft2((hu - hu.mean(0))[:, middle, middle] * taper)) ** 2
    power = spectra.sum(0) / (repeats - 1) * pixel**2 / (taper**2).sum()
    # Rays through a pixel have lengths of water that depend on their direction.
    axis = (np.arange(side) - (side - 1) / 2) * pixel
    angles = np.arange(scanner.views) * np.pi / scanner.views
    places = axis[:, None, None] * np.cos(angles) + axis[:, None] * np.sin(angles)
    detector = (np.arange(scanner.elements) - (scanner.elements - 1) / 2) * scanner.pitch
    behind = np.interp(places, detector, np.asarray(variance)[0].mean(0)).mean(2)
    mean = (behind * taper**2).sum() / (taper**2).sum()
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side, pixel / 10)] * 2))
    for low, high in ((0.5, 0.9), (0.9, 1.3), (1.3, 1.6)):
        ring = (frequency > low) & (frequency <= high)
        theory = noise_power(mean, scanner.geometry, frequency[ring], scanner.response)
        assert power[ring].mean() == pytest.approx(1000**2 * theory.mean(), rel=0.05)


def test_tube_current_and_bowtie():
    objects, _ = cylinder(110)
    objects = objects * (np.abs(np.arange(96) - 47.5) < 22)[:, None]
    constant = dataclasses.replace(SMALL, modulation=0.0, bowtie=0.0)
    _, beam = signal_of(constant)(objects, (3.4, 3.4))
    np.testing.assert_allclose(beam, SMALL.photons, rtol=1e-5)
    fine = dataclasses.replace(SMALL, elements=384, pitch=1.0)
    _, beam = signal_of(fine)(objects, (3.4, 3.4))
    current = np.asarray(beam)[0, :, 192]
    small, _ = cylinder(60)
    _, less = signal_of(fine)(small, (3.4, 3.4))
    assert less.mean() < 0.5 * beam.mean()
    # Rays of the first view lie along the rows' axis, where the object is 70 mm shorter.
    assert current[48] > 1.3 * current[0]
    profile = np.asarray(beam)[0, 0]
    assert profile[0] < 0.3 * profile[192]


def test_noise_level_of_a_slice():
    """Through the liver, which is uniform: fat in muscle would count as noise."""
    truth = draw_chest((0, 3), 3, 4, size=192, pixel=1.6)
    noise = np.random.default_rng(0).normal(size=truth.shape) * 20
    assert noise_level(truth + noise, (1.6, 1.6)) == pytest.approx(20, rel=0.2)
    assert noise_level(truth, (1.6, 1.6)) < 5


def noisy_slices(domain, size=320):
    """The same anatomy, acquired twice, and its truth."""
    scanner, kernel = DOMAINS[domain]
    pixel = scanner.field_of_view / size
    truth = draw_chest((0, 3), 2, 4, size=size, pixel=pixel)
    lines = project(truth, scanner)
    images = [expose(lines, scanner, np.random.default_rng(seed)) for seed in range(2)]
    return truth, [reconstruct(each, scanner, kernel) for each in images], (pixel, pixel)


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["PHANTOM Ellipse -- B30f", "PHANTOM Ellipse -- B70f"])
def test_own_noise_of_the_object_is_small_beside_the_simulated(domain):
    """In every domain: below a tenth in soft tissue off its edges.

    In the lung, vessels and parenchyma are edges everywhere, where noise moves the object's edges.
    """
    truth, slices, spacing = noisy_slices(domain)
    objects = [make_object(hu, spacing, 500.0) for hu in slices]
    for scanner in SCANNERS.values():
        quiet, loud = [], []
        grid = dataclasses.replace(scanner, field_of_view=320.0, matrix=320)
        for number, each in enumerate(objects):
            expected, beam = expected_signal(each[None], spacing, grid)
            quiet.append(np.asarray(image(expected, beam, grid))[0])
            seeds = [(number, scanner.name, "series", 0.0)]
            loud.append(next(scan(objects[0][None], spacing, [grid], seeds))[0])
        around = ndimage.maximum_filter(truth, 9) - ndimage.minimum_filter(truth, 9)
        soft = ndimage.binary_erosion((truth > -150) & (truth < 150), iterations=4)
        lung = ndimage.binary_erosion((truth < -600) & (truth > -950), iterations=3)
        regions = {"soft": (soft & (around < 100), 0.1), "lung": (lung & (around < 200), 0.15)}
        for name, (region, most) in regions.items():
            assert region.sum() > 2000
            own = (quiet[0] - quiet[1])[region].std()
            simulated = (loud[0] - loud[1])[region].std()
            print(domain, scanner.domain, name, own / 2**0.5, simulated / 2**0.5)
            assert own < most * simulated, name


def scanner_file(folder, *changes):
    base = {"kernel": "B30f", "field_of_view": 340, "matrix": 64, "pitch": 4.0, "elements": 128,
            "views": 64}  # fmt: skip
    path = folder / "scanners.json"
    path.write_text(json.dumps([base | change for change in changes]))
    return str(path)


def every_file(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*.arrayrecord"))
    }


def test_every_translation_has_a_truth(phantom, tmp_path):
    file = scanner_file(
        tmp_path, {"name": "One"}, {"name": "Two", "strength": 2, "field_of_view": 400}
    )
    domain = read_manifest(phantom).domain_names[0]
    config = RescanConfig(scanners=(file,), domains=(domain,))
    made = rescan(phantom, tmp_path / "a", config, workers=1)
    assert made.domain_names == ("VIRTUAL One -- B30f", "VIRTUAL Two -- B30f I2")
    assert made.patients == read_manifest(phantom).patients
    assert {each.manufacturer for each in made.series.values()} == {"VIRTUAL"}
    assert "jaxharmo rescan" in made.provenance["tool"]
    assert json.loads(made.provenance["scanners"])[1]["strength"] == 2
    one, two = (DomainSlices(tmp_path / "a", "test", each) for each in made.domains)
    for number in range(len(one)):
        twin = two.twin(one, number)
        assert twin is not None
        assert one.header(number).spacing == two.header(twin).spacing
        difference = one.pixels(number) - two.pixels(twin)
        assert 0 < np.abs(difference).mean() < 150
    grids = {one.header(number).spacing for number in range(len(one))}
    assert grids == {(340 / 64,) * 2, (400 / 64,) * 2}


@pytest.mark.slow
def test_bytes_do_not_depend_on_workers_nor_on_an_interruption(phantom, tmp_path, monkeypatch):
    file = scanner_file(tmp_path, {"name": "One"}, {"name": "Two", "strength": 2})
    config = RescanConfig(scanners=(file,))
    rescan(phantom, tmp_path / "a", config, workers=1)
    first = iter([True])
    whole = collection._assemble
    monkeypatch.setattr(
        collection, "_assemble", lambda *a: next(first) and (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        rescan(phantom, tmp_path / "b", config, workers=2)
    assert list((tmp_path / "b" / "work").glob("*.arrayrecord"))
    monkeypatch.setattr(collection, "_assemble", whole)
    # What is done is not done again: this would fail.
    monkeypatch.setattr(collection, "write_unit", print)
    rescan(phantom, tmp_path / "b", config, workers=1)
    files = every_file(tmp_path / "a")
    assert len(files) == 6
    assert files == every_file(tmp_path / "b")
    assert not (tmp_path / "b" / "work").exists()
    with pytest.raises(InputError, match="other files or settings"):
        rescan(phantom, tmp_path / "b", dataclasses.replace(config, seed=1))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"kvp": 20}, "kvp: 60 to 150"),
        ({"photons": -1}, "photons: 100 to"),
        ({"photons": float("nan")}, "photons"),
        ({"matrix": 7}, "matrix: 32 to"),
        ({"matrix": 512.5}, "matrix"),
        ({"strength": 9}, "strength: 0 to 5"),
        ({"kernel": "B99"}, "kernel: neither"),
        ({"kernel": "none.csv"}, "none.csv: cannot be read"),
        ({"kernel": "bad.csv"}, "bad.csv: not a table"),
        ({"kernel": "rising.csv"}, "rising frequencies"),
        ({"elements": 100}, "multiple of 32"),
        ({"colour": "red"}, "unknown field colour"),
        ({"name": ""}, "name: 1 to 40"),
        ({"name": "a\nb"}, "name: printable"),
    ],
)
def test_impossible_scanners(tmp_path, change, line):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "rising.csv").write_text("frequency,gain\n0,1\n3,0.5\n2,0.1\n")
    with pytest.raises(InputError, match=line) as caught:
        choose_scanners((scanner_file(tmp_path, {"name": "One"} | change),))
    assert "\n" not in str(caught.value)


def test_scanners_are_named_or_in_files(tmp_path):
    (tmp_path / "mine.csv").write_text("frequency,gain\n0,1\n4,0.5\n8,0\n")
    file = scanner_file(tmp_path, {"name": "One", "kernel": "mine.csv"})
    alba, one = choose_scanners(("Alba", file))
    assert alba.domain == "VIRTUAL Alba -- B30f"
    assert one.domain == "VIRTUAL One -- mine"
    np.testing.assert_allclose(one.response(np.array([0.0, 2.0, 4.0, 9.0])), [1, 0.75, 0.5, 0])
    for wanted in (("Nobody",), ("alba", "alba"), (), (str(tmp_path / "none.json"),)):
        with pytest.raises(InputError):
            choose_scanners(wanted)


def test_a_field_of_view_smaller_than_the_body(phantom, tmp_path):
    config = RescanConfig(scanners=("alba",), field_of_view=200.0)
    with pytest.raises(InputError, match=r"beyond the field of view of Alba.*would hold it"):
        rescan(phantom, tmp_path / "out", config)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="--field-of-view: 50 to"):
        rescan(phantom, tmp_path / "out", dataclasses.replace(config, field_of_view=1.0))


@pytest.mark.parametrize("spacing", [(0.0, 0.0), (float("nan"), 1.0), ()])
def test_slices_without_spacing(phantom, spacing):
    item = SliceSource(phantom, "test", read_manifest(phantom).domains[0])[0]
    bare = Slice(dataclasses.replace(item.header, spacing=spacing), item.pixels)
    bare = decode(encode(bare))
    with pytest.raises(InputError, match="no usable spacing"):
        collection._check(bare, (SMALL,), "set")
