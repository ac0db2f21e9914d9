"""``jaxharmo view``."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo.console import message
from jaxharmo.harmonize.view import view


@dataclasses.dataclass(frozen=True)
class View:
    """Write a page that shows two versions of one series: a source and its result, or two kernels.

    The page is one file, works offline in any browser, and holds no name or ID of a patient.
    """

    series: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SERIES")]]
    """Folder with one DICOM series, or a NIfTI file."""
    result: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RESULT")]]
    """The other version, on the same grid: DICOM or NIfTI."""
    out: Path = Path("view.html")
    """Page to write; one that is there is replaced."""
    slices: int = 24
    """Most slices in the page, spread evenly; each adds up to 0.5 MB."""

    def run(self) -> None:
        """Write the page."""
        count = view(self.series, self.result, self.out, self.slices, message)
        size = self.out.stat().st_size / 1e6
        print(f"{self.out}: {count} slices, {size:.1f} MB; open it in a browser")
