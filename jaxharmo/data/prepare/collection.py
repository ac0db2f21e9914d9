"""A folder of CT files -> a shard set, with one slice a worker in memory at a time."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from jaxharmo.console import Progress
from jaxharmo.data.manifest import Manifest
from jaxharmo.data.prepare.assembly import SKIPPED_NAME, WARNINGS_NAME, assemble, warnings
from jaxharmo.data.prepare.config import SETTINGS, PrepareConfig, check
from jaxharmo.data.prepare.headers import Skipped
from jaxharmo.data.prepare.keys import write_key_file
from jaxharmo.data.prepare.nifti import read_labels
from jaxharmo.data.prepare.plan import Plan, make_plan
from jaxharmo.data.prepare.progress import (
    WORK,
    close_destination,
    held_destination,
    open_destination,
)
from jaxharmo.data.prepare.scan import scan
from jaxharmo.data.prepare.series import group, list_files
from jaxharmo.data.prepare.sources import Rules, read_file
from jaxharmo.data.prepare.tasks import Task, decode_slice, read_result, write_task
from jaxharmo.data.prepare.workers import Job, Workers, open_workers
from jaxharmo.errors import InputError
from jaxharmo.isolation import Death, warm_up

__all__ = [
    "SKIPPED_NAME", "WARNINGS_NAME", "Job", "PrepareConfig", "lost", "prepare",
]  # fmt: skip

Report = Callable[[str], object]
MOST_WARNINGS = 5
"""Series of each kind that are named; all are in ``warnings.csv``."""


def prepare(
    source: Path,
    destination: Path,
    config: PrepareConfig | None = None,
    *,
    labels: Path | None = None,
    key_file: Path | None = None,
    job: Job | None = None,
    report: Report = print,
) -> Manifest | None:
    """Write the CT slices below ``source`` into the shard set ``destination``.

    Pixels are HU clipped to ``config.window`` on the scanner's own grid unless ``config`` says
    otherwise; padding becomes the window's lower end. ``labels``: a CSV of the domains of NIfTI
    volumes. ``skipped.csv`` names every file not used, ``warnings.csv`` what is unusual about a
    series. ``key_file`` gets the identifiers behind the pseudonyms. A killed call is resumed by the
    next one; a finished set of the same files is left as it is. Messages go to ``report``. Returns
    None after one part of several. Raises ``InputError`` where there is nothing to prepare, or
    ``destination`` holds something else.
    """
    config, job = check(config or PrepareConfig()), job or Job()
    if not job.scheduler:
        warm_up()
    source, destination = source.resolve(), destination.resolve()
    _, parts = job.share
    for path in (destination, *([key_file.resolve()] if key_file else [])):
        if path.is_relative_to(source):
            raise InputError(f"{path}: lies in the input folder; name one outside of it")
    if key_file and key_file.resolve().is_relative_to(destination):
        raise InputError(f"{key_file}: lies with the shards; keep the key elsewhere")
    rules = Rules(
        derived=config.derived,
        by=config.domain,
        labels=read_labels(labels, config.domain) if labels else {},
    )
    closed: list[Path] = []
    files = list_files(source, closed)
    provenance = {
        "tool": "jaxharmo prepare",
        "settings": json.dumps(dataclasses.asdict(config)),
        "files": _fingerprint(source, [*files, *closed], labels),
    }
    with held_destination(destination, shared=parts > 1):
        return _prepare(
            source, destination, config, files, closed, rules, provenance, key_file, job, report
        )


def _prepare(
    source: Path,
    destination: Path,
    config: PrepareConfig,
    files: list[Path],
    closed: list[Path],
    rules: Rules,
    provenance: dict[str, str],
    key_file: Path | None,
    job: Job,
    report: Report,
) -> Manifest | None:
    """``prepare`` in a folder that is ours alone, or with the other parts of the work."""
    part, parts = job.share
    finished = open_destination(destination, provenance, shared=parts > 1 or job.merge)
    if finished and not key_file:
        report(f"{destination}: already prepared from these files")
        return finished

    with open_workers(job.workers, job.scheduler) as workers:
        found = scan(workers, source, files, functools.partial(read_file, rules), report)
        series, skipped = group(found)
        skipped += [
            Skipped(f"{path.relative_to(source)}/", "folder cannot be read", lost=True)
            for path in closed
        ]
        plan = make_plan(series, skipped, config)
        if isinstance(plan, str):
            close_destination(destination)
            raise InputError(f"{source}: no usable CT slice in {plan}")
        if not finished:
            if not job.merge:
                _tell_warnings(plan, report)
                _write_tasks(workers, plan, destination / WORK, config, (part, parts), report)
            if parts > 1:
                report(f"{destination}: part {part} of {parts} is done; finish with --merge")
                return None
    manifest = finished or _finish(source, destination, plan, config, provenance, report)
    if key_file:
        write_key_file(key_file, plan)
    return manifest


def lost(manifest: Manifest) -> int:
    """How many files were not used for a reason other than the settings."""
    return sum(
        count for reason, count in manifest.skipped.items() if not reason.startswith(SETTINGS)
    )


def _write_tasks(
    workers: Workers,
    plan: Plan,
    work: Path,
    config: PrepareConfig,
    part: tuple[int, int],
    report: Report,
) -> None:
    """Do all tasks of this part that are not done."""
    number, count = part
    total = sum(len(task.slices) for task in plan.tasks() if task.number % count == number - 1)
    with Progress("prepare", total, "slice", report) as progress:

        def left() -> Iterator[Task]:
            for task in plan.tasks():
                if task.number % count == number - 1:
                    if read_result(work, task.number) is None:
                        yield task
                    else:
                        progress.skip(len(task.slices))

        write = functools.partial(write_task, folder=work, config=config)
        suspects: list[Task] = []
        for task, result in workers.run(write, left()):
            if isinstance(result, Death):
                suspects.append(task)
            else:
                progress.advance(len(task.slices))
        freed = (_without_deadly(workers, task) for task in suspects)
        for task, result in workers.run(write, list(freed)):
            if isinstance(result, Death):
                raise OSError(f"{work}: task {task.number} ends its process ({result.cause})")
            progress.advance(len(task.slices))


def _without_deadly(workers: Workers, task: Task) -> Task:
    """The task with a mark on the slices that end the process that decodes them, each tried alone.

    So a slice is left out at the second death; a death of another cause leaves all in.
    """
    tried = workers.run(decode_slice, task.items())
    return dataclasses.replace(
        task,
        deadly={item.label: end.reason for item, end in tried if isinstance(end, Death)},
    )


def _finish(
    source: Path,
    destination: Path,
    plan: Plan,
    config: PrepareConfig,
    provenance: dict[str, str],
    report: Report,
) -> Manifest:
    try:
        manifest = assemble(destination, destination / WORK, plan, config, provenance)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    close_destination(destination)
    total = sum(sum(domain.slices.values()) for domain in manifest.domains)
    report(
        f"{destination}: {total} slices, {len(manifest.domains)} domains, {len(manifest.paired)} "
        f"pairs of domains from the same acquisitions; {sum(manifest.skipped.values())} files not "
        f"used, see {SKIPPED_NAME}"
    )
    return manifest


def _tell_warnings(plan: Plan, report: Report) -> None:
    for warning in plan.splits.warnings:
        report(f"warning: {warning}")
    odd = warnings(plan)
    for name, domain, oddity in odd[:MOST_WARNINGS]:
        report(f"warning: {name} ({domain}): {oddity}")
    if len(odd) > MOST_WARNINGS:
        report(f"warning: {len(odd) - MOST_WARNINGS} more, see {WARNINGS_NAME}")


def _fingerprint(source: Path, files: Iterable[Path], labels: Path | None) -> str:
    """SHA-256 of names, sizes and times of change: differs when the input changed."""
    listing = hashlib.sha256(labels.read_bytes() if labels else b"")
    for path in files:
        status = path.stat()
        name = os.fsencode(path.relative_to(source))
        listing.update(b"%s\0%d\0%d\n" % (name, status.st_size, status.st_mtime_ns))
    return listing.hexdigest()
