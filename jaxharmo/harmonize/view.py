"""``jaxharmo view``: two versions of one series in a page of their own."""

import html
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxharmo.data.body import body_box
from jaxharmo.data.prepare.pixels import SCALE
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder, write_text
from jaxharmo.harmonize.batch import find_volume
from jaxharmo.harmonize.nifti import NiftiImage
from jaxharmo.harmonize.series import DicomSeries
from jaxharmo.pages.document import page
from jaxharmo.pages.pictures import difference, figure, grey, lossless
from jaxharmo.pages.slices import SliceStore
from jaxharmo.pages.viewer import LUNG, Layer, viewer

Version = DicomSeries | NiftiImage
Hu = Float[np.ndarray, "h w"]

_FULL = 150.0
"""HU at which the colours of the still difference are deepest."""
_MARGIN = 8
"""Pixels around the body."""
_DIGITS = 2
"""Positions that agree to 0.01 mm are one."""


def view(
    series: Path, result: Path, output: Path, slices: int, report: Callable[[str], object]
) -> int:
    """Write a page with both versions of at most ``slices`` slices; returns how many they are.

    Slices are matched by position, or by number where a NIfTI image has none. The page holds pixels
    and domains, nothing else of the headers, and no name of a file. Raises ``InputError`` for what
    cannot be read or does not belong together.
    """
    if slices < 1:
        raise InputError(f"--slices {slices}: must be 1 or more")
    if output.is_dir():
        raise InputError(f"{output}: a folder; name the page to write with --out PAGE.html")
    first, second = (
        find_volume(path, derived=True, ours=True, report=report) for path in (series, result)
    )
    pairs = _matched(first, second, series, result)
    picked = np.linspace(0, len(pairs) - 1, min(slices, len(pairs))).round().astype(int).tolist()
    images = [_read(first, second, pairs[index], series, result) for index in picked]
    content = _page(first, second, images, [_caption(first, pairs[index][0]) for index in picked])
    make_folder(output.parent)
    write_text(output, content)
    return len(images)


def _matched(first: Version, second: Version, series: Path, result: Path) -> list[tuple[int, int]]:
    """Numbers of the slices that both versions have."""
    if not np.isclose(first.spacing, second.spacing, rtol=1e-3):
        raise InputError(
            f"{result}: pixels of {second.spacing:.3g} mm, but {first.spacing:.3g} in {series}; "
            "give two versions on one grid"
        )
    if isinstance(first, DicomSeries) and isinstance(second, DicomSeries):
        places = {round(place, _DIGITS): number for number, place in enumerate(second.positions)}
        matched = [
            (number, places[round(place, _DIGITS)])
            for number, place in enumerate(first.positions)
            if round(place, _DIGITS) in places
        ]
        if not matched:
            raise InputError(f"{result}: no slice at a position of {series}; give the same scan")
        return matched
    if len(first) != len(second):
        raise InputError(
            f"{result}: {len(second)} slices, but {len(first)} in {series}; give the same scan"
        )
    return [(number, number) for number in range(len(first))]


def _read(
    first: Version, second: Version, numbers: tuple[int, int], series: Path, result: Path
) -> tuple[Hu, Hu]:
    one, other = (
        np.maximum(version.read(number)[1].hu, np.float32(SCALE[0]))
        for version, number in zip((first, second), numbers, strict=True)
    )
    if one.shape != other.shape:
        sizes = [f"{shape[0]} × {shape[1]}" for shape in (other.shape, one.shape)]
        raise InputError(
            f"{result}: slices of {sizes[0]} pixels, but {sizes[1]} in {series}; give two versions "
            "on one grid"
        )
    return one, other


def _caption(version: Version, number: int) -> str:
    if isinstance(version, DicomSeries):
        return f"at {version.positions[number]:.1f} mm".replace("-", "−")
    return f"number {number + 1}"


def _page(first: Version, second: Version, images: list[tuple[Hu, Hu]], captions: list[str]) -> str:
    boxes = np.array([body_box(one) for one, _ in images])
    top, left = np.maximum(boxes[:, :2].min(0) - _MARGIN, 0)
    bottom, right = boxes[:, 2:].max(0) + _MARGIN
    images = [(one[top:bottom, left:right], other[top:bottom, left:right]) for one, other in images]
    store = SliceStore()
    numbers = []
    for one, other in images:
        number = store.add(one)
        numbers.append((number, store.add(other, near=[number])))
    layers = [
        Layer("source", [number for number, _ in numbers]),
        Layer("result", [number for _, number in numbers]),
    ]
    one, other = images[len(images) // 2]
    change = f"result − source, blue −{_FULL:.0f} HU, red +{_FULL:.0f} HU"
    stills = [(grey(one, LUNG), "source"), (grey(other, LUNG), "result")]
    stills.append((difference(other - one, _FULL), change))
    still = "".join(figure(lossless(pixels), text, "slice") for pixels, text in stills)
    spacing = (first.spacing, first.spacing)
    # What was harmonized keeps the kernel of its source in its headers.
    versions = [("Source", first)] + [("Result", second)] * (second.origin != first.origin)
    domains = "".join(
        f"{name}: {html.escape(version.origin)}. " for name, version in versions if version.origin
    )
    changes = np.concatenate([(after - before).ravel() for before, after in images])
    return page(
        "jaxharmo view",
        f"""<h1>Source and result</h1>
<p>{domains}{len(images)} slices of {len(first)}; mean change {_signed(changes.mean())} HU, root
mean square {np.sqrt(np.square(changes).mean()):.1f} HU.</p>
<section>{viewer(layers, captions, None, spacing, f'<div class="strip">{still}</div>')}</section>
<p>For research. Not a medical device: not for diagnosis.</p>""",
        store,
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")
