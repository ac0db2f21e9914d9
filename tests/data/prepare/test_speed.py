"""Throughput and memory on real CT, against a plain loop that does the same; run by hand.

``pytest -m slow -s tests/data/prepare/test_speed.py`` prints the figures.
"""

import contextlib
import subprocess
import sys
import time

import numpy as np
import psutil
import pydicom
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from dicom_files import uid
from scipy import ndimage
from skimage import filters, measure, morphology, segmentation

from jaxharmo.data.records import WRITER_OPTIONS, Slice, SliceHeader, encode

COPIES = 12
RUN = """
import sys, time
from pathlib import Path
from jaxharmo.data.prepare.collection import Job, PrepareConfig, prepare
masks = dict(body_only=True, crop="lung") if sys.argv[3] == "masks" else {}
start = time.perf_counter()
prepare(Path(sys.argv[1]), Path(sys.argv[2]), PrepareConfig(**masks), job=Job(workers=2))
print(time.perf_counter() - start)
"""


@pytest.fixture(scope="module")
def collection(real_ct, tmp_path_factory):
    """Copies of the real CT under other identifiers, on a warm disk."""
    folder = tmp_path_factory.mktemp("many")
    count = 0
    for path in sorted(real_ct.rglob("*")):
        if not path.is_file():
            continue
        try:
            dataset = pydicom.dcmread(path)
        except pydicom.errors.InvalidDicomError:
            continue
        identifiers = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
        original = {name: dataset[name].value for name in identifiers}
        for copy in range(COPIES):
            for name in identifiers[:3]:
                setattr(dataset, name, uid(original[name], copy))
            dataset.PatientID = f"{original['PatientID']}-{copy}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(folder / f"{count:06d}")
            count += 1
    return folder, count


def plain_loop(folder, destination, masks):
    """What a script of pydicom and scikit-image does: HU, boxes, masks, clip, write."""
    writer = ArrayRecordWriter(str(destination), WRITER_OPTIONS)
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        if masks:
            smooth = filters.gaussian(hu, 1, preserve_range=True)
            body = largest(morphology.isotropic_opening(smooth > -320, 3), 1)
            body = ndimage.binary_fill_holes(body)
            air = segmentation.clear_border(smooth < -320) & body
            lung = morphology.isotropic_closing(largest(air, 2), 4)
            lung = ndimage.binary_fill_holes(lung)
            hu[~body] = -1024
            box = box_of(lung if lung.any() else body)
            hu = hu[box[0] : box[2], box[1] : box[3]]
        else:
            box = box_of(largest(hu > -500, 1))
        header = SliceHeader(
            domain=0, patient="P", series="S", acquisition="A", body=box,
            position=float(dataset.ImagePositionPatient[2]),
            spacing=tuple(map(float, dataset.PixelSpacing)),
        )  # fmt: skip
        pixels = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
        writer.write(encode(Slice(header, pixels)))
    writer.close()


def largest(mask, count):
    labels = measure.label(mask)
    regions = sorted(measure.regionprops(labels), key=lambda region: -region.area)[:count]
    return np.isin(labels, [region.label for region in regions])


def box_of(mask):
    regions = measure.regionprops(mask.astype(np.uint8))
    return regions[0].bbox if regions else (0, 0, *mask.shape)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "least"), [("plain", 150), ("masks", 50)])
def test_throughput(collection, tmp_path, what, least):
    folder, count = collection
    command = [sys.executable, "-c", RUN, folder, tmp_path / "out", what]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    used, memory = watch(psutil.Process(process.pid))
    output, _ = process.communicate()
    assert process.returncode == 0
    rate = count / float(output.split()[-1])
    some = tmp_path / "some"
    some.mkdir()
    for path in sorted(folder.iterdir())[::COPIES]:
        (some / path.name).symlink_to(path)
    start, began = time.perf_counter(), time.process_time()
    plain_loop(some, tmp_path / "loop", what == "masks")
    loop = count / COPIES / (time.perf_counter() - start)
    loop_used = (time.process_time() - began) * COPIES
    print(
        f"\n{what}: {rate:.0f} slices/s, plain loop {loop:.0f}; {count / used:.0f} and "
        f"{count / loop_used:.0f} slices per second of one core; {memory:.0f} MB in all processes"
    )
    assert memory < 1500
    assert rate > 2 * loop
    # By the time of the processors: others may be at work on the machine.
    assert 2 * count / used > least


def watch(process):
    """Seconds of processors and most megabytes of a process and all that it starts."""
    used, most = {}, 0.0
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        memory = 0
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                used[each.pid] = times.user + times.system
                memory += each.memory_info().rss
        most = max(most, memory / 2**20)
        time.sleep(0.1)
    return sum(used.values()), most
