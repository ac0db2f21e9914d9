import errno
import os
import re
import resource
import signal
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest

from jaxharmo.checkpoint import DIGESTS, FOLDER, Checkpoints, find_step
from jaxharmo.errors import InputError

NUMBERS = 20_000


def trees(step):
    # Noise, because Orbax compresses.
    noise = np.random.default_rng(step).standard_normal(NUMBERS, np.float32)
    return {"ema": {"kernel": jnp.asarray(noise)}}


def save(workdir, *steps, keep=3):
    with Checkpoints(workdir, keep) as checkpoints:
        for step in steps:
            checkpoints.save(step, trees(step))


def assert_holds(workdir, step):
    restored = Checkpoints(workdir).restore(step, trees(0))
    np.testing.assert_array_equal(restored["ema"]["kernel"], trees(step)["ema"]["kernel"])


def largest_file(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def truncate(checkpoint):
    path = largest_file(checkpoint)
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(checkpoint):
    path = largest_file(checkpoint)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove_a_file(checkpoint):
    largest_file(checkpoint).unlink()


def spoil_the_digests(checkpoint):
    (checkpoint / DIGESTS).write_text("{")


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a disk of its own with room for a checkpoint, but not for two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={6 * NUMBERS // 1024}k", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove_a_file, spoil_the_digests])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(damage, tmp_path):
    save(tmp_path, 2, 4)
    newest = tmp_path / FOLDER / "4"
    damage(newest)
    said = []
    reader = Checkpoints(tmp_path)
    assert reader.find_sound(said.append) == 2
    assert newest.is_dir(), "a reader moves nothing"
    assert str(newest) in said[0]
    assert "damaged" in said[0]
    with pytest.raises(InputError, match=rf"{FOLDER}/4: damaged"):
        find_step(tmp_path, 4)
    assert find_step(tmp_path, None) == 2
    with Checkpoints(tmp_path, 3) as trainer:
        assert trainer.find_sound(said.append) == 2
        assert trainer.steps == [2]
        assert newest.with_name("4.damaged").is_dir()
        trainer.save(4, trees(4))
    assert_holds(tmp_path, 2)
    assert_holds(tmp_path, 4)


def test_where_all_are_damaged_nothing_is_begun_anew(tmp_path):
    save(tmp_path, 2)
    truncate(tmp_path / FOLDER / "2")
    with pytest.raises(InputError, match="every checkpoint is damaged"):
        Checkpoints(tmp_path).find_sound(lambda _: None)


def test_a_full_disk_loses_nothing_and_says_so(full_disk):
    save(full_disk, 2)
    with pytest.raises(OSError, match=rf"{FOLDER}/4.*{os.strerror(errno.ENOSPC)}.*2 is kept"):
        save(full_disk, 4)
    assert [path.name for path in (full_disk / FOLDER).iterdir()] == ["2"]
    assert find_step(full_disk, None) == 2
    assert_holds(full_disk, 2)


def test_a_limit_of_the_file_size_loses_nothing_and_says_so(tmp_path):
    save(tmp_path, 2)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (NUMBERS, limit[1]))
    try:
        with pytest.raises(OSError, match=re.escape(os.strerror(errno.EFBIG))):
            save(tmp_path, 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["2"]
    assert_holds(tmp_path, 2)


def test_a_failure_to_seal_leaves_no_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 2)

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    checkpoints = Checkpoints(tmp_path, 3)
    checkpoints.save(4, trees(4))
    with pytest.raises(OSError, match="2 is kept"):
        checkpoints.wait()
    assert checkpoints.steps == [2]


def test_the_remains_of_a_killed_save_are_cleared_by_the_one_that_trains(tmp_path):
    save(tmp_path, 2)
    remains = tmp_path / FOLDER / "4.partial.orbax-checkpoint-tmp"
    remains.mkdir()
    assert find_step(tmp_path, None) == 2
    assert remains.is_dir()
    Checkpoints(tmp_path, 3)
    assert not remains.exists()


def test_only_the_newest_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3, keep=2)
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["2", "3"]
