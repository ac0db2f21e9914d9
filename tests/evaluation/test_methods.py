import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from jaxharmo.config import EvalConfig
from jaxharmo.evaluation.cache import keep_features, kept_features
from jaxharmo.evaluation.chunks import Real
from jaxharmo.evaluation.methods import guidances
from jaxharmo.evaluation.samples import Sample, chunks, joined
from jaxharmo.evaluation.scores import over_slices
from jaxharmo.evaluation.slices import spread


class FakeTranslator:
    """Styles are numbers that say where they come from; a translation adds its style."""

    def __init__(self):
        self.asked = []

    def mean_style(self, to):
        self.asked.append(to)
        return np.array([1.0])

    def latent_style(self, to, seed):
        return np.array([10.0 + seed])

    def reference_style(self, hu, of):
        self.asked.append((of, float(hu[0, 0, 0])))
        return hu[:, 0, 0]

    def steering(self, style, of, pixel):
        return style

    def translate(self, hu, style):
        return hu + style[0]


PIXELS = (0.7, 0.7)


class FakeDomain(SimpleNamespace):
    def __len__(self):
        return 20

    def pixels(self, number):
        return np.full((4, 4 + number % 2), float(number))


def test_guidance_takes_the_style_that_was_asked_for():
    translator = FakeTranslator()
    training = [FakeDomain(name="A", split="train"), FakeDomain(name="B", split="train")]
    settings = EvalConfig(references=3)
    latent, reference = guidances(translator, training, settings)
    hu = np.zeros((2, 4, 4))
    assert (latent.translate(hu, "A", "B", PIXELS) == 1).all()
    latent.translate(hu, "A", "B", PIXELS)
    assert translator.asked == ["B"]
    made = reference.translate(hu, "A", "B", PIXELS)[0, 0, 0]
    drawn = [number for _, number in translator.asked[1:]]
    assert len(set(drawn)) == 3
    assert made == pytest.approx(np.mean(drawn))
    assert "3 reference slices (train split)" in reference.title
    again = FakeTranslator()
    guidances(again, training, settings)[1].translate(hu, "A", "B", PIXELS)
    assert [number for _, number in again.asked] == drawn
    seeds = guidances(translator, training, dataclasses.replace(settings, latents=2))[:2]
    assert [each.translate(hu, "B", "A", PIXELS)[0, 0, 0] for each in seeds] == [10, 11]
    (only,) = guidances(translator, training, EvalConfig(guidance="reference"))
    assert "reference" in only.title


def sample(numbers, tiles, names=("a", "b")):
    """Slices with ``tiles`` tiles each; every value tells its slice."""
    numbers = np.array(numbers)
    rows = np.repeat(np.arange(len(numbers)), tiles)
    return Sample(
        numbers=numbers,
        patients=np.array([f"p{number // 2}" for number in numbers]),
        deep={"tap": numbers[rows][:, None].astype(float)},
        deep_rows={"tap": rows},
        radiomics=np.stack([numbers] * len(names), 1).astype(float)
        if names
        else np.zeros((len(numbers), 0)),
        names=names,
        profiles={"glcm": numbers[:, None].astype(float)},
    )


def test_samples_join_and_split_with_their_tiles():
    whole = joined([sample([0, 1], [2, 0]), sample([5], [3]), sample([6], [1], names=())])
    assert whole.deep["tap"].ravel().tolist() == [0, 0, 5, 5, 5, 6]
    assert whole.whose("tap").tolist() == ["p0", "p0", "p2", "p2", "p2", "p3"]
    assert whole.shown.tolist() == [True, True, True, False]
    some = whole.rows([2, 0])
    assert some.numbers.tolist() == [5, 0]
    assert some.deep["tap"].ravel().tolist() == [5, 5, 5, 0, 0]
    assert some.deep_rows["tap"].tolist() == [0, 0, 0, 1, 1]
    assert whole.rows([]).deep["tap"].shape == (0, 1)


def test_kept_samples_are_found_by_what_they_depend_on(tmp_path):
    domain = SimpleNamespace(digest="d", chosen=[0, 5], split="test", slug="a")
    made = Real(sample([0, 5], [1, 2]), np.array([[3.0, -900.0], [np.nan, np.nan]]))

    def find(where=tmp_path, settings="s", **changes):
        slices = SimpleNamespace(**{**vars(domain), **changes})
        found = kept_features(where, slices, {"tile": settings})
        if found is None:
            keep_features(where, slices, {"tile": settings}, made)
            return False
        for field in dataclasses.fields(Sample):
            kept, expected = (getattr(each.sample, field.name) for each in (found, made))
            np.testing.assert_equal(kept, expected)
        np.testing.assert_equal(found.density, made.density)
        return True

    assert [find(), find()] == [False, True]
    assert not any([find(settings="t"), find(digest="e"), find(chosen=[0, 6])])
    assert find()
    for path in (tmp_path / "features").iterdir():
        path.write_bytes(b"PK not an archive")
    assert [find(), find()] == [False, True]
    closed = tmp_path / "file"
    closed.touch()
    assert not find(where=closed)


def test_runs_of_one_kind_are_taken_together():
    kinds = ["a"] * 20 + ["b"] * 3
    found = list(chunks(list(range(1, 23)), kinds))
    assert [len(chunk) for chunk in found] == [16, 3, 3]
    assert [number for chunk in found for number in chunk] == list(range(1, 23))
    assert spread(10, 3) == [0, 4, 9]
    assert spread(1, 1) == [0]


def test_means_over_slices_and_their_intervals_over_patients():
    rows = [
        {"patient": patient, "rmse_hu": value, "edges": 0.5, "laa950": float("nan")}
        for patient, values in {"a": (3.0, 4.0), "b": (1.0,), "c": (5.0, 5.0, 5.0)}.items()
        for value in values
    ]
    values, intervals = over_slices(rows, EvalConfig(resamples=2000))
    assert values["rmse_hu"] == pytest.approx(np.sqrt((9 + 16 + 1 + 75) / 6))
    assert np.isnan(values["laa950"])
    assert "laa950" not in intervals
    assert intervals["edges"] == (0.5, 0.5)
    # All three draws may be of one patient.
    low, high = intervals["rmse_hu"]
    assert 1 <= low < values["rmse_hu"] < high <= 5
    assert intervals["rmse_hu"] == over_slices(rows, EvalConfig(resamples=2000))[1]["rmse_hu"]
    alone = over_slices([row | {"patient": "a"} for row in rows], EvalConfig())[1]
    assert alone == {}
