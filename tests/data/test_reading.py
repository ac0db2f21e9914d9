"""Reading is not what a step waits for, and a random read costs the same in a large set."""

import statistics
import time

import numpy as np
import pytest

from jaxharmo.data.manifest import Domain
from jaxharmo.data.records import Slice, SliceHeader
from jaxharmo.data.shards import ShardWriter, SliceSource

DOMAIN = Domain(index=0, name="A", slug="a", slices={"train": 1})


def header(number, size):
    return SliceHeader(
        domain=0,
        patient="p",
        series="s",
        acquisition="a",
        position=float(number),
        spacing=(0.7, 0.7),
        body=(0, 0, size, size),
    )


def write(folder, count, size):
    """Slices of noise that differ: 16 images by turns."""
    random = np.random.default_rng(0)
    images = random.normal(-300, 60, (16, size, size)).astype(np.int16)
    with ShardWriter(folder, "train", DOMAIN.slug) as writer:
        for number in range(count):
            writer.write(Slice(header(number, size), images[number % 16]))
    return SliceSource(folder, "train", DOMAIN)


def seconds_of_reads(source, reads=2000):
    """Processor seconds of a read at random places, best of three medians."""
    medians = []
    for seed in range(3):
        seconds = []
        for index in np.random.default_rng(seed).integers(len(source), size=reads):
            before = time.thread_time()
            item = source[int(index)]
            seconds.append(time.thread_time() - before)
            assert item.header.position == index
        medians.append(statistics.median(seconds))
    return min(medians)


@pytest.mark.slow
def test_a_random_read_costs_the_same_in_a_set_100_times_as_large(tmp_path):
    small = seconds_of_reads(write(tmp_path / "small", 2_000, 64))
    large = seconds_of_reads(write(tmp_path / "large", 200_000, 64))
    assert large < 1.5 * small
