"""State dicts in PyTorch's file formats, read without PyTorch and without running code.

The legacy format holds three header pickles, the pickled state dict, the pickled list of storage
keys, then for each storage its 8-byte count and raw bytes. The zip format holds the pickled state
dict as ``NAME/data.pkl`` and each storage as ``NAME/data/KEY``. The unpickler builds tensors in a
dict and nothing else.
"""

import collections
import hashlib
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxharmo.errors import InputError

_HEADER_PICKLES = 3
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_COUNT = struct.Struct("<q")


def read_tensors(path: Path, sha256: str, mend: str) -> dict[str, np.ndarray]:
    """The state dict in ``path``.

    ``InputError``, ending in ``mend``, where the file is absent or its SHA-256 is another.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; {mend}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(f"{path}: damaged or another file (SHA-256 {found[:12]}…); {mend}")
    return parse_tensors(content)


def parse_tensors(content: bytes) -> dict[str, np.ndarray]:
    """The state dict in the bytes of a file of either format.

    Raises ``pickle.UnpicklingError`` if the pickle holds anything but tensors in a dict.
    """
    stream = io.BytesIO(content)
    return _parse_zip(stream) if zipfile.is_zipfile(stream) else _parse_legacy(io.BytesIO(content))


def _parse_legacy(stream: io.BytesIO) -> dict[str, np.ndarray]:
    for _ in range(_HEADER_PICKLES):
        _TensorUnpickler(stream).load()
    unpickler = _TensorUnpickler(stream)
    tensors = unpickler.load()
    for key in _TensorUnpickler(stream).load():
        (count,) = _COUNT.unpack(stream.read(_COUNT.size))
        size = count * unpickler.storages[key].itemsize
        unpickler.fill(key, stream.read(size))
    return dict(tensors)


def _parse_zip(stream: io.BytesIO) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(stream) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise pickle.UnpicklingError("the archive holds no state dict")
        folder = pickles[0].removesuffix(".pkl")
        unpickler = _TensorUnpickler(io.BytesIO(archive.read(pickles[0])))
        tensors = unpickler.load()
        for key in unpickler.storages:
            unpickler.fill(key, archive.read(f"{folder}/{key}"))
    return dict(tensors)


class _TensorUnpickler(pickle.Unpickler):
    """Builds numpy views of storages that are filled later; accepts only three kinds of names."""

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
        _, dtype, key, _, count, *_ = pid
        return self.storages.setdefault(key, np.zeros(count, dtype))

    def fill(self, key: str, content: bytes) -> None:
        storage = self.storages[key]
        if len(content) != storage.nbytes:
            raise pickle.UnpicklingError(
                f"storage {key} has {len(content)} bytes, not {storage.nbytes}"
            )
        storage[:] = np.frombuffer(content, storage.dtype)


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
    size = storage.itemsize
    steps = tuple(step * size for step in strides)
    # numpy refuses views that reach beyond the buffer.
    return np.ndarray(shape, storage.dtype, storage.data, offset * size, steps)
