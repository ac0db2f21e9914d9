"""The Pallas kernels: interpreted against the product, and lowered for devices not at hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh
from literal import LINEAR, gaussian, name_of

from jaxharmo.ops.fused import gpu, product, tpu
from jaxharmo.ops.glcm import OFFSETS, GlcmConfig, glcm_features, glcm_matrices

HOPPER = AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu")
TPU = AbstractDevice("TPU v5 lite", 1, "tpu")
BINNINGS = [
    *(dataclasses.replace(LINEAR, levels=levels) for levels in (64, 256)),
    *(gaussian(sigma, normalised=False, levels=128) for sigma in (1.0, 32.0)),
]


def on(device):
    return use_abstract_mesh(AbstractMesh((), (), abstract_device=device))


def pairs(levels, offsets=2, pixels=3 * gpu.PIXELS * gpu.SPLITS):
    random = np.random.default_rng(0)
    coordinate = random.uniform(0, levels - 1, (offsets + 1, pixels))
    factor = random.random((offsets + 1, pixels)) < 0.8
    both = jnp.asarray(np.stack([coordinate, factor], 1), jnp.float32)
    return both[0], both[1:], jnp.arange(levels, dtype=jnp.float32)


def interpreted(platform, binning):
    if platform == "tpu":
        return lambda *arrays: tpu.counts(*arrays, binning, interpret=True)
    if jax.__version_info__ < (0, 10, 2):
        pytest.skip("the interpreter of JAX 0.10.1 knows no loops over references")
    # JAX does not export it yet.
    interpreter = pytest.importorskip("jax._src.pallas.mosaic_gpu.interpret.params")
    block = min(binning.levels, 128)
    options = interpreter.InterpretGPUParams()
    return lambda *arrays: gpu.counts(*arrays, binning, block, interpret=options)


@pytest.mark.parametrize("binning", BINNINGS, ids=name_of)
@pytest.mark.parametrize(("platform", "device"), [("gpu", HOPPER), ("tpu", TPU)])
def test_interpreted_kernels_are_the_product(platform, device, binning):
    arrays = pairs(binning.levels)
    expected = product(*arrays, binning)
    with on(device):
        found = jax.jit(interpreted(platform, binning))(*arrays)
    # bfloat16 has 8 bits, and a cell sums many pairs.
    tolerance = 4e-3 * float(expected.max())
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)
    assert float(found.sum()) == pytest.approx(float(expected.sum()), rel=1e-3)


@pytest.mark.parametrize("binning", BINNINGS, ids=name_of)
@pytest.mark.parametrize(
    ("platform", "device", "call"),
    [("cuda", HOPPER, "mosaic_gpu"), ("tpu", TPU, "tpu_custom_call")],
)
def test_matrices_lower_to_the_kernel_without_a_device(platform, device, call, binning):
    config = GlcmConfig(
        levels=binning.levels, binning=binning.kind, sigma=binning.sigma, method="pallas"
    )
    form = jax.jit(lambda images: glcm_matrices(images, config))
    images = jax.ShapeDtypeStruct((2, 256, 256), jnp.float32)
    with on(device):
        lowered = form.trace(images).lower(lowering_platforms=(platform,))
    assert call in lowered.as_text()


@pytest.mark.parametrize("binning", ["linear", "gaussian"])
def test_elsewhere_the_method_is_the_product_with_its_gradient(binning):
    images = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (1, 13, 15)), jnp.float32)
    mask = jnp.asarray(np.random.default_rng(2).random(images.shape) < 0.7)

    def by(method, images=images):
        config = GlcmConfig(levels=16, binning=binning, method=method, offsets=OFFSETS[:5])
        names = ("joint_energy", "contrast")

        def total(x):
            return sum(value.sum() for value in glcm_features(x, config, names, mask).values())

        return jax.jit(jax.value_and_grad(total))(images)

    with jax.enable_x64(True):
        assert by("pallas", images.astype("float64"))[1].dtype == jnp.float64
    (value, gradient), (expected, slopes) = by("pallas"), by("product")
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, slopes, atol=1e-5 * float(jnp.abs(slopes).max()))
