"""``jaxharmo train``, and ``train.py`` of a clone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo import flags, runtime
from jaxharmo.config import Config
from jaxharmo.config_files import DEMO, find_config, load_config
from jaxharmo.experiment import evaluate_run, train_run
from jaxharmo.preemption import end_on_sigterm


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train a harmonization model, then evaluate it; without arguments, the embedded demo.

    The same command again resumes from the newest checkpoint. Research use; not a medical device.
    """

    config: str = DEMO
    """Name of a shipped config, or path of a Python file with get_config(), which is run; its
    values are the defaults of the options."""
    workdir: Path | None = None
    """Folder of the run; runs/<name of the config file> if not given."""
    data: Path | None = None
    """Shard set; without it and data.shards, a phantom is made under the folder of the run."""
    cluster: Annotated[runtime.Cluster, tyro.conf.arg(name="", prefix_name=False)] = (
        dataclasses.field(default_factory=runtime.Cluster)
    )
    settings: Annotated[Config, tyro.conf.arg(name="", prefix_name=False)] = Config()

    def run(self) -> None:
        """Train and evaluate."""
        workdir = self.workdir or Path("runs") / find_config(self.config).stem
        end_on_sigterm()
        runtime.keep_compilations()
        runtime.start_distributed(self.cluster)
        step = train_run(self.settings, workdir, self.data)
        main_process = runtime.is_main_process()
        runtime.leave_cluster()
        if main_process:
            print(evaluate_run(workdir, step))


def parse(args: Sequence[str], prog: str) -> Train:
    """The options in ``args``, with the values of the chosen config as defaults."""
    config = flags.peek(args, "--config") or DEMO
    default = Train(config=config, settings=load_config(config))
    return flags.parse(Train, args, default=default, prog=prog)
