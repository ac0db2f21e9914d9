"""On the phantom, the right translation is known: what do the measures say of it, and of harm?"""

import dataclasses

import numpy as np
import pytest

from jaxharmo.data.phantom.anatomy import draw_slice
from jaxharmo.data.phantom.kernels import kernel_response
from jaxharmo.data.phantom.patient import draw_patient
from jaxharmo.data.phantom.scanner import SCANNERS, expose, project, reconstruct
from jaxharmo.evaluation import texture
from jaxharmo.evaluation.baselines import Identity, SpectralFilter
from jaxharmo.evaluation.radiomics import radiomic_features
from jaxharmo.evaluation.statistics import compare, concordance, frechet_radiomics_distance
from jaxharmo.evaluation.structure import Anatomy, compare_anatomy

WINDOW = (-1024.0, 400.0)
SCANNER, SIZE = SCANNERS[0], 160
STEP = SCANNER.field_of_view / SIZE
SPACING = (STEP, STEP)


def acquired(patient):
    """One acquisition with noise, reconstructed with the ramp filter: attenuation.

    At the heart, which is uniform. Without emphysema: patients differ by it more than kernels do.
    """
    person = dataclasses.replace(draw_patient((0, patient)), emphysema=0.0)
    truth = draw_slice(person, 0.65 * person.lung_height, size=SIZE, pixel=STEP)
    return expose(project(truth, SCANNER), SCANNER, np.random.default_rng(patient))


@pytest.fixture(scope="module")
def pairs():
    """Soft and sharp reconstructions of eight acquisitions, HU."""
    ramps = [acquired(patient) for patient in range(8)]
    return [
        np.stack([reconstruct(ramp, SCANNER, kernel) for ramp in ramps])
        for kernel in ("B30f", "B70f")
    ]


@pytest.fixture(scope="module")
def sharpened(pairs):
    """The soft slices through the true ratio of the kernels."""
    frequency = np.hypot(np.fft.fftfreq(SIZE, STEP / 10)[:, None], np.fft.rfftfreq(SIZE, STEP / 10))
    ratio = kernel_response("B70f", frequency) / kernel_response("B30f", frequency)
    return np.fft.irfft2(np.fft.rfft2(pairs[0]) * ratio, pairs[0].shape[1:])


@pytest.fixture(scope="module")
def soft(pairs):
    return [Anatomy.of(hu, WINDOW) for hu in pairs[0]]


def radiomics(slices, soft):
    masks = [anatomy.tissue.core for anatomy in soft]
    rows = radiomic_features(list(np.clip(slices, *WINDOW)), masks, 50.0, "native")
    return np.array([list(row.values()) for row in rows])


@pytest.fixture(scope="module")
def tables(pairs, sharpened, soft):
    """Radiomics of source, true translation and target."""
    return [radiomics(hu, soft) for hu in (pairs[0], sharpened, pairs[1])]


def noise(slices, soft):
    spectra = [
        texture.noise_power(hu, texture.uniform_patches(a.hu, a.tissue.soft), SPACING)
        for hu, a in zip(slices, soft, strict=True)
    ]
    held = [spectrum.power for spectrum in spectra if spectrum.count]
    return texture.Spectrum(np.mean(held, 0), len(held))


def structure(soft, slices):
    return [
        compare_anatomy(source, Anatomy.of(hu, WINDOW), SPACING, WINDOW)
        for source, hu in zip(soft, slices, strict=True)
    ]


def test_the_true_filter_scores_at_the_ceiling(pairs, soft, sharpened, tables):
    source, target = pairs
    before, after = (np.sqrt(np.mean((hu - target) ** 2)) for hu in (source, sharpened))
    assert after < 0.01 * before
    assert np.nanmin(concordance(tables[1], tables[2])) > 0.999
    # What studies of kernels ask for is 0.85.
    assert np.nanmedian(concordance(tables[0], tables[2])) < 0.85
    assert compare(tables[0], tables[2]).significant > 10
    assert compare(tables[1], tables[2]).significant == 0
    distances = [frechet_radiomics_distance(table, tables[2]) for table in tables]
    assert distances[1] < 1e-3 * distances[0]
    spectra = [noise(hu, soft) for hu in (source, sharpened, target)]
    assert texture.log_spectral_distance(spectra[0], spectra[2]) > 2
    assert texture.log_spectral_distance(spectra[1], spectra[2]) < 0.1
    masks = np.stack([anatomy.tissue.core for anatomy in soft])
    grids = [
        texture.glcm_grids(np.clip(hu, *WINDOW), masks, WINDOW)
        for hu in (source, sharpened, target)
    ]
    assert texture.grid_gap(grids[0], grids[2]) > 0.1
    assert texture.grid_gap(grids[1], grids[2]) < 0.005
    made, ceiling = structure(soft[:2], sharpened[:2]), structure(soft[:2], target[:2])
    for found, expected in zip(made, ceiling, strict=True):
        assert found == pytest.approx(expected, rel=0.01, abs=0.02)


def test_identity_reports_no_change(pairs, soft, tables):
    source = pairs[0]
    again = radiomics(Identity()(source), soft)
    np.testing.assert_allclose(compare(again, tables[2]).p, compare(tables[0], tables[2]).p)
    assert concordance(tables[0], again).min() == pytest.approx(1)
    assert texture.log_spectral_distance(noise(source, soft), noise(source.copy(), soft)) == 0
    (scores,) = structure(soft[:1], source[:1])
    for name in ("lung_dice", "edges", "edge_iou", "edge_merit", "edge_preservation", "ssim"):
        assert scores[name] == pytest.approx(1), name
    for name in ("lung_hd95_mm", "largest_change_hu", "shift_hu_lung", "shift_hu_soft_tissue"):
        assert scores[name] == 0, name


def test_a_linear_filter_learns_the_kernel(pairs):
    source, target = pairs
    model = SpectralFilter.fit_paired(source[:6], target[:6], SPACING)
    before, after = (
        np.sqrt(np.mean((hu - np.clip(target[6:], -1024, 3071)) ** 2))
        for hu in (source[6:], model(source[6:], SPACING))
    )
    assert after < 0.3 * before


def test_harm_is_caught_by_the_measure_meant_for_it(pairs, soft):
    hu, anatomy = pairs[0][0], soft[0]
    ceiling = structure([anatomy], pairs[1][:1])[0]
    lung = np.argwhere(anatomy.tissue.core).mean(0)
    spots = np.argwhere(anatomy.tissue.core)
    place = spots[np.argmin(((spots - lung) ** 2).sum(1))]
    y, x = np.mgrid[:SIZE, :SIZE]
    nodule = np.hypot(y - place[0], x - place[1]) * STEP < 6
    assert anatomy.tissue.lung[nodule].all()
    with_nodule = Anatomy.of(np.where(nodule, 30.0, hu), WINDOW)

    (shifted,) = structure([anatomy], [hu + 20])
    for name in ("shift_hu_lung", "shift_hu_soft_tissue"):
        assert shifted[name] == pytest.approx(20, abs=0.5)
        assert abs(ceiling[name]) < 5
    (moved,) = structure([anatomy], [np.roll(hu, 1, 1)])
    assert moved["edges"] < 0.8
    assert moved["edge_preservation"] < 0.5 < ceiling["edge_preservation"]
    assert moved["lung_hd95_mm"] >= STEP - 1e-9
    assert abs(moved["shift_hu_soft_tissue"]) < 5
    (erased,) = structure([with_nodule], [hu])
    (kept,) = structure([with_nodule], [np.where(nodule, 30.0, pairs[1][0])])
    assert erased["largest_change_hu"] > 300
    assert kept["largest_change_hu"] < 100
    assert erased["lung_dice"] > 0.95
