"""Preparing a folder in a test, and looking at what came of it."""

import csv

from jaxharmo.data.manifest import SPLITS
from jaxharmo.data.prepare.collection import (
    SKIPPED_NAME,
    WARNINGS_NAME,
    Job,
    PrepareConfig,
    prepare,
)
from jaxharmo.data.shards import SliceSource


def prepared(source, destination, *, job=None, labels=None, key_file=None, **settings):
    """The manifest, and the lines that were told."""
    lines = []
    manifest = prepare(
        source,
        destination,
        PrepareConfig(**settings),
        job=job or Job(workers=1),
        labels=labels,
        key_file=key_file,
        report=lines.append,
    )
    return manifest, lines


def all_slices(directory, manifest):
    return [
        (split, item)
        for domain in manifest.domains
        for split in SPLITS
        for item in SliceSource(directory, split, domain)
    ]


def skipped_files(directory):
    with (directory / SKIPPED_NAME).open(newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def warned(directory):
    with (directory / WARNINGS_NAME).open(newline="") as file:
        return [row["warning"] for row in csv.DictReader(file)]


def contents(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
