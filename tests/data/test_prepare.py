import csv
import os
from collections import Counter
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dicom_files import PADDING, SECRETS, ct_slice, hounsfield, save, truncate, uid, write_series
from pydicom.encaps import encapsulate
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, MRImageStorage

import jaxharmo.data.prepare
from jaxharmo.data.manifest import SPLITS, read_manifest, shard_paths
from jaxharmo.data.prepare import SKIPPED_NAME, prepare, progress, reading
from jaxharmo.data.prepare.domains import domain_name, kernel_of
from jaxharmo.data.prepare.pixels import body_box, padding_hu, pixels_of, read_dataset
from jaxharmo.data.prepare.series import find_series, list_files
from jaxharmo.data.prepare.splits import split_patients, split_positions
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError

DOMAIN = "SIEMENS Sensation 16 -- B30f"


def prepared(source, destination, **options):
    lines = []
    manifest = prepare(source, destination, report=lines.append, **options)
    return manifest, lines


def all_slices(directory, manifest):
    return [
        (split, item)
        for domain in manifest.domains
        for split in SPLITS
        for item in SliceSource(directory, split, domain)
    ]


def skipped_files(directory):
    with (directory / SKIPPED_NAME).open(newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def contents(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (("Philips", "Brilliance16", ["B"]), "Philips Brilliance16 -- B"),
        (("SIEMENS ", "Sensation  10", ["B70f"]), "SIEMENS Sensation 10 -- B70f"),
        (("SIEMENS", "Force", ["Br40d", "3"]), "SIEMENS Force -- Br40d/3"),
        (
            ("GE\0 MEDICAL\x1b[31m", "Light\nSpeed", ["LUNG\t"]),
            "GE MEDICAL[31m Light Speed -- LUNG",
        ),
        (("", "", ["B30f"]), "B30f"),
        (("", "Force", ["", "Br40"]), "Force -- Br40"),
        (("SIEMENS", "Force", ["", " "]), ""),
        (("東芝", "<script>", ["../FC08"]), "東芝 <script> -- ../FC08"),
        (("x" * 100, "y", ["k" * 100]), f"{'x' * 64} y -- {'k' * 64}"),
    ],
)
def test_domain_names(values, name):
    assert domain_name(*values) == name


def test_kernel_of_a_domain():
    assert kernel_of("SIEMENS Force -- Br40d/3") == "Br40d/3"
    assert kernel_of("B30f") == "B30f"


def test_series_are_told_apart_and_sorted_by_position(tmp_path):
    sharp = write_series(tmp_path, series="sharp", kernel="B70f")
    write_series(tmp_path, series="smooth", slices=4)
    write_series(tmp_path, series="wide", slices=3, spacing=0.9)
    series, skipped = find_series(tmp_path, list_files(tmp_path))
    assert not skipped
    assert sorted(len(each.slices) for each in series) == [3, 4, 6]
    (found,) = [each for each in series if kernel_of(each.domain) == "B70f"]
    assert [item.path for item in found.slices] == sharp
    assert found.positions == (0.0, 2.5, 5.0, 7.5, 10.0, 12.5)
    assert found.slices[0].spacing == (0.75, 0.75)


def test_positions_are_along_the_normal_of_any_plane(tmp_path):
    for index in range(3):
        tags = {
            "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
            "ImagePositionPatient": [-3 * index, 5, 7],
        }
        save(ct_slice(index, **tags), tmp_path / str(index))
    (series,), _ = find_series(tmp_path, list_files(tmp_path))
    assert series.positions == (0.0, 3.0, 6.0)


def test_links_in_a_circle_and_pipes_do_not_stop_the_search(tmp_path):
    write_series(tmp_path / "a")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    assert len(list_files(tmp_path)) == 6


def test_hounsfield_units_and_padding(tmp_path):
    path = save(ct_slice(2, padded=True, RescaleSlope=2, RescaleIntercept=-1000), tmp_path / "a")
    dataset = read_dataset(path)
    pixels = pixels_of(dataset)
    stored = hounsfield(2)[4:].astype(float) + 1024
    np.testing.assert_array_equal(pixels.hu[4:], stored * 2 - 1000)
    np.testing.assert_array_equal(pixels.hu[:4], PADDING * 2 - 1000)
    np.testing.assert_array_equal(pixels.padding.all(axis=1), np.arange(64) < 4)
    assert padding_hu(dataset) == PADDING * 2 - 1000


def test_padding_stored_unsigned_is_not_taken_for_bright(tmp_path):
    path = save(ct_slice(0, padded=True, PixelRepresentation=0), tmp_path / "a")
    pixels = pixels_of(read_dataset(path))
    assert pixels.padding[:4].all()
    np.testing.assert_array_equal(pixels.hu[:4], PADDING - 1024)
    assert pixels.hu.max() == 40


def test_a_padding_value_amid_tissue_is_not_believed(tmp_path):
    dataset = read_dataset(save(ct_slice(0, PixelPaddingValue=1064), tmp_path / "a"))
    assert padding_hu(dataset) is None
    assert not pixels_of(dataset).padding.any()


def test_body_box_is_that_of_the_largest_object():
    hu = np.full((32, 40), -1000)
    hu[5:20, 10:30] = 40
    hu[25:28] = 0
    assert body_box(hu) == (5, 10, 20, 30)
    assert body_box(np.full((8, 9), -1000)) == (0, 0, 8, 9)


def test_what_is_written_reads_back(tmp_path):
    source, destination = tmp_path / "in", tmp_path / "out"
    write_series(source, slices=10, padded=True, step=-2.5)
    manifest, lines = prepared(source, destination)
    assert read_manifest(destination) == manifest
    assert manifest.window == (-1024.0, 3071.0)
    assert [domain.name for domain in manifest.domains] == [DOMAIN]
    assert manifest.domains[0].slices == {"train": 7, "validation": 1, "test": 2}
    assert any(DOMAIN in line for line in lines)
    found = [item for _, item in all_slices(destination, manifest)]
    assert [item.header.position for item in found] == [-22.5 + 2.5 * index for index in range(10)]
    for index, item in enumerate(reversed(found)):
        expected = hounsfield(index)
        expected[:4] = -1024
        np.testing.assert_array_equal(item.pixels, expected)
        assert item.header.body == (17, 21, 48, 52)
        assert item.header.spacing == (0.75, 0.75)
        assert (item.header.patient, item.header.series) == ("P0001", "S0001")
    assert (destination / SKIPPED_NAME).read_text() == "file,reason\n"


REASONS = {
    "derived": ({"ImageType": ["DERIVED", "SECONDARY"]}, "derived image (ImageType DERIVED)"),
    "flat": ({"RescaleSlope": 0}, "RescaleSlope is 0"),
    "frames": ({"NumberOfFrames": 2}, "several frames in one file"),
    "huge": ({"Rows": 60000}, "Rows, Columns or PixelSpacing out of range"),
    "kernel": ({"ConvolutionKernel": None}, "ConvolutionKernel missing"),
    "mr": ({"SOPClassUID": MRImageStorage}, "not a CT image but MR Image Storage"),
    "nobody": ({"SeriesInstanceUID": None}, "SeriesInstanceUID missing"),
    "nowhere": (
        {"ImagePositionPatient": None},
        "ImagePositionPatient missing or not 3 numbers",
    ),
    "scout": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
    "skewed": (
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        "ImageOrientationPatient is not two perpendicular directions",
    ),
    "twin": (
        {"SOPInstanceUID": uid(SECRETS[1], "study", "series", 0)},
        "SOPInstanceUID of another file",
    ),
    "units": ({"RescaleType": "OD"}, "RescaleType is not HU"),
}


def test_every_file_not_used_has_its_reason(tmp_path, monkeypatch):
    source, destination = tmp_path / "in", tmp_path / "out"
    good = write_series(source, slices=9)
    expected = {f"x/{name}": reason for name, (_, reason) in REASONS.items()}
    for name, (tags, _) in REASONS.items():
        save(ct_slice(99, **tags), source / "x" / name)

    packed = ct_slice(98)
    packed.PixelData = encapsulate([b"nothing"])
    save(packed, source / "x" / "packed", JPEGLSLossless)
    decoder = reading.get_decoder
    missing = SimpleNamespace(is_available=False)
    monkeypatch.setattr(
        reading, "get_decoder", lambda uid: missing if uid == JPEGLSLossless else decoder(uid)
    )
    reading.undecodable.cache_clear()
    expected["x/packed"] = 'compressed; pip install "jaxharmo[dicom]" to decode it'

    truncate(good[4], -5000)
    truncate(save(ct_slice(97), source / "x" / "short"), 700)
    (source / "x" / "text.dcm").write_text("no image\n")
    (source / "x" / "empty").touch()
    expected |= {
        good[4].name: "truncated pixel data",
        "x/short": "ImagePositionPatient missing or not 3 numbers",
        "x/text.dcm": "not a DICOM file",
        "x/empty": "not a DICOM file",
    }
    manifest, _ = prepared(source, destination)
    assert skipped_files(destination) == expected
    assert sum(manifest.domains[0].slices.values()) == 8


def test_of_two_slices_at_one_position_one_is_used(tmp_path):
    write_series(tmp_path / "in", slices=4)
    save(ct_slice(1, SOPInstanceUID="1.2.3"), tmp_path / "in" / "again")
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    assert sum(manifest.domains[0].slices.values()) == 4
    assert set(skipped_files(tmp_path / "out").values()) == {
        "another slice of the series at its position"
    }


def test_patients_are_split_within_every_domain():
    domains_of = {f"a{number}": {"A"} for number in range(20)}
    domains_of |= {f"b{number}": {"B"} for number in range(3)}
    domains_of |= {f"c{number}": {"A", "C"} for number in range(5)}
    result = split_patients(domains_of)
    assert result == split_patients(dict(reversed(domains_of.items())))
    for domain, expected in {"A": (17, 3, 5), "B": (1, 1, 1), "C": (3, 1, 1)}.items():
        counts = Counter(result[patient] for patient in result if domain in domains_of[patient])
        found = tuple(counts[split] for split in SPLITS)
        assert np.abs(np.subtract(found, expected)).max() <= 1, (domain, found)
        assert min(found) >= 1


def test_positions_are_split_into_contiguous_blocks():
    splits = split_positions([9.0, *range(9), 9.0])
    assert [splits[position] for position in range(10)] == (
        ["train"] * 7 + ["validation"] + ["test"] * 2
    )
    assert set(split_positions([1.0, 2.0]).values()) == {"train"}


def write_patients(source, counts):
    for kernel, count in counts.items():
        for number in range(count):
            name = f"{kernel}-{number}"
            write_series(source / name, slices=2, patient=name, series=name, kernel=kernel)


def test_no_patient_is_in_two_splits_where_patients_suffice(tmp_path):
    write_patients(tmp_path / "in", {"B30f": 5, "B70f": 3, "B50f": 1})
    manifest, lines = prepared(tmp_path / "in", tmp_path / "out")
    assert manifest.split_by == "patient"
    assert sorted(chain(*manifest.patients.values())) == [f"P{n:04d}" for n in range(1, 10)]
    slices = {kernel_of(domain.name): domain.slices for domain in manifest.domains}
    assert slices["B70f"] == {"train": 2, "validation": 2, "test": 2}
    assert slices["B50f"] == {"train": 2, "validation": 0, "test": 0}
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert "B50f" in warning
    found = all_slices(tmp_path / "out", manifest)
    assert len(found) == 18
    assert all(item.header.patient in manifest.patients[split] for split, item in found)


def test_blocks_of_slices_where_patients_are_too_few(tmp_path):
    write_patients(tmp_path / "in", {"B30f": 5, "B70f": 2})
    manifest, lines = prepared(tmp_path / "in", tmp_path / "out")
    assert manifest.split_by == "slice block"
    assert "too few to split by patient" in lines[0]


def test_reconstructions_of_one_acquisition_are_paired_and_split_alike(tmp_path):
    source = tmp_path / "in"
    sharp = write_series(source, slices=10, series="sharp", kernel="B70f")
    write_series(source, slices=10, series="smooth", kernel="B30f")
    write_series(source, slices=10, series="later", kernel="B50f", AcquisitionTime="130000")
    write_series(source, slices=10, series="wide", kernel="B60f", spacing=0.9)
    sharp[0].unlink()
    truncate(sharp[5], -5000)
    manifest, _ = prepared(source, tmp_path / "out")
    assert manifest.paired == (("SIEMENS Sensation 16 -- B30f", "SIEMENS Sensation 16 -- B70f"),)
    places = {"B30f": {}, "B70f": {}}
    for split, item in all_slices(tmp_path / "out", manifest):
        kernel = kernel_of(manifest.domains[item.header.domain].name)
        if kernel in places:
            places[kernel][item.header.acquisition, item.header.position] = split
    assert len(places["B70f"]) == 8
    assert places["B70f"].items() <= places["B30f"].items()


@pytest.mark.parametrize("lacking", ["FrameOfReferenceUID", "AcquisitionTime"])
def test_nothing_is_paired_on_a_guess(tmp_path, lacking):
    for kernel in ("B30f", "B70f"):
        write_series(tmp_path / "in", series=kernel, kernel=kernel, **{lacking: None})
    assert prepared(tmp_path / "in", tmp_path / "out")[0].paired == ()


def test_neither_patient_nor_identifiers_are_written_or_reported(tmp_path, capfd, caplog):
    source, destination = tmp_path / "in", tmp_path / "out"
    paths = write_series(source)
    save(ct_slice(9, ImageType=[SECRETS[0]], RescaleType=SECRETS[0][:16]), source / "odd")
    save(ct_slice(8, PixelSpacing=None, StudyID=SECRETS[1]), source / "none")
    truncate(paths[1], 600)
    _, lines = prepared(source, destination)
    forbidden = [*SECRETS, *(uid(SECRETS[1], "study", "series", index) for index in range(10))]
    forbidden += [uid(SECRETS[1], "study"), uid(SECRETS[1], "study", "series"), str(tmp_path)]
    text = b"\n".join(contents(destination).values())
    assert not [secret for secret in forbidden if secret.encode() in text]
    said = capfd.readouterr()
    everything = "\n".join([*lines, *said, caplog.text])
    assert not [secret for secret in forbidden[:-1] if secret in everything]
    assert said.err == ""


def test_hostile_header_values_do_no_harm(tmp_path):
    tags = {"Manufacturer": "../../<script>", "ManufacturerModelName": "a\x1bb", "PatientID": ""}
    write_series(tmp_path / "in", syntax=ImplicitVRLittleEndian, kernel="..", **tags)
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    assert manifest.domains[0].name == "../../<script> ab -- .."
    assert manifest.domains[0].slug == "script-ab"
    outside = {path.name for path in tmp_path.iterdir()}
    assert outside == {"in", "out"}


def test_the_result_depends_on_neither_names_nor_order(tmp_path):
    for number in range(4):
        options = {"patient": f"patient {number}", "series": f"s{number}"}
        for path in write_series(tmp_path / "a", **options):
            other = tmp_path / "b" / f"{number}" / path.name[::-1]
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_bytes(path.read_bytes())
    results = [prepared(tmp_path / name, tmp_path / f"out-{name}")[0] for name in "ab"]
    assert results[0].patients == results[1].patients
    slices = [
        [item.header for _, item in all_slices(tmp_path / f"out-{name}", result)]
        for name, result in zip("ab", results, strict=True)
    ]
    assert slices[0] == slices[1]


def test_a_second_run_leaves_a_finished_set_alone(tmp_path):
    write_series(tmp_path / "in")
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    before = contents(tmp_path / "out")
    again, lines = prepared(tmp_path / "in", tmp_path / "out")
    assert again == manifest
    assert len(lines) == 1
    assert "already prepared" in lines[0]
    assert contents(tmp_path / "out") == before


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    source, destination = tmp_path / "in", tmp_path / "out"
    for kernel in ("A", "B", "C"):
        paths = write_series(source, slices=10, series=kernel, kernel=kernel)
        truncate(paths[3], -100)
    whole, _ = prepared(source, tmp_path / "whole")

    read, done = jaxharmo.data.prepare.read_dataset, []

    def stop_in_the_second_domain(path):
        done.append(path)
        if len(done) == 15:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(jaxharmo.data.prepare, "read_dataset", stop_in_the_second_domain)
    with pytest.raises(KeyboardInterrupt):
        prepared(source, destination)
    assert not (destination / "dataset.json").exists()
    (destination / "train" / "c-00007.partial").touch()
    assert prepared(source, destination)[0] == whole
    assert len(done) == 15 + 20
    assert contents(destination).keys() == contents(tmp_path / "whole").keys()
    assert (
        contents(destination)[Path(SKIPPED_NAME)] == (tmp_path / "whole/skipped.csv").read_bytes()
    )


def test_an_unfinished_set_of_other_files_is_begun_anew(tmp_path):
    source, destination = tmp_path / "in", tmp_path / "out"
    unfinished = progress.Progress(destination, {"files": "others"})
    unfinished.add("b30f", progress.DomainResult(dict.fromkeys(SPLITS, 5), []))
    (destination / "train").mkdir()
    (destination / "train" / "b30f-00000-of-00001.arrayrecord").touch()
    write_series(source)
    manifest, _ = prepared(source, destination)
    assert sum(manifest.domains[0].slices.values()) == 6
    assert len(shard_paths(destination, "train", manifest.domains[0])) == 1
    assert not (destination / progress.FILE_NAME).exists()
    assert not list(destination.glob("*/b30f*"))


def test_bad_input_is_one_clear_line(tmp_path):
    source = tmp_path / "in"
    write_series(source)
    texts = tmp_path / "texts"
    texts.mkdir()
    (tmp_path / "none").mkdir()
    (texts / "notes").write_text("no image")
    finished = tmp_path / "finished"
    prepared(source, finished)
    write_series(tmp_path / "other", series="other")
    truncated = write_series(tmp_path / "cut", slices=1)
    truncate(truncated[0], -5000)
    for args, words in [
        ((tmp_path / "gone", tmp_path / "o"), "gone: not a folder"),
        ((texts / "notes", tmp_path / "o"), "notes: not a folder"),
        ((tmp_path / "none", tmp_path / "o"), "none: no files in it"),
        ((texts, tmp_path / "o"), "no usable CT slice in 1 files; 1 of them: not a DICOM file"),
        ((tmp_path / "cut", tmp_path / "cut-out"), "no CT slice could be read in 1 files; 1 of"),
        ((source, source / "shards"), "lies in the input folder"),
        ((source, texts), "not empty and no shard set"),
        ((source, texts / "notes"), "a file; name a new"),
        ((tmp_path / "other", finished), "made from other files or settings"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            prepared(*args)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="made from other files or settings"):
        prepared(source, finished, window=(-1024.0, 400.0))
    with pytest.raises(InputError, match="must rise"):
        prepared(source, tmp_path / "o", window=(400.0, -1024.0))
    assert not (tmp_path / "o").exists()


def test_real_ct(real_ct, tmp_path):
    manifest, _ = prepared(real_ct, tmp_path / "out")
    assert manifest.domain_names == (
        "GE MEDICAL SYSTEMS LightSpeed Plus -- STANDARD",
        "GE MEDICAL SYSTEMS LightSpeed VCT -- LUNG",
        "Philips Brilliance16 -- B",
        "Philips Brilliance16 -- L",
        "SIEMENS Sensation 10 -- B40f",
        "SIEMENS Sensation 10 -- B70f",
    )
    assert manifest.paired == (
        ("Philips Brilliance16 -- B", "Philips Brilliance16 -- L"),
        ("SIEMENS Sensation 10 -- B40f", "SIEMENS Sensation 10 -- B70f"),
    )
    found = all_slices(tmp_path / "out", manifest)
    assert len(found) == 108
    assert {item.header.patient for _, item in found} == {"P0001", "P0002", "P0003", "P0004"}
    assert min(item.pixels.min() for _, item in found) == -1024
