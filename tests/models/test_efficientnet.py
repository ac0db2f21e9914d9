import pickle

import jax
import numpy as np
import pytest
from jax import lax
from skimage import data, transform

from jaxharmo.errors import InputError
from jaxharmo.evaluation.weights import efficientnet as weights
from jaxharmo.evaluation.weights.torch_files import parse_tensors, read_tensors
from jaxharmo.models.efficientnet import Depthwise, EfficientNetLite0

EGYPTIAN_CAT, TABBY, TIGER_CAT, ESPRESSO = 285, 281, 282, 967


@pytest.fixture(scope="module")
def extract():
    variables = weights.load_variables()
    apply = jax.jit(EfficientNetLite0().apply)
    return lambda images: apply(variables, images)


def grey(picture):
    luminance = picture.astype(np.float32) @ np.float32([0.2125, 0.7154, 0.0721])
    small = transform.resize(luminance, (224, 224), anti_aliasing=True)
    return np.float32(small / 127.5 - 1)


def test_names_a_cat_and_an_espresso(extract):
    tensors = read_tensors(weights.weights_path(), weights.SHA256, weights.MEND)
    features = extract(np.stack([grey(data.chelsea()), grey(data.coffee())]))["semantic"]
    classes = (features @ tensors["_fc.weight"].T + tensors["_fc.bias"]).argmax(1)
    assert classes[0] in (EGYPTIAN_CAT, TABBY, TIGER_CAT)
    assert classes[1] == ESPRESSO


def test_taps_have_the_published_widths(extract):
    taps = jax.eval_shape(extract, jax.ShapeDtypeStruct((3, 96, 64), np.float32))
    assert {tap: array.shape for tap, array in taps.items()} == {
        "texture": (3, 64),
        "semantic": (3, 1280),
    }


def test_converted_weights_fill_the_module():
    shapes = jax.eval_shape(
        EfficientNetLite0().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 64, 64), np.float32)
    )
    variables = weights.load_variables()
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, shapes)


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 9), (5, 2, 16), (3, 2, 7)])
def test_depthwise_is_the_grouped_convolution(kernel, stride, side):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, side, side + 1, 4)).astype(np.float32)
    weight = random.normal(size=(kernel, kernel, 1, 4)).astype(np.float32)
    bias = np.float32([1, 2, 3, 4])
    found = Depthwise(kernel, stride).apply({"params": {"kernel": weight, "bias": bias}}, x)
    expected = lax.conv_general_dilated(
        x,
        weight,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=4,
    )
    np.testing.assert_allclose(found, expected + bias, atol=1e-5)


def test_a_damaged_file_is_refused_by_name(tmp_path):
    content = bytearray(weights.weights_path().read_bytes())
    content[1_000_000] ^= 1
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pth.*reinstall"):
        read_tensors(path, weights.SHA256, weights.MEND)
    with pytest.raises(InputError, match=r"absent\.pth"):
        read_tensors(tmp_path / "absent.pth", weights.SHA256, weights.MEND)


def test_the_unpickler_builds_nothing_but_tensors():
    class Call:
        def __reduce__(self):
            return print, ("executed",)

    header = pickle.dumps(1)
    with pytest.raises(pickle.UnpicklingError, match="print"):
        parse_tensors(3 * header + pickle.dumps(Call()))
