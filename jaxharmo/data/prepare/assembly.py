"""The tasks of a plan, all done -> final shards, ``skipped.csv``, ``warnings.csv``, manifest."""

import csv
import dataclasses
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordWriter

from jaxharmo.data.manifest import SPLITS, Domain, Manifest, write_manifest
from jaxharmo.data.prepare.config import PrepareConfig
from jaxharmo.data.prepare.factors import acquisition_of_series
from jaxharmo.data.prepare.geometry import oddities
from jaxharmo.data.prepare.headers import Skipped
from jaxharmo.data.prepare.plan import Plan, main_reason, too_small
from jaxharmo.data.prepare.tasks import TaskResult, read_result, record_path
from jaxharmo.data.records import WRITER_OPTIONS, Slice, encode, read_records
from jaxharmo.errors import InputError
from jaxharmo.files import defused, make_folder, write_text

SKIPPED_NAME = "skipped.csv"
WARNINGS_NAME = "warnings.csv"


@dataclasses.dataclass(frozen=True)
class _Done:
    number: int
    domain: int
    result: TaskResult


def assemble(
    directory: Path, work: Path, plan: Plan, config: PrepareConfig, provenance: dict[str, str]
) -> Manifest:
    """Give all records their final names and write the manifest, last.

    A killed call is resumed by the next. ``InputError`` where tasks are missing, or
    where no slice is left.
    """
    done = _results(work, plan)
    dropped = _dropped(plan, done, config)
    skipped = [*plan.skipped, *(item for each in done for item in each.result.skipped)]
    skipped += _slices_of(plan, done, dropped)
    kept = [domain for domain in range(len(plan.names)) if domain not in dropped]
    if not kept:
        raise InputError(f"no CT slice could be used in {main_reason(skipped)}")
    domains: list[Domain] = []
    for index, old in enumerate(kept):
        tasks = [each for each in done if each.domain == old]
        counts = {split: _place(directory, work, plan, tasks, split, index) for split in SPLITS}
        domains.append(
            Domain(index=index, name=plan.names[old], slug=plan.slugs[old], slices=counts)
        )
    used = {
        name
        for each in done
        if each.domain not in dropped
        for name, count in each.result.series.items()
        if count
    }
    _write_table(
        directory / SKIPPED_NAME,
        ("file", "reason"),
        sorted((item.file, item.reason) for item in skipped),
    )
    odd = sorted([*warnings(plan), *_contested(plan, done)])
    _write_table(directory / WARNINGS_NAME, ("series", "domain", "warning"), odd)
    manifest = Manifest(
        window=config.window,
        spacing=config.spacing_policy,
        split_by=plan.splits.split_by,
        domains=tuple(domains),
        patients=_patients_by_split(plan, used),
        paired=plan.paired(used),
        series={
            plan.keys[each.key]: acquisition_of_series([item.factors for item in each.slices])
            for each in plan.series
            if plan.keys[each.key] in used
        },
        preprocessing=config.applied(),
        skipped=dict(sorted(Counter(item.reason for item in skipped).items())),
        provenance=provenance,
    )
    write_manifest(directory, manifest)
    return manifest


def warnings(plan: Plan) -> list[tuple[str, str, str]]:
    """Series, domain and oddity."""
    return [
        (plan.keys[each.key], each.domain, oddity)
        for each in plan.series
        for oddity in oddities(each)
    ]


def _contested(plan: Plan, done: list[_Done]) -> Iterator[tuple[str, str, str]]:
    """As ``warnings``, of what shows in the pixels only."""
    places: Counter[tuple[str, str]] = Counter()
    for each in done:
        for series, count in each.result.contested.items():
            places[series, plan.names[each.domain]] += count
    for (series, domain), count in places.items():
        if count:
            yield series, domain, f"slices at one position differ, at {count} positions"


def _results(work: Path, plan: Plan) -> list[_Done]:
    done: list[_Done] = []
    missing: list[int] = []
    for task in plan.tasks():
        result = read_result(work, task.number)
        if result is None:
            missing.append(task.number)
        else:
            done.append(_Done(task.number, task.domain, result))
    if missing:
        raise InputError(
            f"{work.parent}: {len(missing)} of {len(missing) + len(done)} tasks are not "
            "done; run the missing parts, or 'jaxharmo prepare' without --part, then merge"
        )
    return done


def _dropped(plan: Plan, done: list[_Done], config: PrepareConfig) -> dict[int, str]:
    """Domains of which too little is left, now that the pixels have been read, and why."""
    patient_of = {plan.keys[each.key]: each.patient for each in plan.series}
    slices: Counter[int] = Counter()
    patients: dict[int, set[str]] = defaultdict(set)
    for each in done:
        for name, count in each.result.series.items():
            slices[each.domain] += count
            patients[each.domain].add(patient_of[name])
    reasons = {
        domain: too_small(len(patients[domain]), slices[domain], config)
        for domain in range(len(plan.names))
    }
    return {
        domain: reason or "nothing left of the domain"
        for domain, reason in reasons.items()
        if reason or not slices[domain]
    }


def _slices_of(plan: Plan, done: list[_Done], dropped: dict[int, str]) -> list[Skipped]:
    """The slices of dropped domains that were not skipped for another reason."""
    told = {item.file for each in done for item in each.result.skipped}
    return [
        Skipped(item.label, dropped[domain])
        for domain in dropped
        for each in plan.series
        if each.domain == plan.names[domain]
        for item in each.slices
        if item.label not in told
    ]


def _place(
    directory: Path, work: Path, plan: Plan, tasks: list[_Done], split: str, index: int
) -> int:
    """Give the records of one domain and split their final names; how many there are."""
    filled = [each for each in tasks if each.result.slices.get(split)]
    make_folder(directory / split)
    for number, each in enumerate(filled):
        name = f"{plan.slugs[each.domain]}-{number:05d}-of-{len(filled):05d}.arrayrecord"
        source, target = record_path(work, each.number, split), directory / split / name
        if not source.exists() and target.exists():
            continue
        if each.domain == index:
            source.replace(target)
        else:
            _renumber(source, target, index)
            source.unlink()
    return sum(each.result.slices[split] for each in filled)


def _renumber(source: Path, target: Path, index: int) -> None:
    """The same records under another domain index: domains before it were dropped."""
    partial = target.with_suffix(".partial")
    writer = ArrayRecordWriter(str(partial), WRITER_OPTIONS)
    for item in read_records(source):
        writer.write(encode(Slice(dataclasses.replace(item.header, domain=index), item.pixels)))
    writer.close()
    partial.replace(target)


def _patients_by_split(plan: Plan, used: set[str]) -> dict[str, list[str]]:
    members: dict[str, set[str]] = {split: set() for split in SPLITS}
    for each in plan.series:
        if plan.keys[each.key] in used:
            for position in each.positions:
                if split := plan.splits.of(each, position):
                    members[split].add(plan.patients[each.patient])
    return {split: sorted(found) for split, found in members.items()}


def _write_table(path: Path, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A CSV, atomically; bytes of a file name that are no text are escaped, formulas defused."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(head)
    writer.writerows(map(defused, row) for row in rows)
    write_text(path, table.getvalue(), errors="backslashreplace")
