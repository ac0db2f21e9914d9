"""What ``jaxharmo prepare`` does to the slices of a collection, and which of them it takes."""

import dataclasses
from typing import Literal

import numpy as np

from jaxharmo.errors import InputError

SETTINGS = "settings: "
"""Start of the reason for slices that the settings leave out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """By default slices are only converted to HU and clipped."""

    window: tuple[float, float] = (-1024.0, 3071.0)
    """HU that the pixels are clipped to; padding becomes the lower end."""
    domain: Literal["scanner-kernel", "manufacturer-kernel", "kernel"] = "scanner-kernel"
    """What makes a domain."""
    derived: bool = False
    """Take images with ImageType DERIVED, too."""
    exclude_contrast: bool = False
    """Leave out series with a contrast agent in their headers, as the published method does."""
    spacing: float | None = None
    """mm between pixels after resampling (bicubic, with anti-aliasing), which changes the texture
    that a kernel gave; none keeps the scanner's grid."""
    body_only: bool = False
    """Set all outside the body's mask (table, clothes, separate arms) to the window's lower end."""
    crop: Literal["none", "body", "lung"] = "none"
    """Cut slices to the bounding box of the body or of the lungs (of the body where no lung is),
    sides rounded up to 64 pixels; reconstructions of one acquisition are cut alike."""
    crop_margin: float = 10.0
    """mm around the box."""
    min_lung: float = 0.0
    """cm² of lung that a slice must show."""
    slice_thickness: tuple[float, float] | None = None
    """Least and most, mm; other series, and those without the tag, are left out."""
    pixel_spacing: tuple[float, float] | None = None
    """mm, least and most, before resampling."""
    min_patients: int = 1
    """Patients that a domain must have."""
    min_slices: int = 1
    """Slices that a domain must have."""
    split_gap: int = 0
    """Slices left out between the blocks of a series where patients are too few to split by."""

    @property
    def masks(self) -> bool:
        """Whether tissue has to be found at all."""
        return self.body_only or self.crop != "none" or self.min_lung > 0

    @property
    def spacing_policy(self) -> str:
        """As the manifest names it."""
        return "native" if self.spacing is None else f"{self.spacing:g} mm"

    def applied(self) -> dict[str, str]:
        """What was done to the pixels beyond HU and clipping, in words."""
        words: dict[str, str] = {}
        if self.spacing is not None:
            words["resampled"] = f"to {self.spacing:g} mm, bicubic, anti-aliased"
        if self.body_only:
            words["outside the body"] = f"{self.window[0]:g} HU"
        if self.crop != "none":
            words["cropped"] = f"to the {self.crop} and {self.crop_margin:g} mm around it"
        return words


def check(config: PrepareConfig) -> PrepareConfig:
    """``config`` as it is; ``InputError`` where its values contradict each other."""
    limits = np.iinfo(np.int16)
    low, high = config.window
    if not limits.min <= low < high <= limits.max:
        raise InputError(
            f"window {config.window}: must rise and lie within {limits.min} to {limits.max}"
        )
    if config.spacing is not None and not 0.1 <= config.spacing <= 10:
        raise InputError(f"spacing {config.spacing:g}: must lie within 0.1 to 10 mm")
    for name in ("slice_thickness", "pixel_spacing"):
        limit = getattr(config, name)
        if limit is not None and not 0 <= limit[0] <= limit[1]:
            raise InputError(f"{name} {limit}: must be the least and the most, in mm")
    for name in ("crop_margin", "min_lung", "min_patients", "min_slices", "split_gap"):
        if not getattr(config, name) >= 0:
            raise InputError(f"{name} {getattr(config, name)}: must not be negative")
    return config
