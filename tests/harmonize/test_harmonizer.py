import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from chest import chest
from dicom_files import write_series
from jax import export
from random_weights import random_weights
from small import SMALL, STEERED, replace

import jaxharmo
from jaxharmo.errors import InputError
from jaxharmo.harmonize import shipped
from jaxharmo.harmonize.batch import find_volumes
from jaxharmo.harmonize.harmonizer import Harmonizer
from jaxharmo.harmonize.packaged import read_model, write_model
from jaxharmo.harmonize.stablehlo import export_translation
from jaxharmo.harmonize.textures import DomainTexture, Textures, describe
from jaxharmo.translator import Translator

TEXTURES = Textures(
    window=(-1024.0, 400.0),
    domains={
        name: DomainTexture(mean=(2.0,) * 6, sd=(0.3,) * 6, slices=9, spacing=(0.5, 0.9))
        for name in SMALL.data.domains
    },
)


def translator(**model):
    config = replace(
        SMALL, model=model, eval={"batch_size": 2}, data={"shards": "/somewhere/private"}
    )
    return Translator(config, random_weights(config), 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "small"
    write_model(folder, translator(), TEXTURES)
    return folder


@pytest.fixture(scope="module")
def harmonizer(folder):
    return jaxharmo.load(folder, batch=2)


def volume(count=3, rows=30, columns=37):
    hu = np.random.default_rng(0).integers(-1000, 300, (count, rows, columns))
    hu[0, 0, :2] = (900, -1500)
    return hu


def test_a_model_folder_gives_the_model_back(folder, harmonizer):
    original = translator()
    assert harmonizer.domains == ("A", "B", "C")
    assert harmonizer.textures == TEXTURES
    assert harmonizer.translator.digest == original.digest
    assert (harmonizer.name, harmonizer.translator.step) == ("small", 7)
    np.testing.assert_array_equal(
        harmonizer(volume(), (5, 0.7, 0.7), to="B"), original(volume().astype(np.float32), "B")
    )
    assert "private" not in (folder / "config.json").read_text()
    with pytest.raises(InputError, match="exists; name a new folder"):
        write_model(folder, original, None)


def test_shipped_models_are_found_by_name(folder, monkeypatch, tmp_path):
    assert shipped.shipped() == sorted(
        path.parent.name for path in shipped.PRETRAINED.glob("*/*.npz")
    )
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path)
    with pytest.raises(InputError, match=r"no model 'x': .* with the package come: none"):
        jaxharmo.load("x")
    shutil.copytree(folder, tmp_path / "kernels")
    assert jaxharmo.load("kernels").domains == ("A", "B", "C")
    with pytest.raises(InputError, match="come: kernels"):
        jaxharmo.load("x")


def cut(model):
    content = (model / "weights.npz").read_bytes()
    (model / "weights.npz").write_bytes(content[: len(content) // 2])


def change_a_weight(model):
    with np.load(model / "weights.npz") as arrays:
        weights = dict(arrays)
    next(iter(weights.values()))[...] += 1
    np.savez(model / "weights.npz", **weights)


def widen(model):
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text.replace('"width": 4', '"width": 5'))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, "damaged model"),
        (change_a_weight, "not those that were exported"),
        (widen, "instead of"),
        (lambda model: (model / "model.json").unlink(), "damaged model"),
        (lambda model: (model / "model.json").write_text("[]"), "damaged model"),
        (lambda model: (model / "config.json").unlink(), "no config.json"),
    ],
)
def test_a_damaged_model_is_told(folder, tmp_path, spoil, words):
    shutil.copytree(folder, tmp_path / "model")
    spoil(tmp_path / "model")
    with pytest.raises(InputError, match=words) as caught:
        read_model(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_the_call_on_arrays(harmonizer):
    hu = volume()
    before = hu.copy()
    made = harmonizer(hu, 0.7, to="C")
    assert (made.dtype, made.shape) == (np.float32, hu.shape)
    np.testing.assert_array_equal(hu, before)
    np.testing.assert_array_equal(made[0, 0, :2], hu[0, 0, :2])
    drawn = harmonizer(hu, 0.7, to="C", seed=1)
    like = harmonizer(hu, 0.7, to="C", like=volume(rows=40))
    assert min(np.abs(made - drawn).max(), np.abs(made - like).max()) > 0.1
    assert harmonizer.assess(hu, made, to="C")["texture"]["nearest"] in (None, "A")
    for arguments, words in [
        ((hu[0], 1.0, "A"), "not a volume"),
        ((hu * np.nan, 1.0, "A"), "finite"),
        ((hu, (1, 0, 1), "A"), "spacing"),
        ((hu, 1.0, "D"), "no domain 'D'; there are: A, B, C"),
    ]:
        with pytest.raises(InputError, match=words):
            harmonizer(*arguments)


def test_one_slice_many_devices_and_tiles(harmonizer, folder):
    hu = volume(count=5)
    whole = harmonizer(hu, 1, to="A")
    np.testing.assert_allclose(harmonizer(hu[2:3], 1, to="A")[0], whole[2], atol=0.05)
    np.testing.assert_allclose(jaxharmo.load(folder)(hu, 1, to="A"), whole, atol=0.05)
    with pytest.raises(InputError, match="--tile: the published generator normalises"):
        jaxharmo.load(folder, tile=320)
    plain = translator(**STEERED)
    pieces = Harmonizer(plain, Path(), name="", tile=320)
    hu = volume(1, 30, 400)
    np.testing.assert_allclose(pieces(hu, 1, to="A", of="B"), plain(hu, "A", of="B"), atol=1)


def test_methods_say_where_their_style_comes_from(harmonizer, tmp_path):
    write_series(tmp_path / "like", slices=3)
    (like,) = find_volumes(tmp_path / "like")
    methods = {
        "mean": harmonizer.method("A"),
        "seed 3": harmonizer.method("A", seed=3),
        f"like {like.fingerprint}": harmonizer.method("A", like=like),
    }
    hu = volume()[1:].astype(np.float32)
    results = [method.translate(hu, "A", 1.0) for method in methods.values()]
    for (label, method), result in zip(methods.items(), results, strict=True):
        assert method.derivation.style == label
        assert method.derivation.model == "small, step 7"
        assert sum(np.abs(result - other).max() < 0.01 for other in results) == 1


def test_an_unknown_source_is_the_domain_nearest_in_texture(tmp_path):
    window = SMALL.data.window
    domains = {
        name: describe([chest(128, noise)[0]], [0.7, 0.7], window)
        for name, noise in {"A": 60, "B": 20, "C": 5}.items()
    }
    write_model(tmp_path / "m", translator(**STEERED), Textures(window=window, domains=domains))
    steered = jaxharmo.load(tmp_path / "m")
    hu = chest(128, 20)[0][None].astype(np.float32)
    np.testing.assert_array_equal(steered(hu, 1, to="C"), steered(hu, 1, to="C", of="B"))
    np.testing.assert_allclose(steered(hu, 1, to="B"), hu, atol=1e-3)
    assert np.abs(steered(hu, 1, to="C", of="A") - steered(hu, 1, to="C")).max() > 0.01
    with pytest.raises(InputError, match="of="):
        steered(np.full((2, 64, 64), -1000.0), 1, to="C")


@pytest.mark.parametrize(("model", "of"), [({}, None), (STEERED, "A")])
def test_the_artefact_gives_the_same_hu(tmp_path, model, of):
    source = translator(**model)
    path = tmp_path / "new" / "b.stablehlo"
    export_translation(source, "B", path, of)
    call = export.deserialize(path.read_bytes()).call
    for count, rows, columns in ((1, 30, 38), (3, 64, 32)):
        hu = volume(count, rows, columns).astype(np.float32)
        np.testing.assert_allclose(np.asarray(call(hu)), source(hu, "B", of), atol=0.01)
    about = json.loads((tmp_path / "new" / "b.stablehlo.json").read_text())
    assert (about["to"], about["sha256"]) == ("B", source.digest)
    with pytest.raises(InputError, match="name a file"):
        export_translation(source, "B", tmp_path)
    with pytest.raises(InputError, match="no domain"):
        export_translation(source, "Z", path)
