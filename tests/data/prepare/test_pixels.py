import numpy as np
from dicom_files import PADDING, ct_slice, hounsfield, save

from jaxharmo.data.body import body_box
from jaxharmo.data.prepare.pixels import padding_hu, pixels_of, read_dataset


def test_hounsfield_units_and_padding(tmp_path):
    path = save(ct_slice(2, padded=True, RescaleSlope=2, RescaleIntercept=-1000), tmp_path / "a")
    dataset = read_dataset(path)
    pixels = pixels_of(dataset)
    stored = hounsfield(2)[4:].astype(float) + 1024
    np.testing.assert_array_equal(pixels.hu[4:], stored * 2 - 1000)
    np.testing.assert_array_equal(pixels.hu[:4], PADDING * 2 - 1000)
    np.testing.assert_array_equal(pixels.padding.all(axis=1), np.arange(64) < 4)
    assert padding_hu(dataset) == PADDING * 2 - 1000


def test_padding_stored_unsigned_is_not_taken_for_bright(tmp_path):
    path = save(ct_slice(0, padded=True, PixelRepresentation=0), tmp_path / "a")
    pixels = pixels_of(read_dataset(path))
    assert pixels.padding[:4].all()
    np.testing.assert_array_equal(pixels.hu[:4], PADDING - 1024)
    assert pixels.hu.max() == 40


def test_a_padding_value_amid_tissue_is_not_believed(tmp_path):
    dataset = read_dataset(save(ct_slice(0, PixelPaddingValue=1064), tmp_path / "a"))
    assert padding_hu(dataset) is None
    assert not pixels_of(dataset).padding.any()


def test_body_box_is_that_of_the_largest_object():
    hu = np.full((32, 40), -1000)
    hu[5:20, 10:30] = 40
    hu[25:28] = 0
    assert body_box(hu) == (5, 10, 20, 30)
    assert body_box(np.full((8, 9), -1000)) == (0, 0, 8, 9)
