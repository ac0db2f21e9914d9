"""``jaxharmo eval``, and ``eval.py`` of a clone."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxharmo import flags, runtime
from jaxharmo.config import EvalConfig
from jaxharmo.console import message
from jaxharmo.data.prepare.workers import Job
from jaxharmo.evaluation.compare import compare_runs
from jaxharmo.experiment import evaluate_run, next_command
from jaxharmo.saved_config import read_config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate a checkpoint into RUN/eval/<step>/.

    With --compare RUN RUN [RUN ...] instead of options: compare finished evaluations
    (--compare --help). Research use; not a medical device.
    """

    workdir: Path
    """Folder of the training run; its settings are the defaults of the options (--workdir RUN
    --help shows them)."""
    step: int | None = None
    """Checkpoint; the newest if not given."""
    split: Literal["train", "validation", "test"] | None = None
    """Split to translate; eval.split if not given."""
    data: Path | None = None
    """Shard set; the one of the training if not given."""
    print_config: bool = False
    """Print the settings of the evaluation, as JSON, and do nothing else."""
    eval: EvalConfig = EvalConfig()
    job: Annotated[Job, tyro.conf.arg(name="", prefix_name=False)] = Job(workers=1)
    cluster: Annotated[runtime.Cluster, tyro.conf.arg(name="", prefix_name=False)] = (
        dataclasses.field(default_factory=runtime.Cluster)
    )

    def run(self) -> None:
        """Evaluate and print the table."""
        settings = dataclasses.replace(self.eval, split=self.split or self.eval.split)
        if self.print_config:
            print(json.dumps(dataclasses.asdict(settings), indent=2, ensure_ascii=False))
            return
        runtime.keep_compilations()
        runtime.start_distributed(self.cluster)
        results = evaluate_run(self.workdir, self.step, self.data, settings, self.job)
        if results:
            print(results)
            message(f"next: {next_command(self.workdir)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compare:
    """Put the newest evaluations of runs side by side, with tests paired by slice."""

    compare: tuple[Path, ...]
    """Folders of the runs; the others are compared with the first."""
    output: Path = Path("comparison")
    """Folder for comparison.html and comparison.csv."""

    def run(self) -> None:
        """Compare and print the table."""
        print(compare_runs(self.compare, self.output))


def parse(args: Sequence[str], prog: str) -> Evaluate | Compare:
    """The options in ``args``, with the evaluation settings of the run as defaults."""
    if any(word.split("=")[0] == "--compare" for word in args):
        return flags.parse(Compare, args, prog=prog)
    workdir = flags.peek(args, "--workdir")
    settings = read_config(Path(workdir)).eval if workdir else EvalConfig()
    default = Evaluate(workdir=Path(workdir) if workdir else tyro.MISSING, eval=settings)
    return flags.parse(Evaluate, args, default=default, prog=prog)
