"""What is done of a shard set in the making, so that a killed run goes on where it stopped."""

import dataclasses
import json
from pathlib import Path

from jaxharmo.data.manifest import FILE_NAME as MANIFEST_NAME
from jaxharmo.data.manifest import SPLITS, Manifest, read_manifest
from jaxharmo.data.prepare.headers import Skipped
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder, write_text

FILE_NAME = "progress.json"


@dataclasses.dataclass(frozen=True)
class DomainResult:
    """What came of one domain: slices by split, and files whose pixels were of no use."""

    slices: dict[str, int]
    skipped: list[Skipped]


class Progress:
    """``progress.json``: marks a folder as ours and unfinished, and lists the domains done."""

    def __init__(self, directory: Path, provenance: dict[str, str]):
        self._directory = directory
        self._provenance = provenance
        self.done: dict[str, DomainResult] = {}

    def add(self, slug: str, result: DomainResult) -> None:
        """Note that the shards of a domain are written."""
        self.done[slug] = result
        self.save()

    def save(self) -> None:
        """Write the file, atomically; makes the folder where there is none."""
        make_folder(self._directory)
        done = {slug: dataclasses.asdict(result) for slug, result in self.done.items()}
        content = {"provenance": self._provenance, "done": done}
        write_text(self._directory / FILE_NAME, json.dumps(content))

    def load(self) -> None:
        """Take over what an earlier run with the same provenance has done; discard all else."""
        content = json.loads((self._directory / FILE_NAME).read_text(encoding="utf-8"))
        same = content["provenance"] == self._provenance
        if same:
            self.done = {
                slug: DomainResult(
                    result["slices"], [Skipped(**skipped) for skipped in result["skipped"]]
                )
                for slug, result in content["done"].items()
            }
        for split in SPLITS:
            for stale in (self._directory / split).glob("*.partial" if same else "*.*"):
                stale.unlink()

    def finish(self) -> None:
        """Remove the file: the manifest now marks the set as complete."""
        (self._directory / FILE_NAME).unlink(missing_ok=True)


def open_destination(directory: Path, provenance: dict[str, str]) -> Progress | Manifest:
    """A finished set of the same provenance, or the progress of a new or unfinished one.

    ``InputError`` where ``directory`` holds anything else.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: a file; name a new or empty folder for the shards")
    progress = Progress(directory, provenance)
    if (directory / MANIFEST_NAME).exists():
        manifest = read_manifest(directory)
        if manifest.provenance != provenance:
            raise InputError(
                f"{directory}: holds a shard set made from other files or settings; "
                "name a new folder, or delete this one"
            )
        progress.finish()
        return manifest
    if (directory / FILE_NAME).exists():
        try:
            progress.load()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{directory / FILE_NAME}: damaged; delete {directory}") from error
    elif directory.exists() and any(
        entry.name != f"{FILE_NAME}.partial" for entry in directory.iterdir()
    ):
        raise InputError(f"{directory}: not empty and no shard set; name a new or empty folder")
    return progress
