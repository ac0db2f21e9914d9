"""``jaxharmo extend``."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo import runtime
from jaxharmo.commands.chosen_model import ChosenModel
from jaxharmo.console import message
from jaxharmo.harmonize.batch import find_volume
from jaxharmo.harmonize.extension import extend
from jaxharmo.harmonize.packaged import check_new, write_model


@dataclasses.dataclass(frozen=True)
class Extend:
    """Add a domain that the model was not trained on, from a few slices of it.

    Writes a new model folder; harmonize --model FOLDER --to DOMAIN uses it. Takes a minute or two.
    """

    output: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="OUTPUT")]]
    """Model folder to write."""
    like: Path
    """Series of the new domain, DICOM or NIfTI; eight slices are enough."""
    source: Path
    """Series of a domain of the model, of the same part of the body; the patients may differ."""
    chosen: Annotated[ChosenModel, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=ChosenModel
    )
    name: str | None = None
    """Name of the new domain; that in the headers if not given."""
    origin: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Domain of the source, if the headers do not name it."""

    def run(self) -> None:
        """Fit and write."""
        check_new(self.output)
        runtime.keep_compilations()
        harmonizer = self.chosen.load()
        like, source = (find_volume(place, report=message) for place in (self.like, self.source))
        message("fitting the new domain")
        translator, textures = extend(harmonizer, like, source, name=self.name, origin=self.origin)
        write_model(self.output, translator, textures)
        print(f"{self.output}: written, with the domain {translator.domains[-1]}")
