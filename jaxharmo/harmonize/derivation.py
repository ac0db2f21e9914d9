"""Provenance of a harmonized series, for DICOM headers, file names and sidecars."""

import dataclasses
from collections.abc import Callable
from datetime import datetime

import numpy as np
from jaxtyping import Float, Float32

from jaxharmo.harmonize.textures import Textures
from jaxharmo.version import __version__

Translate = Callable[[Float32[np.ndarray, "n h w"], str, float], Float[np.ndarray, "n h w"]]
"""Slices in HU and the name of their domain -> slices in HU."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Derivation:
    """Everything that, with the source, determines an output."""

    model: str
    """Name of the model, for people."""
    digest: str
    """SHA-256 of its weights, hexadecimal."""
    to: str
    """Domain of the result."""
    style: str = "mean"
    """Where the style comes from: ``mean``, a seed, or the digest of a reference."""
    precision: str = "float32"
    """Of the generator."""
    origin: str = ""
    """Domain of the source; empty where its kernel is not known."""
    kernel_tag: bool = False
    """ConvolutionKernel is set to the target's."""
    date: datetime | None = None
    """When it was done; None: left out, so that the same input gives the same bytes."""

    @property
    def identity(self) -> list[str]:
        """What makes two outputs of one source different objects."""
        return [
            self.digest,
            self.to,
            self.style,
            self.precision,
            self.origin,
            "target kernel" if self.kernel_tag else "",
            self.date.isoformat() if self.date else "",
        ]

    @property
    def text(self) -> str:
        """The whole of it in one sentence."""
        return (
            f"CT harmonization by jaxharmo {__version__}, research use only, not for diagnosis: "
            f"from {self.origin or 'unknown kernel'} to {self.to} (style: {self.style}); "
            f"model {self.model}, {self.precision}, SHA-256 {self.digest}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """One way to translate series: the function with its style, and its provenance."""

    translate: Translate
    derivation: Derivation
    """Without the source's domain."""
    domains: tuple[str, ...] = ()
    """That the model was trained on; empty: not known."""
    textures: Textures | None = None
    """Of those domains, where known."""
    batch: int = 8
    """Slices translated at a time."""
    needs_source: bool = False
    """Whether the source's domain must be one of ``domains``; it is guessed where it is not."""
