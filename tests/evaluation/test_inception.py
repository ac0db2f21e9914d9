import numpy as np
import PIL.Image
import pytest
from inception_vector import HERE, images, published_layout

from jaxharmo.errors import InputError
from jaxharmo.evaluation import inception
from jaxharmo.evaluation.inception import inception_features, network_input
from jaxharmo.evaluation.weights.inception import load_variables, to_variables
from jaxharmo.evaluation.weights.torch_files import parse_tensors
from jaxharmo.models.inception import SIDE, WIDTHS

BYTES = (0.0, 255.0)


def test_features_equal_torch_fidelity(monkeypatch):
    variables = to_variables(published_layout())
    # The file's SHA-256 stands before any other weights.
    monkeypatch.setattr(inception, "load_variables", lambda path: variables)
    monkeypatch.setattr(inception, "BATCH", 2)
    inception._extractor.cache_clear()
    found = inception_features(images().astype(np.float32), BYTES, HERE, "torch-fidelity")
    inception._extractor.cache_clear()
    with np.load(HERE / "inception_features.npz") as stored:
        for tap, width in WIDTHS.items():
            expected = stored[f"tap_{tap}"]
            assert found[tap].shape == expected.shape == (2, width)
            error = np.abs(found[tap] - expected).max() / np.abs(expected).max()
            assert error < 2e-6, tap


def test_resizing_of_clean_fid_is_pillows():
    for shape in ((180, 200), (512, 400)):
        image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        resized = PIL.Image.fromarray(image).resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC)
        expected = (np.clip(np.asarray(resized), 0, 255) - 128) / 128
        found = network_input(image / 127.5 - 1, "clean-fid")
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("side", [200, 512])
def test_bilinear_resizings_by_their_formulas(side):
    image = np.random.default_rng(1).uniform(-1, 1, (side, side))
    new, old, ratio = np.arange(SIDE), np.arange(side), side / SIDE
    for resize, places in (
        ("torch-fidelity", new * ratio),
        ("pytorch-fid", (new + 0.5) * ratio - 0.5),
    ):
        rows = np.stack([np.interp(places, old, column) for column in image.T], 1)
        expected = np.stack([np.interp(places, old, row) for row in rows])
        if resize == "torch-fidelity":
            expected = (expected * 127.5 + 127.5 - 128) / 128
        np.testing.assert_allclose(network_input(image, resize), expected, atol=1e-6)


def test_the_user_is_told_which_file_is_wanted(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(InputError, match=r"weights\.pth.*pt_inception-2015-12-05-6726825d\.pth"):
        load_variables(path)
    path.write_bytes(b"inception_v3_google")
    with pytest.raises(InputError, match=r"another file.*pytorch-fid"):
        load_variables(path)


def test_state_dicts_of_the_zip_format():
    tensors = parse_tensors((HERE / "tiny_zip.pth").read_bytes())
    assert tensors["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["n"] == 3
