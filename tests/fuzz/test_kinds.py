"""Damaged files of every kind but DICOM: accepted, or refused with one line; nothing else."""

import gzip
import json
import shutil

import numpy as np
import pytest
from mutations import mutate
from targets import KINDS, nifti_volume, read

from jaxharmo.errors import InputError
from jaxharmo.harmonize.nifti import NiftiImage
from jaxharmo.harmonize.packaged import read_model
from jaxharmo.isolation import Death, Helper

SECONDS = 60
ROUND = {"short": 12, "long": 2000}


@pytest.fixture(scope="module")
def helper():
    helper = Helper()
    yield helper
    helper.close()


def finds_in(kind, count, helper, tmp_path, seed):
    """How many mutants were accepted and refused, and what else happened, with the mutants."""
    sound, folder = tmp_path / "sound", tmp_path / "damaged"
    KINDS[kind].make(sound)
    shutil.copytree(sound, folder)
    patterns = KINDS[kind].damaged
    names = sorted(
        {p.relative_to(sound) for each in patterns for p in sound.glob(each) if p.is_file()}
    )
    random = np.random.default_rng(seed)
    tally, finds = {"accepted": 0, "refused": 0}, []
    assert helper.call(read, kind, folder), f"a sound one of {kind} is refused"
    for number in range(count):
        name = names[random.integers(len(names))]
        original = (sound / name).read_bytes()
        (folder / name).write_bytes(mutate(original, random))
        find = attempt(helper, kind, folder, tally)
        if find:
            kept = tmp_path / f"find-{number}-{name.name}"
            shutil.copy(folder / name, kept)
            finds.append(f"{kept}: {find}")
        (folder / name).write_bytes(original)
    return tally, finds


def attempt(helper, kind, folder, tally):
    helper.send(read, kind, folder)
    if not helper.connection.poll(SECONDS):
        helper.close()
        return f"takes longer than {SECONDS} s"
    try:
        accepted = helper.receive()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    if isinstance(accepted, Death):
        return accepted.reason
    tally["accepted" if accepted else "refused"] += 1
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_round(kind, helper, tmp_path):
    tally, finds = finds_in(kind, ROUND["short"], helper, tmp_path, seed=0)
    assert not finds, "\n".join(finds)
    assert sum(tally.values()) == ROUND["short"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_long_round(kind, helper, tmp_path):
    tally, finds = finds_in(kind, ROUND["long"], helper, tmp_path, seed=1)
    print(f"\n{json.dumps({'kind': kind, **tally, 'finds': len(finds)})}")
    assert not finds, "\n".join(finds)


def test_an_affine_without_an_axis_is_refused(tmp_path):
    """Found by the long round: three axes of which two run the same way."""
    nibabel = pytest.importorskip("nibabel")
    KINDS["NIfTI"].make(tmp_path / "in")
    path = tmp_path / "in" / "a.nii"
    affine = np.diag([0.8, 1e-30, 2.5, 1])
    nibabel.save(nibabel.Nifti1Image(nifti_volume(), affine), path)
    with pytest.raises(InputError, match=r"a\.nii: its affine"):
        len(NiftiImage(path))


def test_a_bomb_of_voxels_is_refused(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(nifti_volume(), np.eye(4)), path)
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[42:48] = np.array([30000, 30000, 3000], "<i2").tobytes()
    path.write_bytes(gzip.compress(data))
    with pytest.raises(InputError, match="GiB of voxels"):
        len(NiftiImage(path))


def test_weights_that_claim_to_be_encrypted_are_refused(tmp_path):
    """Found by the long round: a flag in the archive."""
    KINDS["model folders"].make(tmp_path / "model")
    path = tmp_path / "model" / "weights.npz"
    data = bytearray(path.read_bytes())
    for head, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(head) + flags] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged model"):
        read_model(tmp_path / "model")
