"""Random weights in the published layout, and how the test vector was made from them.

``python tests/evaluation/inception_vector.py`` needs torch and torch-fidelity 0.4.0, which the
tests do not. It writes ``inception_features.npz``: torch-fidelity's features of ``images()``
through ``published_layout()``, and ``tiny_zip.pth``, a state dict in PyTorch's zip format.
"""

from pathlib import Path

import jax
import numpy as np
from flax import traverse_util

from jaxharmo.models.inception import SIDE, Inception

HERE = Path(__file__).parent


def published_layout():
    """A state dict with the names and shapes of the published file, all values from one seed."""
    shapes = jax.eval_shape(
        Inception().init, jax.random.key(0), jax.ShapeDtypeStruct((1, SIDE, SIDE), np.float32)
    )
    flat = traverse_util.flatten_dict(shapes["params"], sep=".")
    random = np.random.default_rng(20151205)
    tensors = {}
    for name in sorted(key.removesuffix(".kernel") for key in flat if key.endswith(".kernel")):
        *size, inputs, outputs = flat[f"{name}.kernel"].shape
        # Variance is kept from layer to layer.
        kernel = random.standard_normal((outputs, inputs, *size), np.float32)
        tensors[f"{name}.conv.weight"] = kernel * np.float32(np.sqrt(2 / inputs / np.prod(size)))
        tensors[f"{name}.bn.weight"] = random.uniform(0.8, 1.2, outputs).astype(np.float32)
        tensors[f"{name}.bn.bias"] = random.normal(0, 0.1, outputs).astype(np.float32)
        tensors[f"{name}.bn.running_mean"] = random.normal(0, 0.1, outputs).astype(np.float32)
        tensors[f"{name}.bn.running_var"] = random.uniform(0.5, 1.5, outputs).astype(np.float32)
        tensors[f"{name}.bn.num_batches_tracked"] = np.zeros((), np.int64)
    tensors["fc.weight"] = random.normal(0, 0.02, (1008, 2048)).astype(np.float32)
    tensors["fc.bias"] = np.zeros(1008, np.float32)
    return tensors


def images():
    """Two grey 8-bit images of 200×180 pixels, smooth and noisy."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[:200, :180]
    waves = 128 + 90 * np.sin(y / 11) * np.cos(x / 7) + 30 * random.normal(size=(200, 180))
    noise = random.uniform(0, 255, (200, 180))
    return np.stack([waves, noise]).clip(0, 255).round().astype(np.uint8)


def main():
    import tempfile

    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    taps = ["64", "192", "768", "2048"]
    state = {name: torch.from_numpy(value) for name, value in published_layout().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/weights.pth"
        torch.save(state, path)
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", taps, feature_extractor_weights_path=path
        )
    grey = torch.from_numpy(images())[:, None].repeat(1, 3, 1, 1)
    with torch.no_grad():
        features = network(grey)
    np.savez_compressed(
        HERE / "inception_features.npz",
        **{f"tap_{tap}": value.numpy() for tap, value in zip(taps, features, strict=True)},
    )
    torch.save(
        {"a": torch.arange(6.0).reshape(2, 3).T, "n": torch.tensor(3)}, HERE / "tiny_zip.pth"
    )


if __name__ == "__main__":
    main()
