"""The network trained on pairs, on pairs whose relation is known."""

import dataclasses

import numpy as np
import pytest
from paired_shards import SOFT, blurred, paired_shards

from jaxharmo.benchmark import supervised
from jaxharmo.benchmark.network import NetworkConfig
from jaxharmo.benchmark.supervised import PairedSlices, paired_network
from jaxharmo.errors import InputError

WINDOW, JUDGED = (-1024.0, 1500.0), (-1024.0, 400.0)
CONFIG = NetworkConfig(steps=60, batch_size=2, crop=32, terms=2, width=1, learning_rate=1e-2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return paired_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return *paired_network(shards, folder, CONFIG, WINDOW, JUDGED, 0, lambda _: None), folder


def test_pairs_show_the_same(shards):
    pairs = PairedSlices(shards, "train")
    assert len(pairs.directions) == 2
    for pair in pairs.pairs:
        source, target = pairs.images(pair)
        soft = source if pairs.directions[pair.direction][0] == SOFT else target
        sharp = target if soft is source else source
        np.testing.assert_allclose(soft, blurred(sharp), atol=1)


def test_batches_cut_both_sides_alike_and_depend_on_seed_and_number(shards):
    pairs = PairedSlices(shards, "train")
    data = dataclasses.replace(supervised.DataConfig(), crop=32, window=WINDOW)
    batch = pairs.batch(3, 6, data, 0)
    assert batch.source.shape == batch.target.shape == (6, 32, 32)
    for source, target in zip(batch.source, batch.target, strict=True):
        assert np.corrcoef(source.ravel(), target.ravel())[0, 1] > 0.9
    for mine, again in zip(batch, pairs.batch(3, 6, data, 0), strict=True):
        np.testing.assert_array_equal(mine, again)
    assert not np.array_equal(batch.source, pairs.batch(4, 6, data, 0).source)
    assert not np.array_equal(batch.source, pairs.batch(3, 6, data, 1).source)


def test_the_network_learns_the_relation_of_the_pairs(trained):
    network, found, _ = trained
    assert found["after"] < 0.6 * found["before"]
    flat = np.full((1, 32, 32), 40, np.int16)
    assert np.abs(network(flat, *network.directions[0]) - 40).max() < 30


def test_a_network_is_kept(trained, shards, monkeypatch):
    network, found, folder = trained
    monkeypatch.setattr(supervised, "_train", None)
    again, kept = paired_network(shards, folder, CONFIG, WINDOW, JUDGED, 0, lambda _: None)
    assert kept == found
    hu = np.random.default_rng(0).integers(-1000, 300, (1, 32, 32)).astype(np.int16)
    direction = network.directions[0]
    np.testing.assert_array_equal(again(hu, *direction), network(hu, *direction))
    (path,) = folder.iterdir()
    path.write_bytes(b"PK no archive")
    with pytest.raises(TypeError):
        paired_network(shards, folder, CONFIG, WINDOW, JUDGED, 0, lambda _: None)


def test_a_split_without_pairs(tmp_path):
    with pytest.raises(InputError, match="no pairs in the split 'train'"):
        PairedSlices(paired_shards(tmp_path, paired=False), "train")
