import base64
import json
import re
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxharmo.pages.slices import HIGHEST, LOWEST, SliceStore


def unpacked(entries, number):
    """The format read by the definition, pixel by pixel, as a browser does."""
    entry = entries[number]
    height, width = entry["height"], entry["width"]
    low, high = np.frombuffer(zlib.decompress(base64.b64decode(entry["data"])), np.uint8).reshape(
        2, height, width
    )
    folded = low.astype(int) | high.astype(int) << 8
    values = np.zeros((height, width), int)
    for y, x in np.ndindex(height, width):
        above = values[y - 1, x] if y else None
        left = values[y, x - 1] if x else None
        known = [each for each in (left, above) if each is not None] or [0]
        odd = folded[y, x] % 2
        residual = -(folded[y, x] + 1) // 2 if odd else folded[y, x] // 2
        values[y, x] = residual + ((known[0] + known[-1]) >> 1)
    return values if entry["base"] is None else values + unpacked(entries, entry["base"])


def content(store):
    return json.loads(re.fullmatch("<script[^>]*>(.*)</script>", store.html())[1])


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.float32, (5, 7), elements=st.floats(-4000, 5000, width=32)),
    arrays.arrays(np.float32, (5, 7), elements=st.floats(-40, 40, width=32)),
    st.integers(1, 4),
)
def test_slices_come_back_within_half_a_step(hu, change, step):
    store = SliceStore(step)
    first = store.add(hu)
    second = store.add(hu + change, near=[first])
    entries = content(store)["slices"]
    for number, wanted in ((first, hu), (second, hu + change)):
        found = LOWEST + step * unpacked(entries, number)
        assert np.abs(found - np.clip(wanted, LOWEST, HIGHEST)).max() <= step / 2 + 1e-3


def test_a_slice_that_is_shown_twice_is_stored_once():
    store = SliceStore()
    hu = np.arange(12.0).reshape(3, 4)
    assert store.add(hu) == store.add(hu + 0.2) == 0
    assert store.add(hu.reshape(4, 3)) == 1
    assert len(content(store)["slices"]) == 2


def test_noise_that_two_slices_share_is_not_stored_twice():
    noise = np.random.default_rng(0).normal(0, 60, (64, 64))
    change = np.random.default_rng(1).normal(0, 1, (64, 64))
    apart, store = SliceStore(2), SliceStore(2)
    apart.add(noise), apart.add(noise + change)
    store.add(noise), store.add(noise + change, near=[0])
    lengths = [[len(each["data"]) for each in content(one)["slices"]] for one in (apart, store)]
    assert lengths[1][0] == lengths[0][0]
    assert lengths[1][1] < 0.5 * lengths[0][1]


def test_a_slice_of_another_shape_cannot_be_its_like():
    store = SliceStore()
    store.add(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="broadcast"):
        store.add(np.zeros((4, 3)), near=[0])
