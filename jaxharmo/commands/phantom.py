"""``jaxharmo phantom``."""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo.console import message, track
from jaxharmo.data.manifest import in_words
from jaxharmo.data.phantom import PhantomConfig, make_phantom


@dataclasses.dataclass(frozen=True)
class Phantom:
    """Write a paired chest phantom as a shard set."""

    shard_dir: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SHARD_DIR")]]
    """Folder to write; a finished phantom of the same settings is kept."""
    settings: Annotated[PhantomConfig, tyro.conf.arg(name="", prefix_name=False)] = PhantomConfig()

    def run(self) -> None:
        """Write it and print its content."""
        manifest = make_phantom(
            self.shard_dir,
            self.settings,
            lambda items, total: track(items, total, "phantom", "slice"),
        )
        print(in_words(self.shard_dir, manifest))
        message(f"next: jaxharmo train --config smoke --data {shlex.quote(str(self.shard_dir))}")
