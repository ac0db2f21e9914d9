"""A domain from a series, as the command adds it."""

import numpy as np
import pytest
from dicom_files import write_series
from random_weights import random_weights
from small import SMALL, STEERED, replace

import jaxharmo
from jaxharmo import cli
from jaxharmo.errors import InputError
from jaxharmo.harmonize import few_shot
from jaxharmo.harmonize.packaged import write_model
from jaxharmo.harmonize.textures import DomainTexture, Textures
from jaxharmo.translator import Translator

DOMAINS = ("SIEMENS Sensation 16 -- B30f", "SIEMENS Sensation 16 -- B50f")


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(few_shot, "_STEPS", 2)
    config = replace(
        SMALL,
        data={"domains": DOMAINS},
        model=STEERED,
        loss={"texture": 0.0, "spectrum": 1.0},
    )
    texture = DomainTexture(mean=(2.0,) * 6, sd=(0.3,) * 6, slices=9, spacing=(0.5, 0.9))
    textures = Textures(window=(-1024.0, 400.0), domains=dict.fromkeys(DOMAINS, texture))
    write_model(tmp_path / "model", Translator(config, random_weights(config), 7), textures)
    write_series(tmp_path / "like", slices=2, kernel="B70f", patient="another")
    write_series(tmp_path / "source", slices=2)
    return tmp_path / "model"


def extend(place, *words, like="like", source="source"):
    paths = ("--like", place / like, "--source", place / source)
    words = [str(word) for word in (place / "new", "--model", place / "model", *paths, *words)]
    cli.parse(["extend", *words]).run()


def test_the_new_model_translates_to_the_series(model, tmp_path, capsys):
    extend(tmp_path)
    name = "SIEMENS Sensation 16 -- B70f"
    assert capsys.readouterr().out.endswith(f"with the domain {name}\n")
    known, new = (jaxharmo.load(folder) for folder in (model, tmp_path / "new"))
    assert new.domains == (*DOMAINS, name)
    assert set(new.textures.domains) == set(new.domains)
    assert new.textures.domains[name].slices == 2
    hu = np.random.default_rng(0).integers(-1000, 300, (2, 40, 40))
    made = new(hu, 0.7, name, of=DOMAINS[0])
    assert np.isfinite(made).all()
    both = (each(hu, 0.7, DOMAINS[1], of=DOMAINS[0]) for each in (known, new))
    np.testing.assert_allclose(*both, atol=2e-3)


def test_a_name_of_ones_own_and_a_source_without_a_known_kernel(model, tmp_path):
    write_series(tmp_path / "odd", slices=2, kernel="Qr40")
    extend(tmp_path, "--name", "mine", "--from", DOMAINS[1], source="odd")
    assert jaxharmo.load(tmp_path / "new").domains[-1] == "mine"


@pytest.mark.parametrize(
    ("words", "series", "message"),
    [
        ((), {"like": "source"}, "has a domain"),
        ((), {"source": "like"}, "B70f', which the model does not have; .* --from: SIEMENS"),
        (("--from", "X"), {}, "of the domain 'X'"),
        ((), {"like": "coarse"}, "pixels of 1.40 mm in the reference and of 0.7"),
    ],
)
def test_bad_input(model, tmp_path, words, series, message):
    write_series(tmp_path / "coarse", slices=1, kernel="B70f", PixelSpacing=[1.4, 1.4])
    with pytest.raises(InputError, match=message) as caught:
        extend(tmp_path, *words, **series)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()
