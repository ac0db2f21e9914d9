"""Values of DICOM elements, whatever a scanner or an export has put into them."""

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from jaxharmo.data.prepare.domains import clean


class UnusableError(Exception):
    """The reason why a file cannot be used, and whether a slice is lost with it."""

    def __init__(self, reason: str, *, lost: bool = True):
        super().__init__(reason)
        self.reason, self.lost = reason, lost


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom, which warns of odd header values and quotes them, in its log as well."""
    log = logging.getLogger("pydicom")
    before = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The level holds for the loggers below as well, whose messages carry tracebacks.
        log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            log.setLevel(before)


def texts(header: Dataset, keyword: str) -> list[str]:
    """The non-empty values of an element as clean text."""
    value: Any = header.get(keyword)
    values = [] if value is None else [value] if isinstance(value, str) else value
    values = values if isinstance(values, list | MultiValue) else [values]
    return [text for text in (clean(str(item)) for item in values) if text]


def numbers(header: Dataset, keyword: str, count: int) -> list[float]:
    """The ``count`` finite numbers of an element; ``UnusableError`` where it holds others."""
    try:
        values = [float(text) for text in texts(header, keyword)]
    except (ValueError, TypeError):
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise UnusableError(f"{keyword} missing or not {count} number{'s' * (count > 1)}")
    return values


def positive(header: Dataset, keyword: str) -> float | None:
    """The one positive number of an element; None where there is no such number."""
    try:
        (value,) = numbers(header, keyword, 1)
    except UnusableError:
        return None
    return value if value > 0 else None


def uid(header: Dataset, keyword: str) -> str:
    """A unique identifier; ``UnusableError`` where it is missing."""
    (value, *_) = [*texts(header, keyword), ""]
    if not value:
        raise UnusableError(f"{keyword} missing")
    return value
