"""``jaxharmo domains``."""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo.console import message, track
from jaxharmo.evaluation.domains import StudyConfig, study_domains
from jaxharmo.evaluation.domains.report import ranking


@dataclasses.dataclass(frozen=True)
class Domains:
    """Find the acquisition factors that change texture, and the domains to train on."""

    shard_dir: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SHARD_DIR")]]
    """Shard set to study."""
    output: Path | None = None
    """Folder for report.html, CSVs and domains.json; SHARD_DIR/domains if not given."""
    settings: Annotated[StudyConfig, tyro.conf.arg(name="", prefix_name=False)] = StudyConfig()

    def run(self) -> None:
        """Study the set and print the result."""
        output = self.output or self.shard_dir / "domains"
        study = study_domains(
            self.shard_dir,
            output,
            self.settings,
            lambda items, total: track(items, total, "domains", "slice"),
        )
        print("\n".join(ranking(study.effects)))
        best = study.best or "none, too few patients to judge"
        print(f"best definition of a domain: {best}")
        for warning in study.proposal.warnings:
            message(f"warning: {warning}")
        print(output / "report.html")
        shards = shlex.quote(str(self.shard_dir))
        message(f"next: jaxharmo train --config smoke --data {shards} {study.proposal.arguments}")
