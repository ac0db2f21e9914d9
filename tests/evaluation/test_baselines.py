import numpy as np
import pydicom
import pytest
from scipy import ndimage

from jaxharmo.evaluation.baselines import HistogramMatching, Identity, SpectralFilter

SPACING = (0.8, 0.8)


def slices(count, seed=0, side=96):
    """Anatomy of blobs, with noise: HU."""
    random = np.random.default_rng(seed)
    coarse = ndimage.gaussian_filter(
        random.normal(size=(count, side, side)), (0, 6, 6), mode="wrap"
    )
    return -300 + 4000 * coarse + 40 * random.normal(size=coarse.shape)


def blurred(hu, sigma=0.6):
    return ndimage.gaussian_filter(hu, (0, sigma, sigma), mode="wrap")


def rmse(a, b):
    return np.sqrt(np.mean((a - b) ** 2))


def test_identity_returns_its_input():
    hu = slices(2)
    np.testing.assert_array_equal(Identity()(hu), hu)


@pytest.mark.parametrize("fit", [SpectralFilter.fit, SpectralFilter.fit_paired])
def test_filters_recover_a_blur_and_its_inverse(fit):
    source, unseen = slices(12), slices(3, seed=9)
    target, truth = blurred(source), blurred(unseen)
    softer = fit(source, target, SPACING)
    assert rmse(softer(unseen, SPACING), truth) < 0.1 * rmse(unseen, truth)
    sharper = fit(target, source, SPACING)
    assert rmse(sharper(truth, SPACING), unseen) < 0.25 * rmse(unseen, truth)


def test_unpaired_slices_suffice_for_the_ratio_of_powers():
    softer = SpectralFilter.fit(slices(12, seed=1), blurred(slices(12, seed=2)), SPACING)
    unseen = slices(3, seed=9)
    assert rmse(softer(unseen, SPACING), blurred(unseen)) < 0.2 * rmse(unseen, blurred(unseen))
    assert softer(unseen, SPACING).mean() == pytest.approx(unseen.mean(), abs=0.01)


def test_the_paired_filter_is_the_least_squares_one():
    source = slices(12)
    # Noise of its own in the target; a gain and an offset of HU.
    target = 0.9 * source + 12 + 20 * np.random.default_rng(5).normal(size=source.shape)
    found = SpectralFilter.fit_paired(source, target, SPACING)
    np.testing.assert_allclose(found.gain[:100], 0.9, atol=0.1)
    unseen = slices(3, seed=9)
    assert rmse(found(unseen, SPACING), 0.9 * unseen + 12) < 3


def test_frequencies_are_those_of_the_patient():
    coarse = slices(8, side=96)
    filter_ = SpectralFilter.fit_paired(coarse, blurred(coarse, 0.7), (1.6, 1.6))
    fine = slices(3, seed=9, side=128)
    # Twice as fine pixels need twice the blur in pixels.
    error = rmse(filter_(fine, SPACING), blurred(fine, 1.4))
    assert error < 0.15 * rmse(fine, blurred(fine, 1.4))
    mixed = [(hu, (1.6, 1.6)) for hu in coarse]
    assert SpectralFilter.fit_paired(mixed, blurred(coarse, 0.7)).gain == pytest.approx(
        filter_.gain
    )


def test_histograms_match_and_order_is_kept():
    source, target = slices(6), -100 + 0.5 * slices(6, seed=3)
    model = HistogramMatching.fit(source, target)
    found = model(slices(6, seed=4))
    quantiles = np.linspace(0.02, 0.98, 25)
    np.testing.assert_allclose(
        np.quantile(found, quantiles), np.quantile(target, quantiles), atol=20
    )
    np.testing.assert_allclose(HistogramMatching.fit(source, source)(source), source, atol=0.51)
    assert (np.diff(model(np.arange(-1000.0, 1000.0)[None, None])) >= 0).all()


def read_pairs(folder):
    """Slices of a series by position, and their spacing."""
    found = {}
    for path in folder.glob("*.dcm"):
        file = pydicom.dcmread(path)
        hu = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
        found[float(file.ImagePositionPatient[2])] = hu.astype(np.float32)
        spacing = tuple(map(float, file.PixelSpacing))
    return np.stack([found[position] for position in sorted(found)]), spacing


@pytest.mark.parametrize(
    ("sharp", "smooth", "reached", "clipped"),
    [
        ("A0001_Philips-Brilliance16_L", "A0001_Philips-Brilliance16_B", 0.83, 0.74),
        ("A0002_Siemens-Sensation10_B70f", "A0002_Siemens-Sensation10_B40f", 0.74, 0.68),
    ],
)
def test_linear_filter_on_real_pairs(real_ct, sharp, smooth, reached, clipped):
    """Fitted on every second slice, tested on the others, judged in [-1024, 400] HU."""
    folder = real_ct / "lung-pet-ct-dx"
    (source, spacing), (target, _) = read_pairs(folder / sharp), read_pairs(folder / smooth)
    window = (-1024, 400)
    truth = np.clip(target[1::2], *window)
    before = rmse(np.clip(source[1::2], *window), truth)

    def cut(limits):
        a, b = (np.clip(hu, *limits) for hu in (source, target))
        model = SpectralFilter.fit_paired(a[::2], b[::2], spacing)
        return 1 - rmse(np.clip(model(a[1::2], spacing), *window), truth) / before

    assert cut((-1024, 3071)) == pytest.approx(reached, abs=0.02)
    # Bone that is clipped before the filter costs a tenth.
    assert cut(window) == pytest.approx(clipped, abs=0.02)
