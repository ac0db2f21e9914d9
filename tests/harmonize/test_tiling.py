import numpy as np
import pytest
from random_weights import random_weights
from small import SMALL, STEERED, replace

from jaxharmo.config import FilterGenerator
from jaxharmo.errors import InputError
from jaxharmo.harmonize.tiling import check_tile, reach, tiled
from jaxharmo.translator import Translator


@pytest.fixture(scope="module", params=[0, 3], ids=["filter", "with a residual network"])
def translator(request):
    generator = FilterGenerator(terms=4, residual_width=request.param)
    config = replace(SMALL, model=STEERED | {"generator": generator}, eval={"batch_size": 2})
    return Translator(config, random_weights(config), 0)


def noise(*shape):
    return np.random.default_rng(1).integers(-1000, 300, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 131, 150), (1, 40, 203)])
def test_tiles_give_what_the_whole_slice_gives(translator, shape):
    hu, model = noise(*shape), translator.config.model
    style = translator.steering(translator.mean_style("B"), "A")
    calls = []

    def translate(pieces):
        calls.append(pieces.shape[1:])
        return translator.translate(pieces, style)

    whole = translator.translate(hu, style)
    tile = 2 * reach(model) + 24
    pieces = tiled(translate, hu, tile, model)
    assert len(calls) > 1
    assert len(set(calls)) == 1
    assert max(calls[0]) <= tile
    assert np.abs(whole - hu).max() > 30
    np.testing.assert_allclose(pieces, whole, atol=0.01)


def test_nothing_beyond_the_reach_matters(translator):
    hu = noise(1, 129, 16)
    style = translator.steering(translator.mean_style("B"), "A")
    distance = reach(translator.config.model)
    changed = hu.copy()
    changed[:, 64] = 200 - changed[:, 64]
    moved = np.abs(translator.translate(changed, style) - translator.translate(hu, style)) > 0
    rows = np.flatnonzero(moved.any((0, 2)))
    assert rows.min() >= 64 - distance
    assert rows.max() <= 64 + distance
    # The reach is not far too long, either.
    assert rows.max() - rows.min() >= distance


def test_what_cannot_be_exact_is_refused(translator):
    model = translator.config.model
    with pytest.raises(InputError, match="--tile 4: must be at least"):
        check_tile(4, model)
    with pytest.raises(InputError, match="normalises over the whole slice"):
        check_tile(256, SMALL.model)
