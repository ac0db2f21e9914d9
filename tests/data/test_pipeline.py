import dataclasses
import itertools

import numpy as np
import pytest
from test_records import make_slice

from jaxharmo.config import DataConfig
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.data.phantom import PhantomConfig, make_phantom
from jaxharmo.data.pipeline import (
    DomainCrops,
    Share,
    crop,
    even_crops,
    sample_sources,
    training_batches,
)
from jaxharmo.data.records import Slice
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError

DATA = DataConfig(crop=32)


def take(phantom, count, **options):
    domains = choose_domains(read_manifest(phantom), options.pop("names", ()))
    options = {"batch_size": 8, "seed": 1} | options
    return list(itertools.islice(training_batches(phantom, domains, DATA, **options), count))


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_shapes_and_types(phantom):
    (batch,) = take(phantom, 1)
    assert batch["source"].shape == (8, 32, 32)
    assert batch["reference"].shape == (8, 2, 32, 32)
    assert batch["source"].dtype == batch["reference"].dtype == np.int16
    assert batch["source_domain"].dtype == batch["target_domain"].dtype == np.int32


def test_the_same_seed_gives_the_same_batches_from_any_start(phantom):
    batches = take(phantom, 5)
    assert_equal(batches[3:], take(phantom, 2, first_batch=3))
    assert (take(phantom, 1, seed=2)[0]["source"] != batches[0]["source"]).any()


def test_processes_share_the_global_batch(phantom):
    shares = [take(phantom, 2, share=Share(number, 2)) for number in range(2)]
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*shares, strict=True)
    ]
    assert_equal(joined, take(phantom, 2))
    with pytest.raises(InputError, match="divide"):
        take(phantom, 1, batch_size=9, share=Share(0, 2))


def test_domains_are_balanced_and_named_in_the_wanted_order(phantom):
    batches = take(phantom, 40)
    for name in ("source_domain", "target_domain"):
        counts = np.bincount(np.concatenate([batch[name] for batch in batches]), minlength=3)
        assert counts.min() > 320 / 3 - 40
    names = read_manifest(phantom).domain_names
    chosen = choose_domains(read_manifest(phantom), (names[2], names[0]))
    assert [domain.name for domain in chosen] == [names[2], names[0]]


def test_unknown_domain_lists_those_that_exist(phantom):
    with pytest.raises(InputError, match=r"B30f.*B50f.*B70f"):
        choose_domains(read_manifest(phantom), ("B99",))


def test_random_crops_lie_in_the_body():
    pixels = np.full((64, 64), -1024, np.int16)
    pixels[10:58, 14:60] = 0
    item = Slice(make_slice(body=(10, 14, 58, 60)).header, pixels)
    random = np.random.default_rng(0)
    assert all((crop(item, DATA, random) == 0).all() for _ in range(50))


def test_crops_hold_a_smaller_body_and_fill_up_smaller_slices():
    pixels = np.zeros((20, 40), np.int16)
    item = Slice(make_slice(body=(5, 12, 15, 20)).header, pixels)
    for _ in range(20):
        square = crop(item, DATA, np.random.default_rng())
        assert square.shape == (32, 32)
        assert (square == 0).sum() == 20 * 32
        assert (square == -1024).sum() == 12 * 32


def test_even_crops_have_the_mean_of_drawn_ones(phantom):
    (domain, *_) = choose_domains(read_manifest(phantom), ())
    even = even_crops(phantom, domain, DATA)
    assert even.dtype == np.int16
    assert len(even) == min(600, 16 * domain.slices["train"])
    source, random = SliceSource(phantom, "train", domain), np.random.default_rng(0)
    drawn = [crop(source[number], DATA, random) for number in range(len(source)) for _ in range(99)]
    spread = np.mean(drawn, (1, 2)).std()
    assert abs(even.mean() - np.mean(drawn)) < 0.2 * spread
    assert abs(even.std((1, 2)).mean() - np.std(drawn, (1, 2)).mean()) < 0.2 * spread


def test_even_crops_are_spread_over_slices_and_places(phantom):
    (domain, *_) = choose_domains(read_manifest(phantom), ())
    every, some = (even_crops(phantom, domain, DATA, most) for most in (10**6, 12))
    assert len(some) == 12
    found = [int(np.flatnonzero((every == square).all((1, 2)))[0]) for square in some]
    assert len({number % domain.slices["train"] for number in found}) > 1
    assert len({number // domain.slices["train"] for number in found}) > 8
    middle = dataclasses.replace(DATA, crop_position="center")
    assert len(even_crops(phantom, domain, middle)) == domain.slices["train"]


def test_a_source_for_another_scanner_has_the_coarser_pixel(tmp_path):
    names = ("PHANTOM Ellipse -- B30f", "PHANTOM Ellipse -- B70f", "MIRAGE Oval -- B")
    make_phantom(tmp_path, PhantomConfig(patients=3, slices=1, size=64, domains=names))
    domains = choose_domains(read_manifest(tmp_path), names)
    sides = DomainCrops(tmp_path, domains, DATA)
    pixels = [sides.pixel(number) for number in range(3)]
    assert pixels[0] == pixels[1] != pixels[2]
    batches = {given: take(tmp_path, 6, names=names, pixels=given) for given in ((), (*pixels,))}
    coarser = 0
    for plain, batch in zip(*batches.values(), strict=True):
        ends = zip(batch["source_domain"], batch["target_domain"], strict=True)
        for row, (source, target) in enumerate(ends):
            # Kernels of one scanner have one pixel.
            wanted = max(pixels[source], pixels[target])
            assert batch["source_pixel"][row] == pytest.approx(wanted, rel=0.02)
            assert plain["source_pixel"][row] == pytest.approx(pixels[source])
            same = np.array_equal(batch["source"][row], plain["source"][row])
            assert same == (wanted == pixels[source])
            coarser += not same
    assert coarser > 5
    np.testing.assert_array_equal(plain["reference"], batch["reference"])


def test_sample_sources_are_whole_and_divisible(phantom):
    domains = choose_domains(read_manifest(phantom), ())
    sources = sample_sources(phantom, domains, DATA, 64)
    assert sources.shape == (3, 128, 128)
