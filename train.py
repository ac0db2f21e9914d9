"""Train a harmonization model, then evaluate it; without arguments, the embedded demo."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo import flags, runtime
from jaxharmo.config import Config
from jaxharmo.experiment import DEMO, config_from_file, evaluate_run, train_run
from jaxharmo.preemption import end_on_sigterm


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train a harmonization model, then evaluate it; without arguments, the embedded demo.

    The same command again goes on from the newest checkpoint. Research use; not a medical device.
    """

    config: Path = DEMO
    """Python file with get_config(), which is run; its values are the defaults of the options."""
    workdir: Path | None = None
    """Folder of the run; runs/<name of the config file> if not given."""
    data: Path | None = None
    """Shard set; without it and data.shards, a phantom is made under the folder of the run."""
    cluster: Annotated[runtime.Cluster, tyro.conf.arg(name="", prefix_name=False)] = (
        dataclasses.field(default_factory=runtime.Cluster)
    )
    settings: Annotated[Config, tyro.conf.arg(name="", prefix_name=False)] = Config()


def main() -> None:
    """Flags -> config -> train and evaluate."""
    args = sys.argv[1:]
    config = flags.peek(args, "--config") or DEMO
    default = Train(config=config, settings=config_from_file(config))
    chosen = flags.parse(Train, args, default=default)
    workdir = chosen.workdir or Path("runs") / config.stem
    end_on_sigterm()
    runtime.keep_compilations()
    runtime.start_distributed(chosen.cluster)
    step = train_run(chosen.settings, workdir, chosen.data)
    main_process = runtime.is_main_process()
    runtime.leave_cluster()
    if main_process:
        print(evaluate_run(workdir, step))


if __name__ == "__main__":
    flags.run(main)
