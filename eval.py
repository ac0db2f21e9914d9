"""Evaluate a checkpoint of a run: distances, radiomics, structure, texture, and a report."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import tyro

from jaxharmo import flags
from jaxharmo.config import EvalConfig, read_config
from jaxharmo.evaluation.compare import compare_runs
from jaxharmo.experiment import evaluate_run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate a checkpoint into RUN/eval/<step>/, or compare finished evaluations of runs.

    Research use; not a medical device.
    """

    workdir: Path
    """Folder of the run, as train.py wrote it."""
    step: int | None = None
    """Checkpoint; the newest if not given."""
    split: Literal["train", "validation", "test"] | None = None
    """Split to translate; eval.split if not given."""
    data: Path | None = None
    """Shard set; the one of the training if not given."""
    eval: EvalConfig = EvalConfig()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compare:
    """Put the newest evaluations of runs side by side, with tests paired by slice."""

    compare: tuple[Path, ...]
    """Folders of the runs; the others are compared with the first."""
    output: Path = Path("comparison")
    """Folder for comparison.html and comparison.csv."""


def main() -> None:
    """Flags -> config -> evaluate, or compare."""
    args = sys.argv[1:]
    if any(word.split("=")[0] == "--compare" for word in args):
        wanted = flags.parse(Compare, args)
        print(compare_runs(wanted.compare, wanted.output))
        return
    workdir = flags.peek(args, "--workdir")
    settings = read_config(workdir).eval if workdir else EvalConfig()
    default = Evaluate(workdir=workdir or tyro.MISSING, eval=settings)
    chosen = flags.parse(Evaluate, args, default=default)
    settings = dataclasses.replace(chosen.eval, split=chosen.split or chosen.eval.split)
    print(evaluate_run(chosen.workdir, chosen.step, chosen.data, settings))


if __name__ == "__main__":
    flags.run(main)
