"""The same slice in every transfer syntax."""

import numpy as np
import pydicom
import pytest
from dicom_files import save
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)


def compress(path, syntax):
    dataset = pydicom.dcmread(path)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path)


def compress_by_gdcm(path, name):
    gdcm = pytest.importorskip("gdcm")
    reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def turn_to_big_endian(dataset, path):
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
    save(dataset, path, ExplicitVRBigEndian)


def save_compressed(syntax):
    return lambda dataset, path: compress(save(dataset, path), syntax)


def save_by_gdcm(name):
    return lambda dataset, path: compress_by_gdcm(save(dataset, path), name)


SYNTAXES = {
    "explicit": save,
    "implicit": lambda dataset, path: save(dataset, path, ImplicitVRLittleEndian),
    "big endian": turn_to_big_endian,
    "deflated": lambda dataset, path: save(dataset, path, DeflatedExplicitVRLittleEndian),
    "RLE": save_compressed(RLELossless),
    "JPEG lossless": save_by_gdcm("JPEGLosslessProcess14_1"),
    "JPEG-LS": save_compressed(JPEGLSLossless),
    "JPEG 2000": save_compressed(JPEG2000Lossless),
}
"""Each takes a data set and the path to write it to."""
