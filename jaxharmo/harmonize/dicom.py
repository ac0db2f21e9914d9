"""A CT slice and its harmonized pixels -> a derived DICOM image.

The derived image (DICOM PS3.3 A.3, C.7.6.1, C.12.1) stands in the same study and frame of reference
as its source, under new identifiers that the same source, model and target always give again.
"""

import copy

import numpy as np
from jaxtyping import Int16
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from jaxharmo.data.prepare.domains import clean, kernel_of
from jaxharmo.data.prepare.pixels import padding_hu
from jaxharmo.harmonize.derivation import Derivation
from jaxharmo.version import __version__

SERIES_NUMBER_OFFSET = 9000
_SERIES_DESCRIPTION_LENGTH = 64
_DERIVATION_DESCRIPTION_LENGTH = 1024
_KERNEL_LENGTH = 16
# Elements that describe the old pixels, or sign them.
_OUTDATED = (
    "DigitalSignaturesSequence", "IconImageSequence", "InstanceCreationDate",
    "InstanceCreationTime", "InstanceCreatorUID",
    "LargestImagePixelValue", "LargestPixelValueInSeries", "MACParametersSequence", "PixelData",
    "PixelPaddingRangeLimit", "PixelPaddingValue", "SmallestImagePixelValue",
    "SmallestPixelValueInSeries",
)  # fmt: skip


def derived_uid(source: str, derivation: Derivation) -> UID:
    """The identifier of what is derived from the object with the identifier ``source``."""
    return generate_uid(entropy_srcs=["jaxharmo", source, *derivation.identity])


def derive(source: Dataset, hu: Int16[np.ndarray, "h w"], derivation: Derivation) -> Dataset:
    """A new data set with ``hu`` as pixels; ``source`` is left as it is.

    ConvolutionKernel stays as acquired, as it states how the image was reconstructed, not how it
    looks; ``derivation.kernel_tag`` sets it to the target's for pipelines that select by it. The
    date and time of the series and its content stay, too, unless ``derivation.date`` gives others:
    without a clock the same source gives the same bytes.
    """
    derived = copy.deepcopy(source)
    padding = padding_hu(source)
    for keyword in _OUTDATED:
        if keyword in derived:
            delattr(derived, keyword)
    _set_pixels(derived, hu, padding)
    _identify(derived, source, derivation)
    _describe(derived, source, derivation)
    return derived


def _set_pixels(derived: Dataset, hu: Int16[np.ndarray, "h w"], padding: float | None) -> None:
    derived.Rows, derived.Columns = hu.shape
    derived.SamplesPerPixel, derived.PhotometricInterpretation = 1, "MONOCHROME2"
    derived.BitsAllocated, derived.BitsStored, derived.HighBit = 16, 16, 15
    derived.PixelRepresentation = 1
    derived.RescaleSlope, derived.RescaleIntercept, derived.RescaleType = 1, 0, "HU"
    if padding is not None and np.any(hu == round(padding)):
        derived.add(DataElement("PixelPaddingValue", "SS", round(padding)))
    derived.add(DataElement("PixelData", "OW", hu.astype("<i2").tobytes()))


def _identify(derived: Dataset, source: Dataset, derivation: Derivation) -> None:
    derived.SOPInstanceUID = derived_uid(source.SOPInstanceUID, derivation)
    derived.SeriesInstanceUID = derived_uid(source.SeriesInstanceUID, derivation)
    derived.preamble = bytes(128)
    derived.file_meta = FileMetaDataset()
    derived.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
    derived.file_meta.MediaStorageSOPInstanceUID = derived.SOPInstanceUID
    derived.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if derivation.date:
        for keyword in ("InstanceCreation", "Content", "Series"):
            setattr(derived, f"{keyword}Date", derivation.date.strftime("%Y%m%d"))
            setattr(derived, f"{keyword}Time", derivation.date.strftime("%H%M%S"))


def _describe(derived: Dataset, source: Dataset, derivation: Derivation) -> None:
    flavour = [str(value) for value in source.get("ImageType") or []][2:] or ["AXIAL"]
    derived.ImageType = ["DERIVED", "SECONDARY", *flavour]
    derived.SeriesNumber = _number(source, "SeriesNumber") + SERIES_NUMBER_OFFSET
    label = f" harm->{_ascii(kernel_of(derivation.to))}"[:_SERIES_DESCRIPTION_LENGTH]
    original = clean(str(source.get("SeriesDescription") or "").replace("\\", " "))
    original = original[: _SERIES_DESCRIPTION_LENGTH - len(label)]
    derived.SeriesDescription = f"{original}{label}".replace("\\", "/").strip()
    derived.DerivationDescription = _ascii(derivation.text)[:_DERIVATION_DESCRIPTION_LENGTH]
    if derivation.kernel_tag:
        kernels = _ascii(kernel_of(derivation.to)).replace("\\", "/").split("/")
        derived.ConvolutionKernel = [kernel[:_KERNEL_LENGTH] for kernel in kernels]

    image = Dataset()
    image.ReferencedSOPClassUID = source.SOPClassUID
    image.ReferencedSOPInstanceUID = source.SOPInstanceUID
    image.PurposeOfReferenceCodeSequence = _code(
        "121322", "Source image for image processing operation"
    )
    derived.SourceImageSequence = Sequence([image])

    # Without ManufacturerModelName and SoftwareVersions: dcm2niix takes those of any nested item
    # for those of the scanner.
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = _code("109102", "Processing Equipment")
    equipment.Manufacturer = "jaxharmo"
    if derivation.date:
        equipment.ContributionDateTime = derivation.date.strftime("%Y%m%d%H%M%S")
    equipment.ContributionDescription = f"CT harmonization, jaxharmo {__version__}"
    earlier = derived.get("ContributingEquipmentSequence") or []
    derived.ContributingEquipmentSequence = Sequence([*earlier, equipment])


def _code(value: str, meaning: str) -> Sequence:
    """One code of the DICOM controlled terminology (PS3.16)."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return Sequence([code])


def _number(source: Dataset, keyword: str) -> int:
    """An integer of up to nine digits, else 0."""
    text = str(source.get(keyword) or "").strip()
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _ascii(text: str) -> str:
    """Text that any SpecificCharacterSet of the source can hold."""
    return clean(text).encode("ascii", "replace").decode()
