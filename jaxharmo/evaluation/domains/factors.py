"""The acquisition factors in the headers, as levels, and the associations between them."""

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from jaxharmo.data.manifest import Acquisition

UNKNOWN = "not given"
MAX_LEVELS = 6
"""Of a numeric factor; more distinct values are cut into thirds."""


@dataclasses.dataclass(frozen=True)
class Factor:
    """One factor: a level for each row, by name."""

    name: str
    levels: np.ndarray

    @property
    def kinds(self) -> list[str]:
        """Its distinct levels."""
        return sorted(set(self.levels.tolist()))


def kernel_class(kernel: str | None) -> str | None:
    """``smooth``, ``medium`` or ``sharp`` by the kernel's name; None for a name not known.

    Siemens: the number, up to 39, up to 49, above. GE, Philips, TOSHIBA and Canon: by the vendors'
    lists of soft tissue, intermediate, and lung or bone kernels.
    """
    name = (kernel or "").upper().split("/")[0].strip()
    if match := re.fullmatch(r"[A-Z][A-Z]?(\d\d)[A-Z]*", name):
        if name.startswith("FC"):
            return _by_number(int(match[1]), 20, 30)
        return _by_number(int(match[1]), 40, 50)
    return _CLASS_OF.get(name)


def _by_number(number: int, medium: int, sharp: int) -> str:
    return "smooth" if number < medium else "medium" if number < sharp else "sharp"


_CLASS_OF = {
    **dict.fromkeys(("SOFT", "STANDARD", "SMOOTH", "A", "B"), "smooth"),
    **dict.fromkeys(("DETAIL", "CHEST", "C"), "medium"),
    **dict.fromkeys(("LUNG", "BONE", "BONEPLUS", "EDGE", "ULTRA", "SHARP"), "sharp"),
    **dict.fromkeys(("D", "E", "F", "L", "YA", "YB", "YC", "YD"), "sharp"),
}


def _scanner(series: Acquisition) -> str | None:
    return " ".join(filter(None, (series.manufacturer, series.model))) or None


_TEXTS: dict[str, Callable[[Acquisition], str | None]] = {
    "kernel": lambda series: series.kernel,
    "convolution class": lambda series: kernel_class(series.kernel),
    "model": _scanner,
    "manufacturer": lambda series: series.manufacturer,
}
_NUMBERS: dict[str, tuple[Callable[[Acquisition], float | None], str]] = {
    "kVp": (lambda series: series.kvp, "kV"),
    "exposure": (lambda series: series.exposure, "mAs"),
    "slice thickness": (lambda series: series.slice_thickness, "mm"),
    "pixel spacing": (lambda series: series.pixel_spacing, "mm"),
}
DEFINITIONS = {
    "convolution class": ("convolution class",),
    "kernel": ("kernel",),
    "manufacturer": ("manufacturer",),
    "model": ("model",),
    "manufacturer and class": ("manufacturer", "convolution class"),
    "manufacturer and kernel": ("manufacturer", "kernel"),
    "model and class": ("model", "convolution class"),
    "model and kernel": ("model", "kernel"),
}
"""What a domain may be: rows that agree in these factors."""


def factors_of(series: Sequence[Acquisition]) -> list[Factor]:
    """The factors that some header has, the likeliest first; a level for each row."""
    contrast = {True: "given", False: "none", None: None}
    columns = {name: [read(each) for each in series] for name, read in _TEXTS.items()}
    columns |= {
        name: _binned([read(each) for each in series], unit)
        for name, (read, unit) in _NUMBERS.items()
    }
    columns["contrast"] = [contrast[each.contrast] for each in series]
    return [
        Factor(name, np.array([level or UNKNOWN for level in levels]))
        for name, levels in columns.items()
        if any(levels)
    ]


def _binned(values: list[float | None], unit: str) -> list[str | None]:
    known = np.array(sorted({value for value in values if value is not None}))
    if len(known) <= MAX_LEVELS:
        return [None if value is None else f"{value:g} {unit}" for value in values]
    cuts = np.quantile([value for value in values if value is not None], (1 / 3, 2 / 3))
    names = (
        f"to {cuts[0]:.3g} {unit}",
        f"{cuts[0]:.3g} to {cuts[1]:.3g} {unit}",
        f"above {cuts[1]:.3g} {unit}",
    )
    return [
        None if value is None else names[int(np.searchsorted(cuts, value, "left"))]
        for value in values
    ]


def combined(factors: Sequence[Factor], name: str) -> Factor:
    """The levels that rows share in all of ``factors``."""
    joined = [" | ".join(row) for row in zip(*(f.levels.tolist() for f in factors), strict=True)]
    return Factor(name, np.array(joined))


def settles(a: Factor, b: Factor) -> bool:
    """Whether every level of ``a`` comes with one level of ``b`` only."""
    return len(set(zip(a.levels.tolist(), b.levels.tolist(), strict=True))) == len(a.kinds)
