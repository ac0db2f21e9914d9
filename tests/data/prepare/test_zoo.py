"""Hostile and odd files, all in one folder: no traceback, no good slice lost, a line for each."""

import os
import re
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from dicom_files import SECRETS, ct_slice, hounsfield, save, truncate, uid, write_series
from prepared import all_slices, prepared, skipped_files
from pydicom.dataelem import DataElement
from pydicom.encaps import encapsulate
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    RTStructureSetStorage,
    SegmentationStorage,
)
from syntaxes import SYNTAXES, compress_by_gdcm

from jaxharmo.data.prepare import reading
from jaxharmo.data.prepare.collection import lost
from jaxharmo.data.prepare.domains import kernel_of
from jaxharmo.data.prepare.headers import Skipped
from jaxharmo.data.prepare.nifti import UNLABELLED
from jaxharmo.data.prepare.series import list_files
from jaxharmo.data.prepare.sources import Rules, read_file

PYDICOM = Path(pydicom.data.__file__).parent / "test_files"
GRID = "Rows, Columns or PixelSpacing out of range"
PLACE = "ImagePositionPatient missing or not 3 numbers"
NOT_DICOM = "not a DICOM file"
UNDECODED = "pixel data missing or cannot be decoded"
COUNT = "pixel data is not one image of Rows × Columns"

TAGS = {
    "no-modality-but-mr": ({"SOPClassUID": MRImageStorage}, "not a CT image but MR Image Storage"),
    "pet": (
        {"SOPClassUID": PositronEmissionTomographyImageStorage},
        "not a CT image but Positron Emission Tomography Image Storage",
    ),
    "seg": ({"SOPClassUID": SegmentationStorage}, "not a CT image but Segmentation Storage"),
    "rtstruct": (
        {"SOPClassUID": RTStructureSetStorage},
        "not a CT image but RT Structure Set Storage",
    ),
    "scout": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
    "derived": ({"ImageType": ["DERIVED", "SECONDARY"]}, "derived image (ImageType DERIVED)"),
    "no-kernel": ({"ConvolutionKernel": None}, "ConvolutionKernel missing"),
    "blank-kernel": ({"ConvolutionKernel": " "}, "ConvolutionKernel missing"),
    "no-spacing": ({"PixelSpacing": None}, "PixelSpacing missing or not 2 numbers"),
    "negative-spacing": ({"PixelSpacing": [-0.7, 0.7]}, GRID),
    "no-extent": ({"PixelSpacing": [0, 0]}, GRID),
    "vast-spacing": ({"PixelSpacing": ["1e6", "1e6"]}, GRID),
    "huge": ({"Rows": 65535, "Columns": 65535}, GRID),
    "taller-than-told": ({"Rows": 65}, "truncated pixel data"),
    "no-rows": ({"Rows": None}, "Rows missing or not 1 number"),
    "nan-slope": ({"RescaleSlope": "nan"}, "RescaleSlope missing or not 1 number"),
    "endless-slope": ({"RescaleSlope": "1e400"}, "RescaleSlope missing or not 1 number"),
    "steep-slope": (
        {"RescaleSlope": "1e300"},
        "RescaleSlope or RescaleIntercept out of range",
    ),
    "flat-slope": ({"RescaleSlope": 0}, "RescaleSlope is 0"),
    "no-intercept": ({"RescaleIntercept": None}, "RescaleIntercept missing or not 1 number"),
    "optical-density": ({"RescaleType": "OD"}, "RescaleType is not HU"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "not a grey image"),
    "colour": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "not a grey image"),
    "frames": ({"NumberOfFrames": 7}, "several frames in one file"),
    "nowhere": ({"ImagePositionPatient": None}, PLACE),
    "nan-place": ({"ImagePositionPatient": ["nan", "0", "0"]}, PLACE),
    "skewed": (
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        "ImageOrientationPatient is not two perpendicular directions",
    ),
    "no-series": ({"SeriesInstanceUID": None}, "SeriesInstanceUID missing"),
    "no-study": ({"StudyInstanceUID": None}, "StudyInstanceUID missing"),
    "no-instance": ({"SOPInstanceUID": None}, "SOPInstanceUID missing"),
    "twin": (
        {"SOPInstanceUID": uid(SECRETS[1], "study", "series", 0)},
        "SOPInstanceUID of another file",
    ),
    "bits": ({"BitsAllocated": 12}, UNDECODED),
    "wide-bits": ({"BitsAllocated": 64}, "truncated pixel data"),
}
"""Of a slice of the good series: elements that are changed, and the reason that is told."""

GOOD_TAGS = {
    "inverted": {"PhotometricInterpretation": "MONOCHROME1"},
    "several-kernels": {"ConvolutionKernel": ["Br40d", "3"]},
    "odd-case": {"ConvolutionKernel": "b70F", "Manufacturer": "Siemens Healthineers"},
    "no-patient": {"PatientID": None, "PatientName": None},
    "unicode": {"ManufacturerModelName": "東芝 ∆ café"},
    "path": {"ManufacturerModelName": "../../etc/passwd", "PatientID": "../../../x"},
    "script": {"ManufacturerModelName": "<script>alert(1)</script>"},
    "control": {"ManufacturerModelName": "a\x1b[31mb\0c"},
    "long": {"ManufacturerModelName": "x" * 60},
    "no-thickness": {"SliceThickness": None},
    "far": {"ImagePositionPatient": [-24, -24, 1e6]},
}
"""Odd, but of use: each a series of its own with one slice."""


def sound(path, syntax=ExplicitVRLittleEndian, **tags):
    """One slice of a series of its own, whose pixels are those of ``hounsfield(7)``."""
    return save(ct_slice(7, patient=path.name, **tags), path, syntax)


def without_meta(path):
    dataset = ct_slice(7, patient=path.name)
    dataset.save_as(path, implicit_vr=True, little_endian=True)


def without_preamble(path):
    sound(path)
    path.write_bytes(path.read_bytes()[132:])


def in_syntax(name):
    return lambda path: SYNTAXES[name](ct_slice(7, patient=path.name), path)


def by_gdcm(name):
    return lambda path: compress_by_gdcm(sound(path), name)


def endless_element(path):
    sound(path)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"\xe0\x7f\x10\0OW")
    data[place + 8 : place + 12] = b"\xf0\xff\xff\xff"
    path.write_bytes(data)


GOOD_FILES = {
    "endless": endless_element,
    "implicit": lambda path: sound(path, ImplicitVRLittleEndian),
    "deflated": in_syntax("deflated"),
    "big-endian": in_syntax("big endian"),
    "no-meta": without_meta,
    "no-preamble": without_preamble,
    "rle": in_syntax("RLE"),
    "jpeg-ls": in_syntax("JPEG-LS"),
    "jpeg-2000": in_syntax("JPEG 2000"),
    "jpeg-lossless": by_gdcm("JPEGLosslessProcess14"),
    "jpeg-lossless-sv1": in_syntax("JPEG lossless"),
    "jpeg-ls-gdcm": by_gdcm("JPEGLSLossless"),
    "file with spaces and ünïcode.txt": sound,
    "…‮gpj.exe": sound,
    "=cmd()": sound,
}
"""Written in an odd way, but of use."""


def write(data):
    return lambda path: path.write_bytes(data)


def cut(size):
    return lambda path: truncate(sound(path), size)


def without_pixels(path):
    dataset = ct_slice(7, patient=path.name)
    del dataset.PixelData
    save(dataset, path)


def encapsulated(data, syntax=JPEGLSLossless):
    def build(path):
        dataset = ct_slice(7, patient=path.name)
        dataset.PixelData = encapsulate([data])
        save(dataset, path, syntax)

    return build


def of_floats(path):
    dataset = ct_slice(7, patient=path.name)
    del dataset.PixelData
    dataset.BitsAllocated = 32
    dataset.add(DataElement("FloatPixelData", "OF", np.zeros((64, 64), "<f4").tobytes()))
    save(dataset, path)


def bomb(path):
    sound(path, DeflatedExplicitVRLittleEndian)
    meta = read_file_meta_info(path)
    squeeze = zlib.compressobj(9, wbits=-15)
    data = squeeze.compress(bytes(reading.MAX_INFLATED + 2**20)) + squeeze.flush()
    path.write_bytes(path.read_bytes()[: 144 + meta.FileMetaInformationGroupLength] + data)


def text_as_number(path):
    path.write_bytes(sound(path).read_bytes().replace(b"0.75\\0.75", b"0.75\\o.75"))


def noise(path):
    path.write_bytes(bytes(128) + b"DICM" + np.random.default_rng(0).bytes(5000))


BAD_FILES = {
    "empty": (write(b""), NOT_DICOM),
    "text.dcm": (write(b"no image\n"), NOT_DICOM),
    "picture.png": (write(b"\x89PNG\r\n\x1a\n" + bytes(500)), NOT_DICOM),
    "archive.zip": (write(b"PK\3\4" + bytes(500)), NOT_DICOM),
    "marker-only": (write(bytes(128) + b"DICM"), "not a CT image"),
    "noise": (noise, "not a CT image"),
    "cut-in-marker": (cut(130), NOT_DICOM),
    "cut-in-meta": (cut(200), PLACE),
    "cut-in-header": (cut(700), PLACE),
    "cut-in-pixels": (cut(-100), "truncated pixel data"),
    "no-pixels": (without_pixels, UNDECODED),
    "floats": (of_floats, UNDECODED),
    "jpeg-ls-nonsense": (encapsulated(b"nothing"), UNDECODED),
    "j2k-nonsense": (encapsulated(b"\xff\x4f\xff\x51" + bytes(50), JPEG2000Lossless), UNDECODED),
    "rle-nonsense": (encapsulated(bytes(64), RLELossless), UNDECODED),
    "text-spacing": (text_as_number, "PixelSpacing missing or not 2 numbers"),
    "volume.nii.gz": (write(b"\x1f\x8b nothing"), UNLABELLED),
}  # fmt: skip


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """The folder, what must be skipped for which reason, and how many slices are good."""
    source = tmp_path_factory.mktemp("zoo") / "in"
    write_series(source, slices=10)
    expected = {}
    for number, (name, (tags, reason)) in enumerate(TAGS.items()):
        dataset = ct_slice(1000 + number, **tags)
        save(dataset, source / "tags" / name)
        expected[f"tags/{name}"] = reason
    for name, tags in GOOD_TAGS.items():
        sound(source / "good" / name, series=name, **tags)
    for name, build in GOOD_FILES.items():
        build(source / "good" / name)
    (source / "files").mkdir()
    for name, (build, reason) in BAD_FILES.items():
        build(source / "files" / name)
        expected[f"files/{name}"] = reason
    (source / "good" / "loop").symlink_to(source)
    (source / "files" / "loop").symlink_to(source / "files" / "loop")
    (source / "files" / "broken").symlink_to("nowhere")
    os.mkfifo(source / "files" / "pipe")
    # Another reconstruction in the same folder, and a copy of a slice whose first copy is damaged.
    write_series(source, series="other", kernel="B70f", slices=4)
    shutil.copy(source / "series-0", source / "tags" / "again")
    expected["tags/again"] = "another slice of the series at its position"
    first = next(path for path in sorted(source.iterdir()) if path.name.startswith("other"))
    shutil.copy(first, source / "other-copy")
    truncate(first, -50)
    expected[first.name] = "truncated pixel data"
    return source, expected, 10 + len(GOOD_TAGS) + len(GOOD_FILES) + 4


def test_the_zoo(zoo, tmp_path, capfd):
    source, expected, count = zoo
    assert len(expected) + len(GOOD_TAGS) + len(GOOD_FILES) >= 40
    manifest, _ = prepared(source, tmp_path / "out")
    assert skipped_files(tmp_path / "out") == expected
    assert lost(manifest) == len(expected)
    slices = [item for _, item in all_slices(tmp_path / "out", manifest)]
    assert len(slices) == count
    alone = [item for item in slices if (item.pixels == hounsfield(7)).all()]
    assert len(alone) == len(GOOD_TAGS) + len(GOOD_FILES) + 1
    kernels = {kernel_of(name) for name in manifest.domain_names}
    assert kernels == {"B30f", "B70f", "Br40d/3"}
    for path in (tmp_path / "out").rglob("*"):
        assert re.fullmatch(r"[a-z0-9.-]+", path.name)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.json"))
    assert SECRETS[0].encode() not in written
    assert "Traceback" not in capfd.readouterr().err


def test_the_zoo_with_everything_on(zoo, tmp_path):
    source, expected, count = zoo
    settings = {"body_only": True, "crop": "lung", "spacing": 0.9, "window": (-1024.0, 400.0)}
    manifest, _ = prepared(source, tmp_path / "out", **settings)
    assert skipped_files(tmp_path / "out") == expected
    assert len(all_slices(tmp_path / "out", manifest)) == count


def test_images_of_any_size(tmp_path):
    sizes = [(1, 1), (1, 700), (3, 5), (513, 700)]
    for number, (rows, columns) in enumerate(sizes):
        pixels = np.full((rows, columns), 1064, "<i2")
        dataset = ct_slice(number, series=str(number), Rows=rows, Columns=columns)
        dataset.PixelData = pixels.tobytes() + bytes(pixels.nbytes % 2)
        save(dataset, tmp_path / "in" / str(number))
    for name, settings in {
        "plain": {},
        "masks": {"body_only": True, "crop": "body"},
        "coarse": {"spacing": 10.0, "min_lung": 0.0, "crop": "lung"},
    }.items():
        manifest, _ = prepared(tmp_path / "in", tmp_path / name, **settings)
        slices = all_slices(tmp_path / name, manifest)
        assert len(slices) == len(sizes)
        for _, item in slices:
            top, left, bottom, right = item.header.body
            assert 0 <= top < bottom <= item.pixels.shape[0]
            assert 0 <= left < right <= item.pixels.shape[1]


def test_the_files_of_pydicom(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "pydicom").symlink_to(PYDICOM)
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", derived=True)
    skipped = skipped_files(tmp_path / "out")
    files = {path.relative_to(PYDICOM).as_posix() for path in PYDICOM.rglob("*") if path.is_file()}
    used = files - {name.removeprefix("pydicom/") for name in skipped}
    assert {"CT_small.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"} <= used
    assert len(all_slices(tmp_path / "out", manifest)) == len(used)
    assert skipped["pydicom/MR_small.dcm"] == "not a CT image but MR Image Storage"
    assert skipped["pydicom/dicomdirtests/DICOMDIR"].startswith("not a CT image but Media")


def test_a_bomb_is_not_inflated(tmp_path):
    write_series(tmp_path / "in", slices=3)
    bomb(tmp_path / "in" / "bomb")
    prepared(tmp_path / "in", tmp_path / "out")
    assert skipped_files(tmp_path / "out") == {"bomb": "deflated to far more than one slice"}


def test_files_and_folders_without_access():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = root / "in"
        (closed,) = write_series(source / "closed", slices=1, series="closed")
        secret = write_series(source, slices=4)[1]
        # No permission stops root, so that what root runs steps down.
        nobody = 65534 if os.geteuid() == 0 else os.geteuid()
        root.chmod(0o777)
        secret.chmod(0)
        closed.parent.chmod(0)
        os.seteuid(nobody)
        try:
            folders = []
            names = [path.relative_to(source).as_posix() for path in list_files(source, folders)]
            found = [item for name in names for item in read_file(Rules(), source, name)]
        finally:
            os.seteuid(os.getuid())
            closed.parent.chmod(0o700)
        assert folders == [closed.parent]
        (skipped,) = [item for item in found if isinstance(item, Skipped)]
        assert skipped == Skipped(secret.name, "cannot be read", lost=True)
        assert len(found) == 4
