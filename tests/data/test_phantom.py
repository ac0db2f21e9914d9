"""The phantom's physics, measured back from its images."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from jaxharmo.data.manifest import read_manifest
from jaxharmo.data.phantom import (
    KERNEL_RATIOS,
    PhantomConfig,
    draw_chest,
    kernel_response,
    make_phantom,
    reconstruct,
)
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError

CONFIG = PhantomConfig(patients=4, slices=1, size=96)


def test_every_domain_holds_the_same_acquisitions(phantom):
    manifest = read_manifest(phantom)
    assert manifest.domain_names == tuple(f"PHANTOM Ellipse -- {k}" for k in CONFIG.kernels)
    assert len(manifest.paired) == 3
    for split in ("train", "validation", "test"):
        keys = [
            [(item.header.acquisition, item.header.position) for item in
             SliceSource(phantom, split, domain)]
            for domain in manifest.domains
        ]  # fmt: skip
        assert keys[0]
        assert keys[0] == keys[1] == keys[2]
    everyone = [*itertools.chain(*manifest.patients.values())]
    assert len(everyone) == len(set(everyone)) == CONFIG.patients


def test_patients_and_slices_differ():
    pictures = [draw_chest(CONFIG, patient, index) for patient in (0, 1) for index in (0, 1)]
    for first in range(4):
        for second in range(first):
            assert np.abs(pictures[first] - pictures[second]).mean() > 5


def test_tissue_has_its_hounsfield_units(phantom):
    manifest = read_manifest(phantom)
    item = SliceSource(phantom, "train", manifest.domains[0])[0]
    truth = draw_chest(CONFIG, 0, 0)
    for low, high in ((-900, -800), (30, 60)):
        region = binary_erosion((truth > low) & (truth < high))
        assert np.median(item.pixels[region]) == pytest.approx(np.median(truth[region]), abs=25)


@pytest.mark.parametrize("kernel", ["B10f", "B50f", "B70f"])
def test_kernels_have_the_measured_ratio_of_spectra(kernel):
    noise = np.random.default_rng(0).normal(size=(256, 256))
    pixel = 0.8
    spectra = [np.abs(np.fft.fft2(reconstruct(noise, k, pixel))) for k in (kernel, "B30f")]
    axis = np.fft.fftfreq(256, pixel / 10)
    frequency = np.hypot(axis[:, None], axis)
    for lp_per_cm, expected in ((1.125, 2), (3.125, 6), (5.125, 10)):
        ring = np.abs(frequency - lp_per_cm) < 0.1
        measured = np.sqrt((spectra[0][ring] ** 2).sum() / (spectra[1][ring] ** 2).sum())
        ratio = KERNEL_RATIOS[kernel][expected] / KERNEL_RATIOS[kernel][0]
        assert measured == pytest.approx(ratio, rel=0.03)


def test_kernels_keep_the_mean():
    for kernel in KERNEL_RATIOS:
        assert kernel_response(kernel, np.array(0.0)) == pytest.approx(1)
        flat = reconstruct(np.full((64, 64), 0.02), kernel, 1.0)
        np.testing.assert_allclose(flat, 0.02, rtol=1e-6)


def test_sharper_kernels_are_noisier(phantom):
    truth = draw_chest(CONFIG, 0, 0)
    region = (truth > 30) & (truth < 60)
    manifest = read_manifest(phantom)
    noise = [
        SliceSource(phantom, "train", domain)[0].pixels[region].std() for domain in manifest.domains
    ]
    assert noise[0] < noise[1] < noise[2]


def test_made_once(phantom):
    stamp = (phantom / "dataset.json").stat().st_mtime_ns
    make_phantom(phantom, CONFIG)
    assert (phantom / "dataset.json").stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match="another data set"):
        make_phantom(phantom, PhantomConfig(patients=5, slices=1, size=96))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kernels": ("B99",)}, "kernels"),
        ({"kernels": ("B30f", "B30f")}, "kernels"),
        ({"patients": 2}, "patients"),
        ({"size": 8}, "size"),
    ],
)
def test_bad_settings_are_named(tmp_path, fields, named):
    with pytest.raises(InputError, match=named):
        make_phantom(tmp_path / "x", PhantomConfig(**fields))
    assert not (tmp_path / "x").exists()
