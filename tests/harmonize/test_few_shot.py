"""A domain that is a filter of a known one is found from slices of other images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_weights
from small import SMALL, STEERED, replace

from jaxharmo.config import FilterGenerator
from jaxharmo.errors import InputError
from jaxharmo.harmonize.few_shot import add_domain
from jaxharmo.models.filters import filter_image
from jaxharmo.ops.intensity import normalize
from jaxharmo.translator import Translator

KNOTS = 8
GAIN = np.array([0, 0, -0.3, -0.5, -0.7, -0.9, -1.1, -1.4], np.float32)
"""Logarithm: of the domain B, which is smoother than A."""
CONFIG = replace(
    SMALL,
    data={"domains": ("A", "B"), "crop": 64},
    model=STEERED | {"generator": FilterGenerator(knots=KNOTS, residual_width=0)},
    loss={"texture": 0.0, "spectrum": 1.0},
)


def model():
    """Its only step of style is the filter from A to B."""
    weights = jax.tree.map(np.zeros_like, random_weights(CONFIG))
    weights["mapping_network"]["table"]["embedding"][1, 0] = 1
    weights["generator"]["gain"]["kernel"][0] = GAIN / 40
    return Translator(CONFIG, weights, 5)


def slices(seed, values):
    """Noise of images of A, filtered."""
    hu = np.random.default_rng(seed).normal(-200, 60, (6, 96, 96)).astype(np.float32)
    window = CONFIG.data.window
    image = normalize(jnp.asarray(hu), window)[..., None]
    filtered = image + filter_image(image, jnp.broadcast_to(values, (len(hu), KNOTS)))
    return hu, np.asarray(filtered[..., 0] + 1) * (window[1] - window[0]) / 2 + window[0]


def test_a_filter_is_found_without_pairs():
    wanted = GAIN * np.linspace(1.5, 0.4, KNOTS).astype(np.float32)
    _, references = slices(0, wanted)
    source, truth = slices(1, wanted)
    found = add_domain(model(), "C", references, source, "A", 1.0)
    assert found.domains == ("A", "B", "C")
    error = lambda made: float(np.sqrt(np.mean(np.square(made - truth))))  # noqa: E731
    nearest = min(error(source), error(model()(source, "B", "A")))
    assert error(found(source, "C", "A")) < 0.35 * nearest
    # From the other domain, though it was not looked at.
    other = model()(source, "B", "A")
    assert error(found(other, "C", "B")) < 0.35 * nearest
    np.testing.assert_allclose(found(source, "B", "A"), other, atol=2e-3)


def test_references_of_a_known_domain_give_that_domain():
    source, _ = slices(2, GAIN)
    _, references = slices(3, GAIN)
    found = add_domain(model(), "C", references, source, "A", 1.0)
    known = model()(source, "B", "A")
    change = np.std(known - source)
    assert np.std(found(source, "C", "A") - known) < 0.15 * change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "B"}, "has a domain 'B'"),
        ({"of": "Z"}, "no domain 'Z'; there are: A, B"),
        ({"references": np.zeros((0, 64, 64))}, "at least one slice"),
    ],
)
def test_bad_input(change, words):
    hu = np.zeros((1, 64, 64), np.float32)
    arguments = {"name": "C", "references": hu, "source": hu, "of": "A", "pixel": 1.0} | change
    with pytest.raises(InputError, match=words):
        add_domain(model(), **arguments)


def test_other_generators_are_refused():
    other = Translator(SMALL, random_weights(SMALL), 1)
    hu = np.zeros((1, 64, 64), np.float32)
    with pytest.raises(InputError, match="only a model with a filter generator"):
        add_domain(other, "D", hu, hu, "A", 1.0)
