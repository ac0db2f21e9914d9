"""What a run tells: scalars and pictures, to JSON lines, TensorBoard and the console."""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from skimage.io import imsave
from tensorboardX import SummaryWriter
from tqdm import tqdm

from jaxharmo.files import write_text

Item = TypeVar("Item")
METRICS = "metrics.jsonl"
SAMPLES = "samples"


class Journal:
    """Writes ``RUN/metrics.jsonl``, ``RUN/tensorboard/`` and ``RUN/samples/*.png``.

    ``step`` is where the run goes on: what an earlier, interrupted attempt wrote beyond it is
    dropped, so that every step is told once.
    """

    def __init__(self, workdir: Path, step: int):
        self._samples = workdir / SAMPLES
        self._samples.mkdir(parents=True, exist_ok=True)
        self._metrics = workdir / METRICS
        _keep_until(self._metrics, step)
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One line of metrics."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | dict(values)) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels: UInt8[np.ndarray, "h w"]) -> None:
        """One grey picture, ``samples/<name>-<step>.png``."""
        imsave(self._samples / f"{name}-{step:07d}.png", pixels, check_contrast=False)
        self._board.add_image(name, pixels, step, dataformats="HW")


def _keep_until(path: Path, step: int) -> None:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    write_text(path, "".join(line for line in lines if _step_of(line) <= step))


def _step_of(line: str) -> float:
    """The step that a whole line tells of; infinite for one that a crash left damaged."""
    try:
        return json.loads(line)["step"] if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def tell(message: str) -> None:
    """One line for the user who waits; what a command is asked for goes to standard output."""
    print(message, file=sys.stderr, flush=True)


def progress(items: Iterable[Item], total: int, what: str, start: int = 0) -> Iterator[Item]:
    """Show how far ``items`` have come: a bar on a terminal, about ten plain lines elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(items, what, total, initial=start, leave=False, dynamic_ncols=True)
        return
    for number, item in enumerate(items, start + 1):
        yield item
        if number == total or number * 10 // total > (number - 1) * 10 // total:
            tell(f"{what}: {number}/{total}")
