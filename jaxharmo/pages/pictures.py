"""Pictures inside a page, as data URIs."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import Real, UInt8

_GREYS = 64
_SHADES = 15
"""Steps of a difference, either side of zero."""
BLUE, RED = (33, 74, 160), (172, 28, 38)


def grey(hu: Real[np.ndarray, "h w"], window: Sequence[float]) -> UInt8[np.ndarray, "h w"]:
    """HU in a window as 64 grey levels: in noise no more can be distinguished, and files halve."""
    low, high = window
    step = np.floor((_GREYS - 1) * np.clip((hu - low) / (high - low), 0, 1) + 0.5)
    return np.round(255 / (_GREYS - 1) * step).astype(np.uint8)


def difference(hu: Real[np.ndarray, "h w"], full: float) -> UInt8[np.ndarray, "h w 3"]:
    """Blue below zero, white at zero, red above; deepest from ``full`` HU on, in 15 steps."""
    strength = np.round(_SHADES * np.clip(hu / full, -1, 1))[..., None] / _SHADES
    end = np.where(strength < 0, BLUE, RED)
    return np.round(255 + np.abs(strength) * (end - 255.0)).astype(np.uint8)


def lossless(pixels: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]) -> str:
    """Data URI of a picture, WebP without loss: smaller than PNG."""
    stream = io.BytesIO()
    image = PIL.Image.fromarray(pixels).convert("RGB")
    image.save(stream, "WEBP", lossless=True, quality=75, method=4)
    return _uri("webp", stream.getvalue())


def png(path: Path) -> str:
    """Data URI of a PNG file as it is."""
    return _uri("png", path.read_bytes())


def figure(uri: str, caption: str, kind: str) -> str:
    """A picture with its caption, which is escaped; ``kind`` is its class in the style sheet."""
    text = html.escape(caption)
    return (
        f'<figure><img class="{kind}" src="{uri}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
