"""One volume through one method: read, translate, measure, write atomically."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from jaxharmo.console import Progress
from jaxharmo.data.prepare.pixels import SCALE, Pixels
from jaxharmo.errors import InputError
from jaxharmo.harmonize.derivation import Derivation, Method
from jaxharmo.harmonize.quality import Quality, as_lines, is_far
from jaxharmo.harmonize.stream import overlapped
from jaxharmo.harmonize.textures import looked_at
from jaxharmo.version import __version__

SIDECAR_VERSION = 1
Report = Callable[[str], object]


class Writer(Protocol):
    """Takes the slices of a volume in any order, then its sidecar."""

    def write(self, number: int, payload: Any, hu: Float[np.ndarray, "h w"]) -> None:
        """Slice ``number``, from 0, HU; ``payload`` is what was read with it."""
        ...

    def sidecar(self, text: str) -> None:
        """The figures about the volume, as JSON."""
        ...


class Volume(Protocol):
    """A series or image to harmonize: slices from bottom to top, all of one size."""

    origin: str
    """Domain; empty where not known."""

    @property
    def spacing(self) -> float:
        """Distance of pixels, mm."""
        ...

    @property
    def remarks(self) -> list[str]:
        """Warnings about it as it is."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest that identifies it."""
        ...

    def __len__(self) -> int:
        """Number of slices."""
        ...

    def read(self, number: int) -> tuple[Any, Pixels]:
        """Slice ``number`` and what its writing needs; ``InputError`` where it is damaged."""
        ...

    def is_finished(self, destination: Path, derivation: Derivation) -> bool:
        """Whether this output is there already; ``InputError`` where something else is."""
        ...

    def writing(
        self, destination: Path, derivation: Derivation
    ) -> contextlib.AbstractContextManager[Writer]:
        """What is written appears at ``destination`` when the context is left without error."""
        ...


def harmonize_volume(
    volume: Volume, destination: Path, method: Method, report: Report, origin: str | None = None
) -> bool:
    """Translate one volume into ``destination``; False where that was done before.

    ``origin``: the source's domain, instead of that from its headers. Padding and all that lies
    outside the CT scale keep their value. Raises ``InputError`` where ``destination`` holds
    something else or a slice cannot be read, ``FloatingPointError`` where the model fails.
    """
    known = volume.origin if origin is None else origin
    derivation = dataclasses.replace(method.derivation, origin=known)
    if volume.is_finished(destination, derivation):
        report(f"{destination}: already done")
        return False
    start = _start(volume, method, known)
    quality = Quality(len(volume), method.textures)
    with (
        volume.writing(destination, derivation) as writer,
        Progress("translating", len(volume), "slice", report) as progress,
    ):

        def finish(number: int, item: tuple[Any, Pixels], hu: Float[np.ndarray, "h w"]) -> None:
            payload, pixels = item
            quality.add(number, pixels.hu, hu, pixels.padding)
            writer.write(number, payload, hu)

        overlapped(
            len(volume),
            volume.read,
            lambda items: _translated(
                method, [pixels for _, pixels in items], start, volume.spacing
            ),
            finish,
            batch=method.batch,
            advance=progress.advance,
        )
        figures = quality.summary(derivation.to)
        warnings = [*volume.remarks, *_warnings(method, known, start, volume.spacing, figures)]
        writer.sidecar(_sidecar(derivation, len(volume), figures, warnings))
    report(f"{destination}: {len(volume)} slices, {known or 'unknown'} to {derivation.to}")
    for line in as_lines(figures):
        report(line)
    for warning in warnings:
        report(f"  warning: {warning}")
    return True


def _translated(
    method: Method, slices: list[Pixels], origin: str, pixel: float
) -> list[Float[np.ndarray, "h w"]]:
    """Translated slices, with the padding written back."""
    original = np.stack([pixels.hu for pixels in slices])
    padding = np.stack([pixels.padding for pixels in slices])
    seen = np.stack([_as_seen(pixels) for pixels in slices])
    result = np.asarray(method.translate(seen, origin, pixel))
    if result.shape != original.shape or not np.isfinite(result).all():
        raise FloatingPointError("the model returned no finite image for every slice")
    return list(np.where(padding, original, result))


def _start(volume: Volume, method: Method, origin: str) -> str:
    """The domain that the translation starts from: ``origin``, or else the one nearest in texture.

    ``InputError`` where the model needs it and it cannot be found.
    """
    if not method.needs_source or origin in method.domains:
        return origin
    found = ""
    if method.textures:
        slices = [volume.read(number)[1] for number in looked_at(len(volume)).tolist()]
        found = method.textures.recognise([_as_seen(each) for each in slices], volume.spacing)
    if not found:
        raise InputError(
            "the model needs the source's domain, and neither headers nor texture show it; "
            f"name it with --from, one of: {', '.join(sorted(method.domains))}"
        )
    return found


def _as_seen(pixels: Pixels) -> Float[np.ndarray, "h w"]:
    """HU for the model: padding becomes air, as in training."""
    return np.where(pixels.padding, np.float32(SCALE[0]), pixels.hu)


def _warnings(
    method: Method, origin: str, start: str, spacing: float, figures: dict[str, Any]
) -> list[str]:
    warnings = []
    if start != origin:
        warnings.append(f"translated as if from {start}, the domain nearest in texture; see --from")
    if not origin:
        warnings.append(
            "the source's domain is not known (no kernel in the headers); only its texture is"
        )
    elif method.domains and origin not in method.domains:
        warnings.append("the model was not trained on the source's domain")
    if method.textures and not method.textures.has_spacing(spacing):
        warnings.append(f"pixels of {spacing:.3g} mm are unlike those of the training")
    if is_far(figures):
        distance, nearest = figures["texture"]["distance"], figures["texture"]["nearest"]
        warnings.append(
            f"out of distribution: the input's texture lies {distance:g} SD from the nearest "
            f"training domain, {nearest}"
        )
    return warnings


def _sidecar(
    derivation: Derivation, slices: int, figures: dict[str, Any], warnings: list[str]
) -> str:
    content = {
        "format_version": SIDECAR_VERSION,
        "tool": f"jaxharmo {__version__}",
        "model": derivation.model,
        "sha256": derivation.digest,
        "precision": derivation.precision,
        "style": derivation.style,
        "from": derivation.origin or None,
        "to": derivation.to,
        "slices": slices,
        "quality": figures,
        "warnings": warnings,
        "notice": "research use only, not for diagnosis",
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
