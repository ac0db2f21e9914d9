"""Damaged files of every kind but DICOM: accepted, or refused with one line; nothing else."""

import json
import shutil

import numpy as np
import pytest
from mutations import mutate
from targets import KINDS, read

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
