"""``jaxharmo rescan``."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo.console import message
from jaxharmo.data.manifest import in_words
from jaxharmo.data.rescan import RescanConfig, rescan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rescan:
    """Slices of a shard set, acquired anew on virtual scanners: paired domains."""

    shards: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SHARDS")]]
    """Shard set whose slices are the objects."""
    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="OUT")]]
    """Folder to write; an unfinished set of the same settings goes on where it stopped."""
    settings: Annotated[RescanConfig, tyro.conf.arg(name="", prefix_name=False)] = RescanConfig()
    workers: int = 0
    """Processes; 0 is one a core."""

    def run(self) -> None:
        """Scan and print the content of the set."""
        manifest = rescan(
            self.shards, self.out, self.settings, workers=self.workers, report=message
        )
        print(in_words(self.out, manifest))
