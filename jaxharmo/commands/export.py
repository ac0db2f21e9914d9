"""``jaxharmo export``."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo.commands.chosen_model import ChosenModel
from jaxharmo.harmonize.packaged import write_model
from jaxharmo.harmonize.stablehlo import export_translation
from jaxharmo.translator import Precision


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a model for use elsewhere: as a model folder, or one translation as StableHLO."""

    output: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="OUTPUT")]]
    """Model folder for --model and jaxharmo.load; with --to, the file of the artefact."""
    chosen: Annotated[ChosenModel, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=ChosenModel
    )
    to: str | None = None
    """Domain to which the artefact translates (jax.export; CPU, CUDA, ROCm, TPU)."""
    origin: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Domain of the source, for models that need it."""
    pixel: float | None = None
    """Side of the slices' pixels, mm, for models that work in mm."""
    precision: Precision = "float32"
    """Of the artefact's arithmetic."""

    def run(self) -> None:
        """Write it."""
        harmonizer = self.chosen.load(precision=self.precision)
        if self.to is None:
            write_model(self.output, harmonizer.translator, harmonizer.textures)
        else:
            export_translation(harmonizer.translator, self.to, self.output, self.origin, self.pixel)
        print(f"{self.output}: written, weights {harmonizer.translator.digest[:12]}")
