import numpy as np
import pytest

from jaxharmo.data.crops import body_crops


def body(shape, top, left, bottom, right):
    hu = np.full(shape, -1000, np.int16)
    hu[top:bottom, left:right] = 40
    return hu


def test_crops_cover_the_body_and_nothing_far_from_it():
    hu = body((100, 120), 20, 30, 84, 110)
    hu[20:84, 30:110] = np.arange(64 * 80).reshape(64, 80) % 1000
    crops = body_crops(hu[None], 32, -1024)
    assert crops.shape == (2 * 3, 32, 32)
    assert crops.dtype == np.float32
    assert crops.min() >= 0, "every crop lies within the body's box"
    assert set(np.unique(crops)) == set(range(1000))


@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (8, 8)])
def test_small_slices_are_filled_up_in_the_middle(shape):
    hu = body(shape, 2, 2, 6, 6)
    crop = body_crops(hu[None], 32, -1024)[0]
    assert crop.shape == (32, 32)
    assert (crop == 40).sum() == 16
    assert (crop == -1024).any()


def test_crops_are_spread_over_the_series():
    hu = np.stack([body((40, 40), 4, 4, 36, 36) + np.int16(z) for z in range(50)])
    crops = body_crops(hu, 32, -1024, most=5)
    assert len(crops) == 5
    assert np.diff(crops.max((1, 2))).tolist() == [12, 12, 13, 12]
    assert crops.max() == 89
