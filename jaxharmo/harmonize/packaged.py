"""A model as a folder that can be copied anywhere: config, weights and what it was trained on.

``config.json`` is the run's, without the place of its shards. ``weights.npz`` holds the averaged
weights of generator, mapping network and style encoder, an array a leaf, named by its path
(``generator/Conv_0/kernel``); it is read without pickle. ``model.json`` has the step and the
SHA-256 of the weights, ``textures.json`` the textures of the training domains.
"""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np

from jaxharmo.config import EvalConfig
from jaxharmo.errors import InputError
from jaxharmo.files import appearing_folder
from jaxharmo.harmonize.shipped import WEIGHTS_NAME
from jaxharmo.harmonize.textures import Textures, write_textures
from jaxharmo.models.networks import AVERAGED, leaf_name
from jaxharmo.saved_config import FILE_NAME as CONFIG_NAME
from jaxharmo.saved_config import read_config, write_config
from jaxharmo.translator import Precision, Translator, averaged_shapes

MODEL_NAME = "model.json"
FORMAT_VERSION = 1


def is_packaged(folder: Path) -> bool:
    """Whether a folder is what ``write_model`` writes, rather than a run."""
    return (folder / WEIGHTS_NAME).is_file()


def check_new(folder: Path) -> None:
    """``InputError`` where a model folder cannot be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists; name a new folder for the model")


def write_model(folder: Path, translator: Translator, textures: Textures | None) -> None:
    """Write a model folder; it appears only when all is in it. It must not exist, or be empty."""
    check_new(folder)
    data = dataclasses.replace(translator.config.data, shards="")
    with appearing_folder(folder) as partial:
        write_config(partial, dataclasses.replace(translator.config, data=data))
        arrays = {
            leaf_name(path): np.asarray(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(
                {name: translator.params[name] for name in AVERAGED}
            )
        }
        with (partial / WEIGHTS_NAME).open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        content = {
            "format_version": FORMAT_VERSION,
            "step": translator.step,
            "sha256": translator.digest,
        }
        (partial / MODEL_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if textures:
            write_textures(partial, textures)


def read_model(
    folder: Path, settings: EvalConfig | None = None, *, precision: Precision = "float32"
) -> Translator:
    """The model in a folder; ``InputError`` where a part is missing, damaged or does not fit."""
    if not (folder / CONFIG_NAME).is_file():
        raise InputError(f"{folder}: no {CONFIG_NAME} in it; export the model again")
    config = read_config(folder)
    if settings:
        config = dataclasses.replace(config, eval=settings)
    try:
        about = json.loads((folder / MODEL_NAME).read_text(encoding="utf-8"))
        if about["format_version"] != FORMAT_VERSION:
            raise ValueError(f"not of format version {FORMAT_VERSION}")
        with (
            (folder / WEIGHTS_NAME).open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            params = jax.tree_util.tree_map_with_path(
                lambda path, like: _fitting(arrays[leaf_name(path)], like), averaged_shapes(config)
            )
        translator = Translator(config, params, int(about["step"]), precision=precision)
        if translator.digest != about["sha256"]:
            raise ValueError("the weights are not those that were exported")
    except InputError:
        raise
    except Exception as error:
        # Damaged bytes of an archive surface as almost any exception.
        (reason, *_) = [*str(error).splitlines(), type(error).__name__]
        raise InputError(f"{folder}: damaged model ({reason[:200]}); export it again") from error
    return translator


def _fitting(array: np.ndarray, like: jax.ShapeDtypeStruct) -> np.ndarray:
    if array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(f"a weight of shape {array.shape} instead of {like.shape}")
    return array
