import numpy as np
import pytest
from chest import chest
from dicom_files import ct_slice, save, write_series
from prepared import all_slices, prepared, skipped_files, warned
from scipy import ndimage
from skimage.transform import resize

from jaxharmo.data.manifest import read_manifest
from jaxharmo.data.prepare.config import PrepareConfig
from jaxharmo.data.prepare.pixels import Pixels
from jaxharmo.data.prepare.preprocessing import preprocess
from jaxharmo.errors import InputError
from jaxharmo.ops.tissue import bounding_box, segment

SIDE = 320
SPACING = (1.0, 1.0)


def pixels(hu):
    return Pixels(hu.astype(np.float32), np.zeros(hu.shape, bool))


def write_chests(folder, *, kernel="B30f", noise=0.0, blur=0.0, slices=3, lungs=True, **options):
    """Slices of a chest, reconstructed with less or more noise and blur."""
    for index in range(slices):
        hu, mask = chest(SIDE)
        if not lungs:
            hu[mask] = 40
        hu += noise * np.random.default_rng(index).normal(size=hu.shape)
        hu = ndimage.gaussian_filter(hu, blur) if blur else hu
        dataset = ct_slice(index, kernel=kernel, series=kernel, size=SIDE, spacing=1.0, **options)
        dataset.PixelData = (np.rint(hu).astype("<i2") + 1024).astype("<i2").tobytes()
        save(dataset, folder / f"{kernel}-{index}")


def test_nothing_is_done_unless_it_is_asked_for():
    hu, _ = chest(SIDE, 30)
    made = preprocess(pixels(hu), SPACING, PrepareConfig())
    np.testing.assert_array_equal(made.pixels, np.clip(np.rint(hu), -1024, 3071))
    assert (made.spacing, made.origin, made.lung) == (SPACING, (0, 0), None)


def test_resampling_keeps_places_and_removes_what_the_grid_cannot_hold():
    row, column = np.mgrid[:200, :200] + 0.5
    slow = 300 * np.sin(row / 9) * np.cos(column / 7)
    fast = 300.0 * (-1.0) ** np.arange(200)
    config = PrepareConfig(spacing=1.25)
    made = preprocess(pixels(slow), (0.5, 0.5), config)
    assert made.pixels.shape == (80, 80)
    assert made.spacing == (1.25, 1.25)
    expected = 300 * np.sin((row[:80, :80] * 2.5) / 9) * np.cos((column[:80, :80] * 2.5) / 7)
    assert np.abs(made.pixels - expected)[3:-3, 3:-3].max() < 25
    made = preprocess(pixels(np.broadcast_to(fast, (200, 200)).copy()), (0.5, 0.5), config)
    assert np.abs(made.pixels[:, 3:-3]).max() < 60
    same = preprocess(pixels(slow), (1.2501, 1.2501), config)
    np.testing.assert_array_equal(same.pixels, np.rint(pixels(slow).hu))
    assert same.spacing == (1.2501, 1.2501)


def test_resampling_is_that_of_scikit_image():
    hu, _ = chest(SIDE, 30)
    made = preprocess(pixels(hu), (0.8, 0.7), PrepareConfig(spacing=1.0))
    clipped = np.maximum(hu, -1024).astype(np.float32)
    expected = resize(clipped, (256, 224), order=3, mode="edge", anti_aliasing=True)
    np.testing.assert_array_equal(made.pixels, np.rint(expected))


def test_the_table_goes_and_the_body_stays():
    hu, _ = chest(SIDE, 30)
    made = preprocess(pixels(hu), SPACING, PrepareConfig(body_only=True))
    body = segment(hu).body
    np.testing.assert_array_equal(made.pixels[body], np.rint(hu[body]))
    assert (made.pixels[~body] == -1024).all()
    assert made.body == bounding_box(body)


@pytest.mark.parametrize("target", ["body", "lung"])
def test_crops_hold_the_box_and_its_margin(target):
    hu, _ = chest(SIDE, 30)
    made = preprocess(pixels(hu), SPACING, PrepareConfig(crop=target, crop_margin=8))
    top, left = made.origin
    height, width = made.pixels.shape
    assert height % 64 == 0
    assert width % 64 == 0
    np.testing.assert_array_equal(
        made.pixels, np.clip(np.rint(hu[top : top + height, left : left + width]), -1024, 3071)
    )
    tissue = segment(hu)
    box = bounding_box(tissue.lung if target == "lung" else tissue.body)
    assert top <= box[0] - 8
    assert left <= max(0, box[1] - 8)
    assert top + height >= box[2] + 8
    assert left + width >= min(SIDE, box[3] + 8)
    found = bounding_box(tissue.lung)
    assert np.add(made.lung, (top, left, top, left)).tolist() == list(found)


def test_slices_without_lung_are_left_out_and_named(tmp_path):
    write_chests(tmp_path / "in", slices=4)
    write_chests(tmp_path / "in", kernel="B70f", slices=2, lungs=False, study="other")
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", min_lung=50)
    assert [domain.name[-4:] for domain in manifest.domains] == ["B30f"]
    assert set(skipped_files(tmp_path / "out").values()) == {"settings: less than 50 cm² of lung"}
    assert manifest.skipped == {"settings: less than 50 cm² of lung": 2}
    area = chest(SIDE)[1].sum() / 100
    kept, _ = prepared(tmp_path / "in", tmp_path / "more", min_lung=0.9 * area)
    assert sum(kept.domains[0].slices.values()) == 4


def test_reconstructions_of_one_acquisition_are_cut_alike(tmp_path):
    write_chests(tmp_path / "in", kernel="B30f", blur=2)
    write_chests(tmp_path / "in", kernel="B70f", noise=150)
    options = {"crop": "lung", "crop_margin": 3.0, "body_only": True, "min_lung": 1.0}
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", **options)
    assert len(manifest.paired) == 1
    places = {}
    for _, each in all_slices(tmp_path / "out", manifest):
        places.setdefault(each.header.position, []).append(each)
    assert len(places) == 3
    for one, other in places.values():
        assert one.header.origin == other.header.origin
        assert one.header.lung == other.header.lung
        assert one.pixels.shape == other.pixels.shape
        assert ((one.pixels == -1024) == (other.pixels == -1024)).mean() > 0.95


def test_the_manifest_says_what_was_done(tmp_path):
    write_chests(tmp_path / "in")
    options = {"spacing": 1.6, "body_only": True, "crop": "body", "window": (-1024.0, 400.0)}
    prepared(tmp_path / "in", tmp_path / "out", **options)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.spacing == "1.6 mm"
    assert manifest.window == (-1024.0, 400.0)
    assert manifest.preprocessing == {
        "resampled": "to 1.6 mm, bicubic, anti-aliased",
        "outside the body": "-1024 HU",
        "cropped": "to the body and 10 mm around it",
    }
    assert '"crop": "body"' in manifest.provenance["settings"]
    found = [each for _, each in all_slices(tmp_path / "out", manifest)]
    assert {each.header.spacing for each in found} == {(1.6, 1.6)}
    prepared(tmp_path / "in", tmp_path / "plain")
    assert read_manifest(tmp_path / "plain").preprocessing == {}
    assert warned(tmp_path / "plain") == []


@pytest.mark.parametrize(
    ("settings", "kept", "reason"),
    [
        ({"exclude_contrast": True}, {"A", "C", "D"}, "settings: contrast agent given"),
        ({"slice_thickness": (0, 3)}, {"C"}, "settings: slice thickness out of limits"),
        ({"pixel_spacing": (0.7, 0.8)}, {"A", "B", "C"}, "settings: pixel spacing out of limits"),
        ({"min_patients": 2}, {"A"}, "settings: domain with fewer than 2 patients"),
        ({"min_slices": 4}, {"A"}, "settings: domain with fewer than 4 slices"),
    ],
)
def test_what_the_settings_leave_out(tmp_path, settings, kept, reason):
    for patient in ("p", "q"):
        write_series(tmp_path / "in" / patient, slices=2, patient=patient, kernel="A")
    write_series(tmp_path / "in", slices=2, series="b", kernel="B", ContrastBolusAgent="IV")
    write_series(tmp_path / "in", slices=2, series="c", kernel="C", SliceThickness=2)
    write_series(tmp_path / "in", slices=2, series="d", kernel="D", spacing=0.9)
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", domain="kernel", **settings)
    assert set(manifest.domain_names) == kept
    assert {each.kernel for each in manifest.series.values()} == kept
    assert set(skipped_files(tmp_path / "out").values()) == {reason}
    assert len(skipped_files(tmp_path / "out")) == 10 - 2 * (len(kept) + ("A" in kept))


def test_domains_that_lose_their_slices_leave_no_hole(tmp_path):
    """The first of three domains has no pixels, so the others move up."""
    for kernel in ("A", "B", "C"):
        paths = write_series(tmp_path / "in", slices=10, series=kernel, kernel=kernel)
        if kernel == "A":
            for path in paths[:8]:
                path.write_bytes(path.read_bytes()[:-100])
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", domain="kernel", min_slices=5)
    assert manifest.domain_names == ("B", "C")
    for _, each in all_slices(tmp_path / "out", manifest):
        acquisition = manifest.series[each.header.series]
        assert acquisition.kernel == manifest.domain_names[each.header.domain]
    assert len(list((tmp_path / "out").rglob("*.arrayrecord"))) == 6
    assert manifest.skipped == {
        "settings: domain with fewer than 5 slices": 2,
        "truncated pixel data": 8,
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spacing": 0.0}, "spacing 0: must lie within"),
        ({"slice_thickness": (3, 1)}, "must be the least and the most"),
        ({"crop_margin": -1.0}, "crop_margin -1.0: must not be negative"),
        ({"min_lung": float("nan")}, "min_lung nan: must not be negative"),
    ],
)
def test_settings_that_cannot_be(tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        prepared(tmp_path, tmp_path / "out", **settings)
