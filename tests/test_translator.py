import jax
import numpy as np
import pytest
from small import SMALL, replace

from jaxharmo.errors import InputError
from jaxharmo.models.networks import build, init
from jaxharmo.translator import Translator


def make(**model):
    config = replace(SMALL, model=model, eval={"batch_size": 2})
    return Translator(config, init(build(config), config, jax.random.key(0)), 7)


@pytest.fixture(scope="module")
def hu():
    slices = np.random.default_rng(0).integers(-1024, 400, (5, 33, 41)).astype(np.float32)
    slices[0, 0, :3] = (-3024, -1025, 900)
    return slices


def test_any_size_and_number_of_slices(hu):
    translator = make()
    whole = translator(hu, "B")
    assert whole.shape == hu.shape
    assert whole.dtype == np.float32
    np.testing.assert_allclose(translator(hu[4:], "B")[0], whole[4], atol=0.05)
    assert translator(hu[:0], "B").shape == (0, 33, 41)


def test_a_generator_that_changes_nothing_keeps_every_value(hu):
    np.testing.assert_allclose(make(residual=True)(hu, "A"), hu, atol=1e-3)


def test_padding_below_the_window_is_untouched_and_bone_above_keeps_its_excess(hu):
    translated = make()(hu, "C")
    np.testing.assert_array_equal(translated[0, 0, :2], hu[0, 0, :2])
    assert 500 + -1024 <= translated[0, 0, 2] <= 500 + 400
    assert np.delete(translated.ravel(), [0, 1, 2]).max() <= 400


def test_targets_differ(hu):
    translator = make()
    assert np.abs(translator(hu, "A") - translator(hu, "B")).max() > 1


def test_unknown_target_lists_the_domains(hu):
    with pytest.raises(InputError, match="A, B, C"):
        make()(hu, "D")


def test_digest_tells_weights_apart():
    assert make().digest == make().digest
    assert make().digest != make(width=8).digest
