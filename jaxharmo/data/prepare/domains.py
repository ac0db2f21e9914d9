"""Names of scanner–kernel domains, made from header values that nobody has vouched for.

One spelling a vendor and a kernel, and no more: scanners of different models stay apart, and so do
the names that a vendor has had over time (TOSHIBA, Canon).

- Vendor: known spellings become the one of the table below; any other stays as it is.
- Kernel: white space and invisible characters go; blank values go; several values are joined with
  ``/`` in their order. Siemens kernels get the case that Siemens writes (``B30f``, ``Br40d``),
  kernels of GE, Philips and TOSHIBA's and Canon's ``FC`` kernels upper case.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

SEPARATOR = " -- "
PART_LENGTH = 64
"""Characters kept of a header value: the most that DICOM allows a Manufacturer to have."""

_GE = "GE MEDICAL SYSTEMS"
_VENDOR_BY_FIRST_WORD = {
    "siemens": "SIEMENS",
    "philips": "Philips",
    "toshiba": "TOSHIBA",
    "canon": "Canon",
    "hitachi": "Hitachi",
    "fujifilm": "FUJIFILM",
    "uih": "UIH",
    "neurologica": "NeuroLogica",
}
_VENDOR_BY_NAME = {
    "ge": _GE,
    "gems": _GE,
    "gehc": _GE,
    "ge medical": _GE,
    "ge medical system": _GE,
    "ge medical systems": _GE,
    "ge healthcare": _GE,
    "general electric": _GE,
    "united imaging": "UIH",
    "united imaging healthcare": "UIH",
    "shanghai united imaging healthcare": "UIH",
}
_SIEMENS_KERNEL = re.compile(r"([a-z])([a-z]?)(\d+)([a-z]*)", re.IGNORECASE)
_FC_KERNEL = re.compile(r"fc ?(\d+)(.*)", re.IGNORECASE)


class DomainParts(NamedTuple):
    """A scanner and a kernel under their one spelling; empty where not known."""

    manufacturer: str
    model: str
    kernel: str


def clean(text: str) -> str:
    """Text on one line: invisible characters removed, white space collapsed."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    visible = (
        character
        for character in re.sub(r"\s+", " ", text)
        if not unicodedata.category(character).startswith("C")
    )
    return re.sub(r" +", " ", "".join(visible)).strip()


def domain_parts(manufacturer: str, model: str, kernel: Sequence[str]) -> DomainParts:
    """Header values under their one spelling."""
    vendor = vendor_name(manufacturer)
    kernels = [part for part in map(clean, kernel) if part]
    kernel_name = "/".join(kernel_spelling(vendor, part) for part in kernels)
    return DomainParts(vendor, _part(model), _part(kernel_name))


def domain_name(
    manufacturer: str, model: str, kernel: Sequence[str], *, by: str = "scanner-kernel"
) -> str:
    """``MANUFACTURER MODEL -- KERNEL``; the kernel alone where the scanner is not known.

    ``by`` ``manufacturer-kernel`` leaves out the model, ``kernel`` the manufacturer, too. Several
    values of ConvolutionKernel are joined with ``/`` in their order: Siemens writes the strength
    of an iterative reconstruction as the second one (``Br40d/3``). Empty without a kernel.
    """
    parts = domain_parts(manufacturer, model, kernel)
    if not parts.kernel:
        return ""
    named = {
        "scanner-kernel": (parts.manufacturer, parts.model),
        "manufacturer-kernel": (parts.manufacturer,),
        "kernel": (),
    }[by]
    scanner = " ".join(part for part in named if part)
    return f"{scanner}{SEPARATOR}{parts.kernel}" if scanner else parts.kernel


def kernel_of(domain: str) -> str:
    """The kernel in a domain name."""
    return domain.rpartition(SEPARATOR)[2]


def vendor_name(manufacturer: str) -> str:
    """The one spelling of a vendor, where it is a known one."""
    text = _part(manufacturer)
    words = re.sub(r"[^a-z]+", " ", text.lower()).split()
    if not words:
        return text
    return _VENDOR_BY_FIRST_WORD.get(words[0]) or _VENDOR_BY_NAME.get(" ".join(words)) or text


def kernel_spelling(vendor: str, kernel: str) -> str:
    """The one spelling of a kernel of ``vendor``."""
    if vendor == "SIEMENS" and (match := _SIEMENS_KERNEL.fullmatch(kernel)):
        family, kind, number, suffix = match.groups()
        return f"{family.upper()}{kind.lower()}{number}{suffix.lower()}"
    if vendor in (_GE, "Philips"):
        return kernel.upper()
    if vendor in ("TOSHIBA", "Canon") and (match := _FC_KERNEL.fullmatch(kernel)):
        return f"FC{match[1]}{match[2].upper()}"
    return kernel


def _part(text: str) -> str:
    return clean(text)[:PART_LENGTH].strip()


def scanner_of(domain: str) -> str:
    """The part of a domain's name before its kernel; empty where it names a kernel alone."""
    return domain.rpartition(SEPARATOR)[0]
