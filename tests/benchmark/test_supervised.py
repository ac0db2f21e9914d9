"""The network trained on pairs, on pairs whose relation is known."""

import numpy as np
import pytest
from paired_shards import SHARP, SOFT, blurred, paired_shards

from jaxharmo.benchmark import supervised
from jaxharmo.benchmark.network import NetworkConfig
from jaxharmo.benchmark.supervised import PairedSlices, paired_network
from jaxharmo.config import DataConfig
from jaxharmo.errors import InputError

JUDGED = (-1024.0, 400.0)
CONFIG = NetworkConfig(steps=1, batch_size=1, crop=16, width=1)
SPACING = (1.0, 1.0)


def brighter_lung(hu):
    """What no filter does: it depends on the value of the pixel alone."""
    return hu + np.where(np.abs(hu + 850) < 90, 200, 0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return paired_shards(tmp_path_factory.mktemp("shards"))


def test_pairs_show_the_same_and_their_filter_is_found(shards):
    pairs = PairedSlices(shards, "train")
    filters = pairs.filters()
    assert len(pairs.directions) == len(filters) == 2
    towards_soft = pairs.directions.index((SHARP, SOFT))
    for pair in pairs.pairs:
        source, target = (item.pixels.astype(np.float32) for item in pairs.items(pair))
        if pair.direction == towards_soft:
            np.testing.assert_allclose(blurred(source), target, atol=1)
            made = filters[pair.direction](source[None], SPACING)[0]
            assert np.sqrt(np.mean((made - target) ** 2)) < 3


def test_batches_cut_all_sides_alike_and_depend_on_seed_and_number(shards):
    pairs = PairedSlices(shards, "train")
    filters, data = pairs.filters(), DataConfig(crop=32)
    batch = pairs.batch(filters, 3, 6, data, 0)
    assert batch.source.shape == batch.filtered.shape == batch.target.shape == (6, 32, 32)
    for source, filtered, target in zip(batch.source, batch.filtered, batch.target, strict=True):
        assert np.corrcoef(source.ravel(), target.ravel())[0, 1] > 0.9
        assert np.corrcoef(filtered.ravel(), target.ravel())[0, 1] > 0.9
    for mine, again in zip(batch, pairs.batch(filters, 3, 6, data, 0), strict=True):
        np.testing.assert_array_equal(mine, again)
    assert not np.array_equal(batch.source, pairs.batch(filters, 4, 6, data, 0).source)
    assert not np.array_equal(batch.source, pairs.batch(filters, 3, 6, data, 1).source)


@pytest.mark.slow
def test_the_network_learns_what_no_filter_does(tmp_path):
    shards = paired_shards(tmp_path / "shards", brighter_lung)
    config = NetworkConfig(steps=100, batch_size=4, crop=64, width=8, learning_rate=1e-2)
    _, found = paired_network(shards, tmp_path / "networks", config, JUDGED, 0, lambda _: None)
    assert found["network"] < 0.75 * min(found["filter"], found["before"])


def test_a_network_is_kept(shards, tmp_path, monkeypatch):
    arguments = (shards, tmp_path, CONFIG, JUDGED, 0, lambda _: None)
    network, found = paired_network(*arguments)
    monkeypatch.setattr(supervised, "_train", None)
    again, kept = paired_network(*arguments)
    assert kept == found
    hu = np.random.default_rng(0).integers(-1000, 300, (1, 32, 32)).astype(np.int16)
    ends = network.directions[0]
    np.testing.assert_array_equal(again(hu, SPACING, *ends), network(hu, SPACING, *ends))
    (path,) = tmp_path.iterdir()
    for damaged in (path.read_bytes()[:-300], b"PK no archive"):
        path.write_bytes(damaged)
        with pytest.raises(TypeError):
            paired_network(*arguments)


def test_a_split_without_pairs(tmp_path):
    with pytest.raises(InputError, match="no pairs in the split 'train'"):
        PairedSlices(paired_shards(tmp_path, paired=False), "train")
