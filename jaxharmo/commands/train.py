"""``jaxharmo train``, and ``train.py`` of a clone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxharmo import runtime
from jaxharmo.commands.chosen_config import ChosenConfig, parse_with_config
from jaxharmo.config_files import find_config
from jaxharmo.console import message
from jaxharmo.experiment import evaluate_run, next_command, train_run
from jaxharmo.preemption import end_on_sigterm


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train a harmonization model, then evaluate it; without arguments, the embedded demo.

    The same command again resumes from the newest checkpoint. Research use; not a medical device.
    """

    workdir: Path | None = None
    """Folder of the run; runs/<name of the config file> if not given."""
    data: Path | None = None
    """Shard set; without it and data.shards, a phantom is made under the folder of the run."""
    chosen: Annotated[ChosenConfig, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=ChosenConfig
    )
    cluster: Annotated[runtime.Cluster, tyro.conf.arg(name="", prefix_name=False)] = (
        dataclasses.field(default_factory=runtime.Cluster)
    )

    def run(self) -> None:
        """Train and evaluate."""
        workdir = self.workdir or Path("runs") / find_config(self.chosen.config).stem
        end_on_sigterm()
        runtime.keep_compilations()
        runtime.start_distributed(self.cluster)
        step = train_run(self.chosen.settings, workdir, self.data)
        results = evaluate_run(workdir, step)
        if results:
            print(results)
            message(f"next: {next_command(workdir)}")


def parse(args: Sequence[str], prog: str) -> Any:
    """The options in ``args``, with the values of the chosen config as defaults."""
    return parse_with_config(Train, args, prog)
