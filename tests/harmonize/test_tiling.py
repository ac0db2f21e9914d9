import numpy as np
import pytest
from random_weights import random_weights
from small import SMALL, STEERED, replace

from jaxharmo.config import FilterGenerator
from jaxharmo.errors import InputError
from jaxharmo.harmonize.tiling import LEAST, check_tile, tiled
from jaxharmo.translator import Translator


@pytest.fixture(scope="module", params=[0, 3], ids=["filter", "with a residual network"])
def translator(request):
    generator = FilterGenerator(knots=8, residual_width=request.param)
    config = replace(SMALL, model=STEERED | {"generator": generator}, eval={"batch_size": 2})
    weights = random_weights(config)
    # From a smooth kernel to a sharp one: 4 times the power at medium frequencies.
    style_dim = config.model.style_dim
    frequency = (np.arange(2, 10) / 9) ** 1.5 / np.sqrt(2)
    curve = np.sin(np.pi * np.minimum(frequency / 0.35, 2) / 2) ** 2
    weights["generator"]["gain"]["kernel"] = np.tile(curve / 40, (style_dim, 1)).astype(np.float32)
    table = weights["mapping_network"]["table"]["embedding"]
    table[:] = 0
    table[1] = np.log(2) / style_dim
    return Translator(config, weights, 0)


def bone_in_air(*shape):
    """The sharpest edges of a slice, and noise."""
    random = np.random.default_rng(1)
    blocks = random.random(tuple(-(-side // 16) for side in shape[1:])) > 0.5
    large = np.kron(blocks, np.ones((16, 16)))[: shape[1], : shape[2]]
    return (1300 * large - 1000 + random.normal(0, 20, shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 330, 450), (1, 40, 603)])
def test_tiles_give_what_the_whole_slice_gives(translator, shape):
    hu, model = bone_in_air(*shape), translator.config.model
    style = translator.steering(translator.mean_style("B"), "A")
    calls = []

    def translate(pieces):
        calls.append(pieces.shape[1:])
        return translator.translate(pieces, style)

    whole = translator.translate(hu, style)
    pieces = tiled(translate, hu, LEAST, model)
    assert len(calls) > 1
    assert len(set(calls)) == 1
    assert max(calls[0]) <= LEAST
    assert np.abs(whole - hu).max() > 100
    np.testing.assert_allclose(pieces, whole, atol=1)


def test_what_cannot_be_exact_is_refused(translator):
    model = translator.config.model
    with pytest.raises(InputError, match="--tile 4: must be at least"):
        check_tile(4, model)
    with pytest.raises(InputError, match="normalises over the whole slice"):
        check_tile(256, SMALL.model)
