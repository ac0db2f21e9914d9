"""Names of scanner–kernel domains, made from header values that nobody has vouched for."""

import re
import unicodedata
from collections.abc import Sequence

SEPARATOR = " -- "
PART_LENGTH = 64
"""Characters kept of a header value: the most that DICOM allows a Manufacturer to have."""


def clean(text: str) -> str:
    """Text on one line: invisible characters removed, white space collapsed."""
    visible = (
        character
        for character in re.sub(r"\s+", " ", text)
        if not unicodedata.category(character).startswith("C")
    )
    return re.sub(r" +", " ", "".join(visible)).strip()


def domain_name(manufacturer: str, model: str, kernel: Sequence[str]) -> str:
    """``MANUFACTURER MODEL -- KERNEL``; the kernel alone where the scanner is not known.

    Several values of ConvolutionKernel are joined with ``/`` in their order: Siemens writes the
    strength of an iterative reconstruction as the second one (``Br40d/3``). Empty without a kernel.
    """
    kernels = [part for part in map(clean, kernel) if part]
    kernel_name = "/".join(kernels)[:PART_LENGTH].strip()
    if not kernel_name:
        return ""
    scanner = " ".join(part for part in (_part(manufacturer), _part(model)) if part)
    return f"{scanner}{SEPARATOR}{kernel_name}" if scanner else kernel_name


def kernel_of(domain: str) -> str:
    """The kernel in a domain name."""
    return domain.rpartition(SEPARATOR)[2]


def _part(text: str) -> str:
    return clean(text)[:PART_LENGTH].strip()
