import numpy as np
import pytest
from chest import chest
from scipy import ndimage

from jaxharmo.harmonize.quality import SLICES, Quality, as_lines, is_far
from jaxharmo.harmonize.textures import (
    FAR,
    FEATURES,
    Textures,
    describe,
    read_textures,
    robust_sd,
    texture,
    write_textures,
)
from jaxharmo.ops.tissue import segment

WINDOW = (-1024.0, 400.0)


def noisy(sd, seed=0, blur=0.0):
    random = np.random.default_rng(seed)
    grain = random.normal(size=(160, 160))
    grain = ndimage.gaussian_filter(grain, blur) if blur else grain
    return (chest(160)[0] + sd * grain / grain.std()).astype(np.float32)


def describe_noise(sd, **options):
    return describe([noisy(sd, seed, **options) for seed in range(3)], [0.7], WINDOW)


@pytest.fixture(scope="module")
def textures():
    domains = {"fine": describe_noise(12.0), "coarse": describe_noise(12.0, blur=1.5)}
    return Textures(window=WINDOW, domains=domains)


def measured(hu):
    return texture(hu, segment(hu), WINDOW)


def test_robust_sd():
    values = np.random.default_rng(0).normal(size=100_000)
    assert robust_sd(7 * values) == pytest.approx(7, rel=0.01)


def test_bands_against_their_definition():
    hu = noisy(20.0)
    tissue = segment(hu)
    band = ndimage.gaussian_filter(np.clip(hu, *WINDOW), 0.7) - ndimage.gaussian_filter(
        np.clip(hu, *WINDOW), 1.4
    )
    expected = np.log(1.4826 * np.median(np.abs(band[tissue.core])))
    assert FEATURES[4] == "lung 0.7-1.4 px"
    assert measured(hu)[4] == pytest.approx(expected, abs=1e-4)
    # Twice the noise is log 2 in every band that noise fills.
    fine = [0, 1, 3, 4]
    np.testing.assert_allclose((measured(noisy(40.0)) - measured(hu))[fine], np.log(2), atol=0.1)


def test_each_domain_is_nearest_to_itself(textures):
    for name, options in {"fine": {}, "coarse": {"blur": 1.5}}.items():
        nearest, distance = textures.nearest([measured(noisy(12.0, 9, **options))])
        assert nearest == name
        assert distance < FAR


def test_what_is_like_no_domain_is_far(textures):
    for hu in (noisy(60.0), noisy(2.0), noisy(12.0, blur=6.0)):
        assert textures.nearest([measured(hu)])[1] > FAR
    assert textures.has_spacing(0.8)
    assert not textures.has_spacing(2.0)


def test_textures_come_back_from_their_file(textures, tmp_path):
    write_textures(tmp_path, textures)
    assert read_textures(tmp_path) == textures
    (tmp_path / "textures.json").write_text("{}")
    assert read_textures(tmp_path) is None


def test_figures_of_a_known_change(textures):
    hu = np.stack([noisy(12.0, seed) for seed in range(10)])
    tissue = segment(chest(160)[0])
    after = hu + np.where(tissue.lung, np.float32(-8), np.float32(3))
    after[4] += 2
    quality = Quality(len(hu), textures)
    for number in range(len(hu)):
        quality.add(number, hu[number], after[number], np.zeros_like(hu[0], bool))
    figures = quality.summary("coarse")
    assert figures["slices_measured"] == SLICES
    assert figures["shift_hu"]["lung"] == pytest.approx(-8, abs=0.3)
    assert figures["shift_hu"]["soft tissue"] == pytest.approx(3, abs=0.3)
    assert figures["shift_hu"]["air"] == pytest.approx(3, abs=0.3)
    assert figures["noise_hu"]["before"] == pytest.approx(12 * 0.98, rel=0.1)
    assert figures["noise_hu"]["after"] == pytest.approx(figures["noise_hu"]["before"], rel=0.02)
    assert figures["structure"] > 0.99
    assert figures["flicker_hu"] == pytest.approx(2, abs=0.05)
    assert figures["texture"]["nearest"] == "fine"
    assert figures["texture"]["to_target"]["before"] > FAR
    assert not is_far(figures)
    assert "soft tissue +3.2" in as_lines(figures)[0]


def test_lost_structure_and_voxels_cut_are_seen():
    hu = noisy(12.0)
    other = np.where(hu < -900, np.float32(-1024), np.roll(hu, 25, axis=0))
    quality = Quality(1, None)
    quality.add(0, hu, other, np.zeros_like(hu, bool))
    figures = quality.summary("fine")
    assert figures["structure"] < 0.7
    assert figures["cut"] == pytest.approx(((other <= -1024) & (hu > -1024)).mean(), abs=1e-6)
    assert figures["flicker_hu"] is None
    assert "texture" not in figures
    assert as_lines(figures)


def test_a_slice_of_air_has_no_figures(textures):
    quality = Quality(1, textures)
    air = np.full((96, 96), -1000, np.float32)
    quality.add(0, air, air, np.zeros_like(air, bool))
    figures = quality.summary("fine")
    assert figures["texture"]["distance"] is None
    assert figures["noise_hu"] == {"before": None, "after": None}
    assert not is_far(figures)
    assert as_lines(figures)
