"""The suites: which virtual scanners see the same patients, and why a suite is hard."""

import dataclasses

from jaxharmo.data.rescan.choice import SCANNERS
from jaxharmo.data.rescan.scanner import Scanner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suite:
    """Domains to translate between, each from all others."""

    about: str
    scanners: tuple[Scanner, ...]

    def sized(self, matrix: int, field_of_view: float) -> tuple[Scanner, ...]:
        """The scanners with ``matrix`` pixels a side.

        ``field_of_view`` in mm is that of the first; the others keep their ratio to it. Raises
        ``ValueError`` for a size that no scanner has.
        """
        ratio = field_of_view / self.scanners[0].field_of_view
        return tuple(
            dataclasses.replace(
                scanner, matrix=matrix, field_of_view=round(ratio * scanner.field_of_view, 3)
            )
            for scanner in self.scanners
        )


_ALBA, _CORONA = SCANNERS["alba"], SCANNERS["corona"]

SUITES: dict[str, Suite] = {
    "kernels": Suite(
        about="kernels of one scanner: linear filters of one acquisition",
        scanners=tuple(
            dataclasses.replace(_ALBA, kernel=kernel) for kernel in ("B30f", "B50f", "B70f")
        ),
    ),
    "scanners": Suite(
        about="scanners that differ in pixel, dose, voltage, focal spot, calibration and kernel",
        scanners=(
            _ALBA,
            SCANNERS["boreas"],
            Scanner(
                name="Eos",
                kernel="B40f",
                field_of_view=_ALBA.field_of_view,
                kvp=80.0,
                photons=3e5,
                exposure=150.0,
                electronic=25.0,
                focal_spot=1.0,
                aperture=0.9,
                bowtie=140.0,
                offset=5.0,
            ),
        ),
    ),
    "nonlinear": Suite(
        about="filtered back-projection and two levels of iterative reconstruction of one "
        "acquisition",
        scanners=tuple(dataclasses.replace(_CORONA, strength=level) for level in (0, 3, 5)),
    ),
}
