"""Scalars and pictures of a run, written as JSON lines, PNG files and for TensorBoard."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import UInt8
from tensorboardX import SummaryWriter

from jaxharmo.files import write_text

METRICS = "metrics.jsonl"
SAMPLES = "samples"


class MetricsWriter:
    """Writes ``RUN/metrics.jsonl``, ``RUN/tensorboard/`` and ``RUN/samples/*.png``.

    The run resumes after ``step``. What an interrupted attempt wrote for later steps is dropped,
    so that every step is written once.
    """

    def __init__(self, workdir: Path, step: int):
        self._samples = workdir / SAMPLES
        self._samples.mkdir(parents=True, exist_ok=True)
        self._metrics = workdir / METRICS
        _keep_until(self._metrics, step)
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> "MetricsWriter":
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
        PIL.Image.fromarray(pixels).save(self._samples / f"{name}-{step:07d}.png")
        self._board.add_image(name, pixels, step, dataformats="HW")


def _keep_until(path: Path, step: int) -> None:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    write_text(path, "".join(line for line in lines if _step_of(line) <= step))


def _step_of(line: str) -> float:
    """The step of a line; infinite for a line that a crash cut short."""
    try:
        return json.loads(line)["step"] if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
