import jax
import numpy as np
import pytest
from random_weights import random_weights
from small import SMALL, STEERED, replace

from jaxharmo.models.one_more_domain import style_layers, with_domain
from jaxharmo.translator import Translator

CONFIG = replace(SMALL, model=STEERED)
HU = np.random.default_rng(0).normal(-300, 200, (2, 24, 31)).astype(np.float32)


def extended(rows, of):
    domains = (*CONFIG.data.domains, "new")
    config = replace(
        CONFIG, data={"domains": domains}, model={"style_dim": CONFIG.model.style_dim + 1}
    )
    return Translator(config, jax.device_get(with_domain(WEIGHTS, rows, of)), 1)


WEIGHTS = random_weights(CONFIG)
KNOWN = Translator(CONFIG, WEIGHTS, 1)
LAYERS = style_layers(WEIGHTS["generator"])


def test_layers_are_all_that_take_the_style():
    names = {name.removesuffix("/kernel") for name in LAYERS}
    bands = {f"local/band_{number}" for number in range(3)}
    assert names == {"gain", "offset", "residual/correction"} | bands
    assert all(len(weights) == CONFIG.model.style_dim for weights in LAYERS.values())


def test_known_domains_stay_as_they_are():
    random = np.random.default_rng(1)
    rows = {name: random.normal(size=weights.shape[1]) for name, weights in LAYERS.items()}
    model = extended(rows, of=1)
    for to in CONFIG.data.domains:
        np.testing.assert_allclose(model(HU, to, "A"), KNOWN(HU, to, "A"), atol=2e-3)


@pytest.mark.parametrize("source", ["A", "B"])
def test_rows_of_a_known_domain_lead_there_from_everywhere(source):
    """From A by its rows alone; from B the difference to A comes with them."""
    step = KNOWN.mean_style("C") - KNOWN.mean_style("A")
    rows = {name: step @ weights for name, weights in LAYERS.items()}
    model = extended(rows, of=0)
    np.testing.assert_allclose(model(HU, "new", source), KNOWN(HU, "C", source), atol=2e-3)
    np.testing.assert_allclose(model(HU, source, "new"), KNOWN(HU, source, "C"), atol=2e-3)


def test_without_rows_it_is_the_domain_that_it_was_made_from():
    rows = {name: np.zeros(weights.shape[1]) for name, weights in LAYERS.items()}
    model = extended(rows, of=2)
    np.testing.assert_allclose(model(HU, "new", "A"), KNOWN(HU, "C", "A"), atol=2e-3)
    np.testing.assert_allclose(model(HU, "new", "C"), HU, atol=2e-3)
