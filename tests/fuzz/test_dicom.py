"""Damaged slices of every transfer syntax, by the hundred beside good ones, through ``prepare``."""

import contextlib
import csv
import json
import os
import sys
import time

import numpy as np
import psutil
import pydicom
import pytest
from dicom_files import ct_slice, uid, write_series
from mutations import mutate
from syntaxes import SYNTAXES
from targets import nifti_volume

from jaxharmo.data.manifest import SPLITS, read_manifest
from jaxharmo.data.prepare.collection import SKIPPED_NAME, Job, prepare
from jaxharmo.data.shards import SliceSource

COMMAND = ["-P", "-c", "from jaxharmo.__main__ import main; main()", "prepare"]
GOOD = 20
BATCH = 500
SECONDS_A_MUTANT = 1.0
MEMORY = 2 * 2**30


def seeds(folder, real=None):
    """A file of each syntax, made up, or of a slice of real CT."""
    folder.mkdir()
    datasets = {"": ct_slice(3, patient="seed", series="seed", size=64)}
    if real:
        paths = [path for path in sorted(real.rglob("*")) if path.suffix.lower() == ".dcm"]
        datasets["real "] = pydicom.dcmread(paths[0])
    for prefix, dataset in datasets.items():
        for name, write in SYNTAXES.items():
            if not (prefix and name == "big endian"):
                write(dataset, folder / f"{prefix}{name}")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def damaged(originals, count, folder, random):
    """Every second one in its pixels, which headers guard."""
    folder.mkdir(parents=True)
    names = list(originals)
    for number in range(count):
        name = names[number % len(names)]
        data = originals[name]
        start = data.rfind(b"\xe0\x7f\x10\0") if number // len(names) % 2 else 0
        data = data[: max(0, start)] + mutate(data[max(0, start) :], random)
        (folder / f"{random.integers(10**9):09d}-{name.replace(' ', '-')}").write_bytes(data)


def pixels_of(directory):
    manifest = read_manifest(directory)
    return [
        item.pixels.tobytes()
        for domain in manifest.domains
        for split in SPLITS
        for item in SliceSource(directory, split, domain)
    ]


def call(source, destination, workers, count):
    """As ``run``, in this process, which saves the start of JAX."""
    lines = []
    prepare(source, destination, job=Job(workers=workers), report=lines.append)
    return 0, "\n".join(lines), 0


def run(source, destination, workers, count):
    """Exit code and lines of the command, and the most memory of all its processes."""
    words = [sys.executable, *COMMAND, source, destination, "--workers", str(workers)]
    with open(os.devnull, "wb") as nowhere, open(f"{destination}.txt", "wb") as said:
        process = psutil.Popen(words, stdout=nowhere, stderr=said, cwd=source)
    most, end = 0, time.monotonic() + 60 + SECONDS_A_MUTANT * count
    while process.poll() is None:
        assert time.monotonic() < end, "it hangs"
        memory = 0
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                # What processes share counts once.
                memory += each.memory_full_info().pss
        most = max(most, memory)
        time.sleep(0.1)
    with open(f"{destination}.txt") as said:
        return process.returncode, said.read(), most


def one_round(tmp_path, count, seed, run=run, real=None):
    originals = seeds(tmp_path / "seeds", real)
    good = tmp_path / "good"
    write_series(good, slices=GOOD, patient="good", series="good")
    code, said, _ = run(good, tmp_path / "alone", 1, GOOD)
    assert code == 0, said
    expected = pixels_of(tmp_path / "alone")
    random = np.random.default_rng(seed)
    tally = {"mutants": 0, "used": 0, "crashed their decoder": 0, "megabytes": 0}
    for start in range(0, count, BATCH):
        number = min(BATCH, count - start)
        source, destination = tmp_path / f"in{start}", tmp_path / f"out{start}"
        damaged(originals, number, source / "mutants", random)
        (source / "good").symlink_to(good)
        code, said, memory = run(source, destination, 2 - start // BATCH % 2, number)
        assert code == 0, said
        assert "Traceback" not in said
        found = pixels_of(destination)
        for pixels in expected:
            found.remove(pixels)
        with (destination / SKIPPED_NAME).open(newline="") as file:
            reasons = [row["reason"] for row in csv.DictReader(file)]
        assert memory < MEMORY
        tally["mutants"] += number
        tally["used"] += len(found)
        tally["crashed their decoder"] += sum("crashes" in reason for reason in reasons)
        tally["megabytes"] = max(tally["megabytes"], memory // 2**20)
    return tally


def test_a_short_round(tmp_path):
    tally = one_round(tmp_path, 120, seed=0, run=call)
    assert tally["mutants"] == 120


@pytest.mark.slow
def test_a_long_round(tmp_path, real_ct):
    tally = one_round(tmp_path, 10_000, seed=1, real=real_ct)
    print(f"\n{json.dumps(tally)}")


@pytest.mark.slow
def test_a_long_round_of_nifti(tmp_path):
    """Beside a good volume, through ``prepare``."""
    nibabel = pytest.importorskip("nibabel")
    source = tmp_path / "in"
    source.mkdir()
    image = nibabel.Nifti1Image(nifti_volume(), np.diag([0.8, 0.9, 2.5, 1]))
    for name in ("good.nii", "seed.nii.gz"):
        nibabel.save(image, source / name)
    originals = [path.read_bytes() for path in sorted(source.iterdir())]
    (source / "seed.nii.gz").unlink()
    random = np.random.default_rng(2)
    names = [f"{number:04d}{('.nii', '.nii.gz')[number % 2]}" for number in range(2000)]
    for number, name in enumerate(names):
        (source / name).write_bytes(mutate(originals[number % 2], random))
    labels = tmp_path / "labels.csv"
    labels.write_text("file,domain\n" + "".join(f"{name},A\n" for name in ["good.nii", *names]))
    prepare(source, tmp_path / "out", labels=labels, job=Job(workers=2))
    found = pixels_of(tmp_path / "out")
    for index in range(5):
        found.remove(nifti_volume()[::-1, ::-1, index].T.clip(-1024, 3071).tobytes())


def test_the_same_seed_gives_the_same_mutants(tmp_path):
    originals = {"a": ct_slice(0).PixelData, "b": uid("x").encode()}
    for name in ("one", "other"):
        damaged(originals, 40, tmp_path / name, np.random.default_rng(5))
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "other")
    )
    assert one == other
