"""``jaxharmo prepare``."""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo.console import message
from jaxharmo.data.manifest import in_words
from jaxharmo.data.prepare.collection import SKIPPED_NAME, Job, PrepareConfig, lost, prepare


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare:
    """CT series (DICOM, or NIfTI with a CSV of domains) -> slice shards and a manifest."""

    dicom_dir: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DICOM_DIR")]]
    """Folder searched for CT series, at any depth and under any file names."""
    shard_dir: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SHARD_DIR")]]
    """Folder to write: shards, dataset.json, skipped.csv, warnings.csv."""
    settings: Annotated[PrepareConfig, tyro.conf.arg(name="", prefix_name=False)] = PrepareConfig()
    labels: Path | None = None
    """CSV with the domains of NIfTI volumes: columns file and domain (or kernel, manufacturer
    and model), and optionally patient and acquisition."""
    strict: bool = False
    """Exit with 1 where a file was not used that the settings did not leave out."""
    key_file: Path | None = None
    """CSV file for the patient behind each pseudonym; outside the shard set."""
    job: Annotated[Job, tyro.conf.arg(name="", prefix_name=False)] = Job()

    def run(self) -> None:
        """Prepare and print the result."""
        manifest = prepare(
            self.dicom_dir,
            self.shard_dir,
            self.settings,
            labels=self.labels,
            key_file=self.key_file,
            job=self.job,
            report=message,
        )
        if manifest is None:
            return
        print(in_words(self.shard_dir, manifest))
        message(f"next: jaxharmo domains {shlex.quote(str(self.shard_dir))}")
        if self.strict and (count := lost(manifest)):
            message(
                f"error: {count} files not used, see {self.shard_dir / SKIPPED_NAME} (--strict)"
            )
            sys.exit(1)
