import numpy as np
import pytest

from jaxharmo.data.manifest import (
    Domain,
    Manifest,
    read_manifest,
    shard_paths,
    slugify,
    unique_slugs,
    write_manifest,
)
from jaxharmo.data.records import Slice, SliceHeader, decode, encode
from jaxharmo.data.shards import ShardWriter, SliceSource
from jaxharmo.errors import InputError


def make_slice(seed=0, **fields):
    header = {
        "domain": 1,
        "patient": "P0001",
        "series": "S0001",
        "acquisition": "A0001",
        "position": -12.5,
        "spacing": (0.7, 0.8),
        "body": (1, 2, 5, 6),
    } | fields
    pixels = np.random.default_rng(seed).integers(-1024, 3071, (6, 7)).astype(np.int16)
    return Slice(SliceHeader(**header), pixels)


def test_record_survives_bytes():
    item = make_slice(patient="Ünï")
    back = decode(encode(item))
    assert back.header == item.header
    np.testing.assert_array_equal(back.pixels, item.pixels)


@pytest.mark.parametrize(("limit", "value"), [("BYTES", 500), ("SLICES", 4)])
def test_shards_read_back_in_order_and_split_when_full(tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(f"jaxharmo.data.shards.SHARD_{limit}", value)
    items = [make_slice(seed, position=float(seed)) for seed in range(9)]
    with ShardWriter(tmp_path, "train", "a") as writer:
        for item in items:
            writer.write(item)
    domain = Domain(index=0, name="A", slug="a", slices={"train": writer.count})
    assert len(shard_paths(tmp_path, "train", domain)) > 1
    back = list(SliceSource(tmp_path, "train", domain))
    assert [item.header for item in back] == [item.header for item in items]
    shard_paths(tmp_path, "train", domain)[0].unlink()
    with pytest.raises(InputError, match="shards of 'A'"):
        shard_paths(tmp_path, "train", domain)


def test_a_failure_leaves_no_shard(tmp_path):
    def fail():
        with ShardWriter(tmp_path, "train", "a") as writer:
            writer.write(make_slice())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list((tmp_path / "train").iterdir())


@pytest.mark.parametrize(
    "record",
    [
        *(b"", b"ab", b"\0\0\0\0", b"\2\0\0\0[]", b"\2\0\0\0{}"),
        *(encode(make_slice())[:end] for end in (40, -1)),
        encode(make_slice()) + b"ab",
    ],
)
def test_damaged_records_are_value_errors(record):
    with pytest.raises(ValueError, match="not a slice record"):
        decode(record)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: bytes(len(b))])
def test_a_damaged_shard_is_bad_input(tmp_path, damage):
    with ShardWriter(tmp_path, "train", "a") as writer:
        writer.write(make_slice())
    domain = Domain(index=0, name="A", slug="a", slices={"train": 1})
    (path,) = shard_paths(tmp_path, "train", domain)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="'A'"):
        list(SliceSource(tmp_path, "train", domain))


def test_manifest_survives_json(tmp_path):
    manifest = Manifest(
        window=(-1024.0, 3071.0),
        spacing="native",
        split_by="patient",
        domains=(Domain(index=0, name="A <b> -- Ü", slug="a-b", slices={"train": 1}),),
        patients={"train": ["P0001"]},
        paired=(("A", "B"),),
        provenance={"tool": "test"},
    )
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format_version": 99}', '{"format_version": 1, "domains": [{}]}']
)
def test_damaged_manifest_is_bad_input(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_manifest(tmp_path)


def test_a_slug_that_leaves_the_folder_is_refused(tmp_path):
    test_manifest_survives_json(tmp_path)
    path = tmp_path / "dataset.json"
    path.write_text(path.read_text().replace('"a-b"', '"../a"'))
    with pytest.raises(InputError, match="slug"):
        read_manifest(tmp_path)


def test_slugs_are_file_names_and_unique():
    assert slugify("SIEMENS Sensation 16 -- B30f") == "siemens-sensation-16-b30f"
    assert slugify("../<script>") == "script"
    assert slugify("日本") == "unnamed"
    assert unique_slugs(["A!", "a?", "B"]) == ["a", "a-2", "b"]
