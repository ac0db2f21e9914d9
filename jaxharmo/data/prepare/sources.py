"""Any file -> the CT slices in it, or the reason why there are none."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from jaxharmo.data.prepare.elements import UnusableError
from jaxharmo.data.prepare.headers import (
    MAX_SIDE,
    SPACING,
    Skipped,
    SliceFile,
    digest,
    read_headers,
)
from jaxharmo.data.prepare.nifti import UNLABELLED, Label, is_nifti, read_volume


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """What counts as a slice, and how its domain is called."""

    derived: bool = False
    by: str = "scanner-kernel"
    labels: Mapping[str, Label] = dataclasses.field(default_factory=dict)
    """Of NIfTI volumes, by path below the input folder."""


def read_file(rules: Rules, folder: Path, name: str) -> list[SliceFile | Skipped]:
    """All that is in the file ``name`` below ``folder``; never raises for what is in it."""
    if not is_nifti(name):
        return list(read_headers(folder / name, name, derived=rules.derived, by=rules.by))
    if name not in rules.labels:
        return [Skipped(name, UNLABELLED, lost=True)]
    try:
        return list(_volume(folder, name, rules.labels[name]))
    except UnusableError as error:
        return [Skipped(name, error.reason, lost=True)]
    except Exception:
        return [Skipped(name, "damaged or unreadable volume", lost=True)]


def _volume(folder: Path, name: str, label: Label) -> list[SliceFile]:
    volume = read_volume(folder / name)
    shape, spacing = volume.shape, volume.spacing
    if max(shape) > MAX_SIDE or not SPACING[0] <= min(spacing) <= max(spacing) <= SPACING[1]:
        raise UnusableError("rows, columns or spacing out of range")
    patient = digest("patient", label.patient)
    scan = digest("volume", patient, label.acquisition, *shape, *spacing, *volume.corner)
    series = digest("volume", name)
    factors = dataclasses.replace(label.factors, pixel_spacing=round(spacing[0], 5))
    return [
        SliceFile(
            folder=str(folder),
            name=name,
            frame=number,
            instance=digest("volume", name, number),
            series=series,
            patient=patient,
            scan=scan,
            moment=digest(label.acquisition) if label.acquisition else "",
            phase="",
            domain=label.domain,
            factors=factors,
            shape=shape,
            spacing=spacing,
            position=position,
            corner=volume.corner,
        )
        for number, position in enumerate(volume.positions)
    ]
