"""How a slice was acquired and reconstructed, from its header."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from pydicom.dataset import Dataset

from jaxharmo.data.manifest import Acquisition
from jaxharmo.data.prepare.domains import domain_parts
from jaxharmo.data.prepare.elements import positive, texts

KEYWORDS = (
    "Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "KVP", "Exposure",
    "ExposureInuAs", "XRayTubeCurrent", "ExposureTime", "SliceThickness", "PixelSpacing",
    "ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusRoute",
    "ContrastBolusVolume", "ContrastBolusStartTime", "ContrastFlowRate",
)  # fmt: skip
"""Elements that describe it."""
_NO_CONTRAST = {
    "no", "n", "none", "non", "not", "nil", "nativ", "native", "without", "w/o", "wo", "0", "false",
    "no contrast", "non contrast", "non-contrast", "without contrast", "w/o contrast",
    "no iv contrast", "unenhanced", "plain",
}  # fmt: skip


def acquisition_of(header: Dataset, spacing: float) -> Acquisition:
    """The factors of one header; ``spacing`` between rows, mm."""
    parts = domain_parts(
        " ".join(texts(header, "Manufacturer")),
        " ".join(texts(header, "ManufacturerModelName")),
        texts(header, "ConvolutionKernel"),
    )
    return Acquisition(
        manufacturer=parts.manufacturer or None,
        model=parts.model or None,
        kernel=parts.kernel or None,
        kernel_raw="\\".join(texts(header, "ConvolutionKernel")) or None,
        kvp=positive(header, "KVP"),
        exposure=_exposure(header),
        slice_thickness=positive(header, "SliceThickness"),
        pixel_spacing=round(spacing, 5),
        contrast=_contrast(header),
    )


def acquisition_of_series(slices: Sequence[Acquisition]) -> Acquisition:
    """What the slices of one series share: the most frequent value, of the exposure the median."""
    exposures = [each.exposure for each in slices if each.exposure is not None]
    common = Counter(replace(each, exposure=None) for each in slices)
    # Of equally frequent ones the first in the order of their text, whatever the order of slices.
    best = min(common, key=lambda each: (-common[each], repr(each)))
    return replace(best, exposure=round(median(exposures), 3) if exposures else None)


def _exposure(header: Dataset) -> float | None:
    """Tube load in mAs: current × time; Exposure where one is missing, as vendors scale it oddly.

    GE writes a fraction or a multiple of it there; Siemens and Philips write mAs per slice.
    """
    current, time = positive(header, "XRayTubeCurrent"), positive(header, "ExposureTime")
    if current and time:
        return round(current * time / 1000, 3)
    exposure, micro = positive(header, "Exposure"), positive(header, "ExposureInuAs")
    return exposure or (round(micro / 1000, 3) if micro else None)


def _contrast(header: Dataset) -> bool | None:
    """Whether a contrast agent was given.

    The elements are there only if it was (DICOM PS3.3 C.7.6.4b), so without any of them it was not;
    but many scanners write ContrastBolusAgent always, so an empty one means nothing.
    """
    agent = " ".join(texts(header, "ContrastBolusAgent")).lower()
    if agent:
        return agent not in _NO_CONTRAST
    given = ("ContrastBolusVolume", "ContrastBolusStartTime", "ContrastFlowRate")
    if (
        any(positive(header, keyword) for keyword in given)
        or texts(header, "ContrastBolusRoute")
        or header.get("ContrastBolusAgentSequence")
    ):
        return True
    return None if "ContrastBolusAgent" in header else False
