"""Weights of the Inception network of the FID, from a file that the user has.

``pt_inception-2015-12-05-6726825d.pth`` of pytorch-fid, the same bytes as torch-fidelity's
``weights-inception-2015-12-05-6726825d.pth`` (95,628,359 bytes, Apache-2.0): TensorFlow's network
of 2015-12-05, by which published FIDs are measured.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from jaxharmo.evaluation.weights.torch_files import read_tensors

FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
MEND = f"give {FILE_NAME} of the pytorch-fid releases, or leave it out for EfficientNet-Lite0"
BATCH_NORM_EPSILON = 1e-3

Tree = dict[str, Any]


@functools.cache
def load_variables(path: Path) -> Tree:
    """The Flax variables of ``Inception``; ``InputError`` where ``path`` is not the known file."""
    return to_variables(read_tensors(path, SHA256, MEND))


def to_variables(tensors: dict[str, np.ndarray]) -> Tree:
    """Nest by the dots of the names, transpose, and fold normalisations into their convolutions.

    With γ, β, μ, σ² of the normalisation and s = γ / sqrt(σ² + ε): kernel' = kernel s and
    bias' = β - μ s. The classifier is left out.
    """
    params: Tree = {}
    for name, kernel in tensors.items():
        path, _, kind = name.rpartition(".conv.")
        if kind != "weight":
            continue
        gamma, beta, mean, variance = (
            tensors[f"{path}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        *blocks, last = path.split(".")
        place = functools.reduce(lambda tree, block: tree.setdefault(block, {}), blocks, params)
        place[last] = {
            "kernel": (kernel.transpose(2, 3, 1, 0) * scale).astype(np.float32),
            "bias": (beta - mean * scale).astype(np.float32),
        }
    return {"params": params}
