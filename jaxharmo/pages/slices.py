"""CT slices inside a page: whole steps of HU, packed without loss, unpacked by ``viewer.js``.

Values are predicted by the mean of their left and upper neighbours, after the values of a similar
slice were subtracted where that makes them smaller, and the residuals are compressed with DEFLATE.
Browsers inflate that themselves (``DecompressionStream``). A picture format would have to be read
back from a canvas, which browsers that guard against fingerprinting answer with false values.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, Real, UInt8

LOWEST, HIGHEST = -1024, 3071
"""HU that are kept; values outside are cut."""


class SliceStore:
    """The slices of a page; each is stored once, however many viewers show it."""

    def __init__(self, step: int = 1):
        """``step``: resolution in HU; values are off by half of it at most."""
        self._step = step
        self._values: list[Int32[np.ndarray, "h w"]] = []
        self._entries: list[dict] = []
        self._known: dict[str, int] = {}

    def add(self, hu: Real[np.ndarray, "h w"], near: Sequence[int] = ()) -> int:
        """Keep a slice, HU; its number.

        ``near``: numbers of slices of the same shape that it may resemble.
        """
        kept = np.rint((np.clip(hu, LOWEST, HIGHEST) - LOWEST) / self._step).astype(np.int32)
        key = hashlib.sha256(repr(kept.shape).encode() + kept.tobytes()).hexdigest()
        if key not in self._known:
            candidates = [(pack(kept), None)]
            candidates += [(pack(kept - self._values[number]), number) for number in near]
            content, base = min(candidates, key=lambda candidate: len(candidate[0]))
            self._known[key] = len(self._entries)
            self._values.append(kept)
            self._entries.append(
                {
                    "height": kept.shape[0],
                    "width": kept.shape[1],
                    "base": base,
                    "data": base64.b64encode(content).decode(),
                }
            )
        return self._known[key]

    def html(self) -> str:
        """The element that ``viewer.js`` reads."""
        content = {"lowest": LOWEST, "step": self._step, "slices": self._entries}
        return f'<script type="application/json" id="slices">{json.dumps(content)}</script>'


def pack(values: Int32[np.ndarray, "h w"]) -> bytes:
    """Residuals of a prediction, below 2^15 in size, as low bytes then high bytes, compressed."""
    left = np.empty_like(values)
    left[:, 1:] = values[:, :-1]
    above = np.empty_like(values)
    above[1:] = values[:-1]
    left[1:, 0], above[0, 1:] = above[1:, 0], left[0, 1:]
    left[0, 0] = above[0, 0] = 0
    residual = values - ((left + above) >> 1)
    # 0, -1, 1, -2, 2, … -> 0, 1, 2, 3, 4, …
    folded = np.where(residual < 0, -2 * residual - 1, 2 * residual)
    planes: UInt8[np.ndarray, "2 h w"] = np.stack([folded & 255, folded >> 8]).astype(np.uint8)
    # Noise has no repeated strings for DEFLATE to find, only runs.
    packer = zlib.compressobj(9, strategy=zlib.Z_RLE)
    return packer.compress(planes.tobytes()) + packer.flush()
