import numpy as np
import pytest
from scipy import ndimage

from jaxharmo.errors import InputError
from jaxharmo.evaluation.radiomics import choose_engine, glcm_counts, radiomic_features

pytest.importorskip("radiomics")


def slice_and_mask(seed=0, size=90):
    random = np.random.default_rng(seed)
    hu = ndimage.gaussian_filter(random.normal(size=(size, size)), 1) * 500 - 700
    y, x = np.mgrid[:size, :size] / size - 0.5
    mask = ((y / 0.4) ** 2 + (x / 0.3) ** 2 < 1) & (random.random((size, size)) > 0.05)
    return np.clip(hu, -1024, 400).astype(np.float32), mask


@pytest.mark.parametrize("bin_width", [25.0, 40.0])
def test_native_equals_pyradiomics(bin_width):
    hu, mask = slice_and_mask()
    native = radiomic_features(hu, mask, bin_width, "native")
    reference = radiomic_features(hu, mask, bin_width, "pyradiomics")
    shared = {
        name: value
        for name, value in reference.items()
        if name.startswith(("firstorder_", "glcm_"))
    }
    assert len(shared) == 42
    assert native == pytest.approx(shared, rel=1e-4)


def test_pyradiomics_engine_gives_six_classes_quietly(capfd):
    row = radiomic_features(*slice_and_mask(), 25.0, "pyradiomics")
    assert len(row) == 18 + 24 + 16 + 16 + 14 + 5
    assert capfd.readouterr().err == ""


def test_flat_region_agrees_with_pyradiomics():
    hu, mask = np.full((9, 9), -700.0, np.float32), np.ones((9, 9), bool)
    native = radiomic_features(hu, mask, 25.0, "native")
    reference = radiomic_features(hu, mask, 25.0, "pyradiomics")
    assert native == pytest.approx({name: reference[name] for name in native}, abs=1e-6)


def test_counts_of_a_small_region_by_hand():
    levels = np.array([[1, 2], [2, 0]])
    right, down, diagonal, antidiagonal = glcm_counts(levels, 2)
    assert right.tolist() == down.tolist() == [[0, 1], [1, 0]]
    assert diagonal.sum() == 0
    assert antidiagonal.tolist() == [[0, 0], [0, 2]]


def test_a_region_without_neighbours_has_no_glcm():
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    row = radiomic_features(np.zeros((3, 3)), mask, 25.0, "native")
    assert np.isnan(row["glcm_Contrast"])
    assert row["firstorder_Mean"] == 0


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="empty"):
        radiomic_features(np.zeros((3, 3)), np.zeros((3, 3), bool), 25.0, "native")
    with pytest.raises(ValueError, match="not finite"):
        radiomic_features(np.full((3, 3), np.nan), np.ones((3, 3), bool), 25.0, "native")


def test_engine_follows_what_is_installed(monkeypatch):
    assert choose_engine("auto") == "pyradiomics"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert choose_engine("auto") == choose_engine("native") == "native"
    with pytest.raises(InputError, match="pip install"):
        choose_engine("pyradiomics")
