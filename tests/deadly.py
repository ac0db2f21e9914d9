"""Slices that end the process, or raise what is no ``Exception``, in decoders of today."""

import struct

import pydicom
from dicom_files import ct_slice, save
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, RLELossless


def rle_that_panics(index, path, **tags):
    """Both segments hold more pixels than the image: an index out of bounds, in Rust."""
    dataset = ct_slice(index, **tags)
    segment = b"\x81\0" * (dataset.Rows * dataset.Columns // 128 + 1)
    head = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13)
    dataset.PixelData = encapsulate([head + 2 * segment])
    return save(dataset, path, RLELossless)


def jpeg_2000_that_aborts(index, path, **tags):
    """One byte is wrong: pixels of 65 bits."""
    dataset = pydicom.dcmread(save(ct_slice(index, **tags), path))
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.save_as(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"\xff\x4f\xff\x51") + 42] = 64
    path.write_bytes(data)
    return path
