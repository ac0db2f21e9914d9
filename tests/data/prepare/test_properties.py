"""Properties of readers and geometry, on whatever Hypothesis thinks of."""

import math

import numpy as np
from dicom_files import ct_slice, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from jaxharmo.data.body import body_box
from jaxharmo.data.prepare.domains import clean, domain_name
from jaxharmo.data.prepare.headers import MAX_SIDE, SPACING, Skipped, SliceFile, read_header
from jaxharmo.data.prepare.pixels import Pixels, read_slices
from jaxharmo.data.prepare.series import group
from jaxharmo.data.records import Slice, SliceHeader, decode, encode
from jaxharmo.files import defused

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
lengths = some.floats(0.05, 15, allow_nan=False)
heights = some.floats(-2000, 2000, allow_nan=False)
angles = some.floats(-math.pi, math.pi, allow_nan=False)


def number(value):
    """As a decimal string of DICOM, 16 characters at most."""
    return f"{value:.9g}"[:16]


def turned(first, second):
    """Two perpendicular directions in any orientation."""
    rows = np.array([math.cos(first), math.sin(first), 0])
    columns = np.array([-math.sin(first) * math.cos(second), math.cos(first) * math.cos(second),
                        math.sin(second)])  # fmt: skip
    return [number(value) for value in (*rows, *columns)]


@few
@given(lengths, heights, angles, angles)
def test_positions_run_along_the_normal(tmp_path, spacing, height, first, second):
    orientation = turned(first, second)
    normal = np.cross(*np.array(orientation, float).reshape(2, 3))
    place = [number(value) for value in height * normal]
    dataset = ct_slice(
        0,
        ImageOrientationPatient=orientation,
        ImagePositionPatient=place,
        PixelSpacing=[number(spacing)] * 2,
    )
    found = read_header(save(dataset, tmp_path / "x"), "x")
    assert isinstance(found, SliceFile)
    assert abs(found.position - height) < 1e-2
    assert abs(found.corner[0]) < 1e-2
    assert abs(found.spacing[0] - spacing) < 1e-6 * spacing


@few
@given(
    some.floats(width=32), some.floats(width=32), some.integers(0, 65535), some.integers(0, 65535)
)
def test_what_is_accepted_lies_within_the_limits(tmp_path, spacing, slope, rows, columns):
    values = [f"{value:.8g}"[:16] for value in (spacing, slope)]
    dataset = ct_slice(
        0, PixelSpacing=[values[0]] * 2, RescaleSlope=values[1], Rows=rows, Columns=columns
    )
    found = read_header(save(dataset, tmp_path / "x"), "x")
    if isinstance(found, Skipped):
        assert found.reason
        return
    assert SPACING[0] <= found.spacing[0] <= SPACING[1]
    assert all(1 <= side <= MAX_SIDE for side in found.shape)
    ((_, pixels),) = read_slices([found])
    if isinstance(pixels, Pixels):
        assert pixels.hu.shape == found.shape
        assert np.isfinite(pixels.hu).all()


@few
@given(some.text(), some.text(), some.lists(some.text(), max_size=3))
def test_names_of_domains_are_clean(manufacturer, model, kernels):
    name = domain_name(manufacturer, model, kernels)
    assert name == clean(name)
    assert name.isprintable()


@few
@given(some.permutations(range(6)))
def test_series_do_not_depend_on_the_order_of_files(tmp_path, order):
    paths = [save(ct_slice(index), tmp_path / str(index)) for index in range(6)]
    found = [read_header(paths[index], paths[index].name) for index in order]
    ((series,), skipped) = group(found)
    assert [item.name for item in series.slices] == [str(index) for index in range(6)]
    assert not skipped


@few
@given(
    some.integers(1, 40), some.integers(1, 40), some.integers(0, 2**32 - 1), some.text(max_size=20)
)
def test_records_give_back_what_was_put_in(rows, columns, seed, text):
    pixels = np.random.default_rng(seed).integers(-(2**15), 2**15, (rows, columns)).astype("<i2")
    header = SliceHeader(
        domain=3, patient=text, series="s", acquisition="a", position=1.5, spacing=(0.5, 0.7),
        body=body_box(pixels),
    )  # fmt: skip
    found = decode(encode(Slice(header, pixels)))
    assert found.header == header
    np.testing.assert_array_equal(found.pixels, pixels)


@few
@given(some.binary(max_size=300))
def test_any_bytes_are_a_record_or_a_value_error(data):
    try:
        decode(data)
    except ValueError:
        return


@few
@given(some.binary(max_size=600), some.booleans())
def test_any_bytes_are_a_slice_or_skipped(tmp_path, data, marked):
    path = tmp_path / "x"
    path.write_bytes(bytes(128) + b"DICM" + data if marked else data)
    assert isinstance(read_header(path, "x"), Skipped | SliceFile)


@few
@given(some.text())
def test_no_cell_begins_like_a_formula(text):
    cell = defused(text)
    assert cell == text or cell == f"'{text}"
    assert not cell.startswith(("=", "+", "-", "@"))
