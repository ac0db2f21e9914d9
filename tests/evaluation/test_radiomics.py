import multiprocessing

import numpy as np
import pytest
from scipy import ndimage

from jaxharmo.errors import InputError
from jaxharmo.evaluation.radiomics import check_engine, glcm_counts, radiomic_features

pytest.importorskip("radiomics")


def slice_and_mask(seed=0, size=90):
    random = np.random.default_rng(seed)
    hu = ndimage.gaussian_filter(random.normal(size=(size, size)), 1) * 500 - 700
    y, x = np.mgrid[:size, :size] / size - 0.5
    mask = ((y / 0.4) ** 2 + (x / 0.3) ** 2 < 1) & (random.random((size, size)) > 0.05)
    return np.clip(hu, -1024, 400).astype(np.float32), mask


@pytest.mark.parametrize("bin_width", [25.0, 40.0])
def test_native_equals_pyradiomics_on_twenty_slices(bin_width):
    slices, masks = zip(*(slice_and_mask(seed, 60 + seed) for seed in range(20)), strict=True)
    native = radiomic_features(slices, masks, bin_width, "native")
    reference = radiomic_features(slices, masks, bin_width, "pyradiomics")
    for own, theirs in zip(native, reference, strict=True):
        shared = {name: value for name, value in theirs.items() if name in own}
        assert len(shared) == 42
        assert own == pytest.approx(shared, rel=1e-6, abs=1e-9)


def test_pyradiomics_engine_gives_seven_classes_quietly(capfd):
    hu, mask = slice_and_mask()
    (row,) = radiomic_features([hu], [mask], 25.0, "pyradiomics")
    assert len(row) == 18 + 24 + 16 + 16 + 14 + 5 + 9 == 102
    assert np.isfinite(list(row.values())).all()
    assert row["shape2D_PixelSurface"] == mask.sum()
    assert capfd.readouterr().err == ""


def test_processes_give_what_one_process_gives():
    slices, masks = zip(*(slice_and_mask(seed, 40) for seed in range(5)), strict=True)
    spread = radiomic_features(slices, masks, 25.0, "pyradiomics")
    for number in (0, 4):
        (alone,) = radiomic_features([slices[number]], [masks[number]], 25.0, "pyradiomics")
        assert spread[number] == alone


def in_a_worker(connection):
    slices, masks = zip(*(slice_and_mask(seed, 40) for seed in range(5)), strict=True)
    connection.send(radiomic_features(slices, masks, 25.0, "pyradiomics"))


def test_a_worker_of_an_evaluation_measures_without_processes():
    """A daemonic process may not start others."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=in_a_worker, args=(theirs,), daemon=True)
    worker.start()
    theirs.close()
    found = ours.recv()
    worker.join()
    slices, masks = zip(*(slice_and_mask(seed, 40) for seed in range(5)), strict=True)
    assert found == radiomic_features(slices, masks, 25.0, "pyradiomics")


def test_flat_region_agrees_with_pyradiomics():
    slices, masks = [np.full((9, 9), -700.0, np.float32)], [np.ones((9, 9), bool)]
    (native,) = radiomic_features(slices, masks, 25.0, "native")
    (reference,) = radiomic_features(slices, masks, 25.0, "pyradiomics")
    assert native == pytest.approx({name: reference[name] for name in native}, abs=1e-6)


def test_counts_of_a_small_region_by_hand():
    levels = np.array([[1, 2], [2, 0]])
    right, down, diagonal, antidiagonal = glcm_counts(levels, 2)
    assert right.tolist() == down.tolist() == [[0, 1], [1, 0]]
    assert diagonal.sum() == 0
    assert antidiagonal.tolist() == [[0, 0], [0, 2]]


def test_slices_of_one_call_do_not_mix():
    pairs = [slice_and_mask(seed, 40) for seed in range(18)]
    slices, masks = zip(*pairs, strict=True)
    together = radiomic_features(slices, masks, 25.0, "native")
    for number in (0, 15, 17):
        (alone,) = radiomic_features([slices[number]], [masks[number]], 25.0, "native")
        assert together[number] == pytest.approx(alone, rel=1e-5, abs=1e-6)
    assert radiomic_features([], [], 25.0, "native") == []


def test_what_lies_outside_the_mask_does_not_matter():
    hu, mask = slice_and_mask()
    (expected,) = radiomic_features([hu], [mask], 25.0, "native")
    (found,) = radiomic_features([np.where(mask, hu, np.nan)], [mask], 25.0, "native")
    assert found == expected


def test_a_region_without_neighbours_has_no_glcm():
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    (row,) = radiomic_features([np.zeros((3, 3))], [mask], 25.0, "native")
    assert np.isnan(row["glcm_Contrast"])
    assert row["firstorder_Mean"] == 0


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="empty"):
        radiomic_features([np.zeros((3, 3))], [np.zeros((3, 3), bool)], 25.0, "native")
    with pytest.raises(ValueError, match="not finite"):
        radiomic_features([np.full((3, 3), np.nan)], [np.ones((3, 3), bool)], 25.0, "native")


def test_an_engine_must_be_installed(monkeypatch):
    assert check_engine("pyradiomics") == "pyradiomics"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert check_engine("native") == "native"
    with pytest.raises(InputError, match="pip install"):
        check_engine("pyradiomics")
