"""The frames of an enhanced (multi-frame) CT image as if each were an image of its own.

DICOM PS3.3 A.38 and C.7.6.16: what differs between frames stands in functional groups, which all
frames share or each has its own.
"""

from collections.abc import Iterator

from pydicom.dataset import Dataset

GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""Elements of the header that are needed beside those of a single-frame image."""
# Elements of functional groups, and the equivalent ones of a single-frame image.
_SAME = {
    "FrameType": "ImageType",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "FrameAcquisitionDateTime": "AcquisitionDateTime",
    "ExposureInmAs": "Exposure",
    "XRayTubeCurrentInmA": "XRayTubeCurrent",
    "ExposureTimeInms": "ExposureTime",
    "ContrastBolusAgentAdministered": "ContrastBolusAgent",
}


def flat_frames(header: Dataset, count: int) -> Iterator[Dataset]:
    """One flat data set a frame, ``count`` of them."""
    top = Dataset()
    for element in header:
        if element.keyword not in GROUPS:
            top.add(element)
    shared = _flat(header.get(GROUPS[0]) or [])
    own = header.get(GROUPS[1]) or []
    for number in range(count):
        frame = Dataset()
        for part in (top, shared, _flat(own[number : number + 1])):
            frame.update(part)
        yield frame


def _flat(groups: list[Dataset]) -> Dataset:
    """The elements of all groups in the first item, under the names of a single-frame image."""
    flat = Dataset()
    for group in groups[0] if groups else ():
        for element in (group.value or [])[:1] if group.VR == "SQ" else ():
            for inner in element:
                if keyword := str(inner.keyword or ""):
                    setattr(flat, _SAME.get(keyword, keyword), inner.value)
    return flat
