"""The translation to one domain as a StableHLO artefact that needs JAX alone to run, or no JAX.

    from jax import export
    translate = export.deserialize(Path("b30f.stablehlo").read_bytes()).call
    hu = translate(slices)                 # n × rows × columns, HU, float32, in and out

Weights and style are in it. Any number of slices; rows and columns of any size that divides by
``model.generator.multiple``.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from jaxharmo.errors import InputError
from jaxharmo.files import make_folder, write_text
from jaxharmo.translator import Translator

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export_translation(
    translator: Translator,
    to: str,
    path: Path,
    of: str | None = None,
    pixel: float | None = None,
) -> None:
    """Write the artefact to ``path``, atomically, and beside it ``path`` + ``.json`` about it.

    ``of``: the domain of the source; models that do not need it accept slices of any domain.
    ``pixel``: side of the slices' pixels, mm, for models that work in mm.
    """
    if path.is_dir():
        raise InputError(f"{path}: a folder; name a file for the artefact")
    function = translator.bound(translator.steering(translator.mean_style(to), of, pixel))
    multiple = translator.config.model.generator.multiple
    sides = f"{multiple}*h, {multiple}*w" if multiple > 1 else "h, w"
    shape = export.symbolic_shape(f"n, {sides}")
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(
        jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    about = {
        "from": of if translator.needs_source else None,
        "to": to,
        "pixel_mm": pixel if translator.config.model.generator.in_mm else None,
        "step": translator.step,
        "sha256": translator.digest,
        "precision": translator.precision,
        "window_hu": translator.config.data.window,
        "multiple": multiple,
        "platforms": PLATFORMS,
        "calling_convention": exported.calling_convention_version,
        "notice": "research use only, not for diagnosis",
    }
    make_folder(path.parent)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(exported.serialize())
    write_text(path.with_name(f"{path.name}.json"), json.dumps(about, indent=2) + "\n")
    partial.replace(path)
