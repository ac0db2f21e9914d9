"""``jaxharmo harmonize``."""

import dataclasses
import functools
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxharmo.commands.chosen_model import ChosenModel
from jaxharmo.console import message
from jaxharmo.data.prepare.workers import Spread
from jaxharmo.harmonize.command import Choices, harmonize_command
from jaxharmo.translator import Precision


@dataclasses.dataclass(frozen=True)
class Harmonize:
    """Translate CT series into another domain: DICOM or NIfTI in, the same out.

    The input's grid is kept, voxels outside the training window keep their value, and a summary of
    what changed lies in a JSON sidecar. The same command again skips finished series.
    """

    input: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="INPUT")]]
    """Folder with a DICOM series or many, at any depth, or a NIfTI file."""
    output: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="OUTPUT")]]
    """Folder (NIfTI: file) to write; where series or targets are many, a folder for each in it."""
    chosen: Annotated[ChosenModel, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=ChosenModel
    )
    to: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Target domain, by its name; again for several; 'all': every domain but the source's own."""
    like: Path | None = None
    """Reference series, or NIfTI, whose style is used instead of the mean of its domain."""
    seed: int | None = None
    """Seed of a random style, instead of the mean."""
    origin: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Domain of the source, if the headers do not name it."""
    kernel_tag: Literal["acquired", "target"] = "acquired"
    """Kernel in the tag ConvolutionKernel of the output."""
    date: str | None = None
    """Date and time to write into the output, ISO 8601 or 'now'; if not given, those of the source
    stay, and two runs give the same bytes."""
    mixed: bool = False
    """Allow several series in one folder; they are separated by their headers."""
    allow_derived: bool = False
    """Take images with ImageType DERIVED, too; what jaxharmo made stays refused."""
    precision: Precision = "float32"
    """Of the generator's arithmetic."""
    batch: int = 8
    """Slices translated at a time, over all devices."""
    tile: int | None = None
    """Side of the pieces that a slice is translated in, where memory is short; at least 320."""
    spread: Annotated[Spread, tyro.conf.arg(name="", prefix_name=False)] = Spread(workers=1)

    def run(self) -> None:
        """Translate."""
        choices = Choices(
            to=self.to,
            like=self.like,
            seed=self.seed,
            origin=self.origin,
            kernel_tag=self.kernel_tag == "target",
            date=self.date,
            mixed=self.mixed,
            allow_derived=self.allow_derived,
        )
        options = {"precision": self.precision, "batch": self.batch, "tile": self.tile}
        chosen, places = self.chosen, (self.input, self.output)
        if self.spread.elsewhere:
            chosen, places = chosen.anywhere, (self.input.absolute(), self.output.absolute())
        load = functools.partial(chosen.load, **options)
        count = harmonize_command(*places, load, choices, message, self.spread)
        print(f"{self.output}: {count} harmonized")
