"""The phantom as a shard set: which patient is scanned where, and the writing."""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from jaxharmo.data.manifest import (
    FILE_NAME,
    SPLITS,
    Acquisition,
    Domain,
    Manifest,
    read_manifest,
    unique_slugs,
    write_manifest,
)
from jaxharmo.data.phantom.anatomy import draw_slice, slice_height
from jaxharmo.data.phantom.patient import draw_patient
from jaxharmo.data.phantom.scanner import DOMAINS, SCANNERS, Scanner, expose, project, reconstruct
from jaxharmo.data.records import Slice, SliceHeader
from jaxharmo.data.shards import ShardWriter
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder
from jaxharmo.ops.tissue import bounding_box, segment

WINDOW = (-1024.0, 3071.0)
POOL_WORTH = 8 * 320**3
"""Slices times size³ above which starting processes takes less time than it saves."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """Size and domains of a phantom data set."""

    patients: int = 14
    """Patients, each with an anatomy of its own."""
    slices: int = 4
    """Slices of each patient."""
    size: int = 320
    """Matrix size, pixels; the field of view is the scanner's, 320 to 350 mm."""
    domains: tuple[str, ...] = tuple(f"PHANTOM Ellipse -- {k}" for k in ("B30f", "B50f", "B70f"))
    """Domains by name, or 'all'. Of PHANTOM Ellipse: B10f, B30f, B40f, B50f, B70f (smooth to
    sharp); of PHANTOM Ellipse 64, a lower dose: B30f, B70f; of MIRAGE Oval: B, C, L."""
    pairing: Literal["all", "scanner", "none"] = "all"
    """A patient is in all domains, in those of one scanner, or in one, the next patient in the
    next; kernels of one scanner are reconstructions of one acquisition."""
    doses: tuple[float, ...] = (1.0, 0.5, 2.0, 0.7, 1.4)
    """Factors of the scanner's exposure, the patients' in turn: noise goes by their square root."""
    kvps: tuple[float, ...] = (120.0,)
    """Tube voltages to draw a patient's from; a label that the pixels do not depend on."""
    thicknesses: tuple[float, ...] = (5.0,)
    """Nominal slice thicknesses, mm, to draw a patient's from; a label as well."""
    seed: int = 0
    """Of anatomy, noise and labels; the same seed gives the same files."""


def make_phantom(
    directory: Path,
    config: PhantomConfig | None = None,
    progress: Callable[[Iterator, int], Iterator] = lambda items, total: items,
) -> Manifest:
    """Write the phantom as a shard set, on all cores; a finished one of equal config is kept.

    Raises ``InputError`` for an unknown domain, too few patients, or a directory that holds
    something else.
    """
    config = _checked(config or PhantomConfig())
    provenance = {"tool": "jaxharmo phantom", "config": repr(config)}
    if (directory / FILE_NAME).exists():
        manifest = read_manifest(directory)
        if manifest.provenance == provenance:
            return manifest
        raise InputError(
            f"{directory}: made with other options; give those again, or name a new folder"
        )
    make_folder(directory)
    if {entry.name for entry in directory.iterdir()} - set(SPLITS):
        raise InputError(f"{directory}: not empty and no phantom; name a new folder")
    slugs = unique_slugs(list(config.domains))
    split_of = _splits(config)
    jobs = list(itertools.product(range(config.patients), range(config.slices)))
    with ExitStack() as stack:
        writers = {
            (split, slug): stack.enter_context(ShardWriter(directory, split, slug))
            for split in SPLITS
            for slug in slugs
        }
        compute = map
        if len(jobs) * config.size**3 > POOL_WORTH:
            # Spawned, not forked: JAX's threads do not survive a fork.
            pool = ProcessPoolExecutor(mp_context=get_context("spawn"))
            # Whole patients: each process grows the vessels of its own.
            compute = partial(stack.enter_context(pool).map, chunksize=config.slices)
        slices = iter(compute(_scan, itertools.repeat(config), *zip(*jobs, strict=True)))
        for (patient, _), reconstructions in zip(jobs, progress(slices, len(jobs)), strict=True):
            for item in reconstructions:
                writers[split_of[patient], slugs[item.header.domain]].write(item)
    manifest = Manifest(
        window=WINDOW,
        spacing="native",
        split_by="patient",
        domains=tuple(
            Domain(
                index=index,
                name=name,
                slug=slug,
                slices={split: writers[split, slug].count for split in SPLITS},
            )
            for index, (name, slug) in enumerate(zip(config.domains, slugs, strict=True))
        ),
        patients={
            split: [_pseudonym(p) for p in range(config.patients) if split_of[p] == split]
            for split in SPLITS
        },
        paired=_paired(config),
        series={
            _series(config, patient, index): _labels(config, patient, index)
            for patient in range(config.patients)
            for index in _plan(config, patient)
        },
        provenance=provenance,
    )
    write_manifest(directory, manifest)
    return manifest


def _checked(config: PhantomConfig) -> PhantomConfig:
    if config.domains == ("all",):
        config = dataclasses.replace(config, domains=tuple(DOMAINS))
    known = set(config.domains) <= set(DOMAINS)
    if not known or len(set(config.domains)) != len(config.domains) or not config.domains:
        raise InputError(f"--domains: name each at most once, of {', '.join(DOMAINS)}; or 'all'")
    groups = {"all": 1, "scanner": len(_scanners(config)), "none": len(config.domains)}
    needed = len(SPLITS) * groups[config.pairing]
    if config.patients < needed:
        raise InputError(f"--patients: at least {needed}, one for each split of every domain")
    if config.slices < 1 or config.size < 64:
        raise InputError("--slices must be at least 1, --size at least 64")
    if not config.kvps or not config.thicknesses or not config.doses:
        raise InputError("--kvps, --thicknesses and --doses: at least one each")
    if not all(0.01 <= dose <= 100 for dose in config.doses):
        raise InputError("--doses must be from 0.01 to 100")
    return config


def _scanners(config: PhantomConfig) -> list[Scanner]:
    """Those of the config's domains, in the order of ``SCANNERS``."""
    used = {DOMAINS[name][0] for name in config.domains}
    return [scanner for scanner in SCANNERS if scanner in used]


def _plan(config: PhantomConfig, patient: int) -> tuple[int, ...]:
    """Indices of the domains that a patient is in."""
    every = range(len(config.domains))
    if config.pairing == "none":
        return (every[patient % len(every)],)
    if config.pairing == "scanner":
        scanners = _scanners(config)
        own = scanners[patient % len(scanners)]
        return tuple(index for index in every if DOMAINS[config.domains[index]][0] == own)
    return tuple(every)


def _splits(config: PhantomConfig) -> dict[int, str]:
    """Split of each patient.

    Of the patients of a plan, about 30 % for the test, one in ten for validation, the rest to
    train on.
    """
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for patient in range(config.patients):
        groups[_plan(config, patient)].append(patient)
    split_of: dict[int, str] = {}
    for group in groups.values():
        test, validation = max(1, round(0.3 * len(group))), max(1, len(group) // 10)
        counts = {"train": len(group) - test - validation, "validation": validation, "test": test}
        names = [split for split in SPLITS for _ in range(counts[split])]
        split_of |= dict(zip(group, names, strict=True))
    return split_of


def _paired(config: PhantomConfig) -> tuple[tuple[str, str], ...]:
    if config.pairing == "none":
        return ()
    return tuple(
        (first, second)
        for first, second in itertools.combinations(config.domains, 2)
        if DOMAINS[first][0] == DOMAINS[second][0]
    )


def _pseudonym(patient: int) -> str:
    return f"phantom-{patient:03d}"


def _series(config: PhantomConfig, patient: int, index: int) -> str:
    scanner, kernel = DOMAINS[config.domains[index]]
    return f"{_pseudonym(patient)}-{SCANNERS.index(scanner)}-{kernel}"


def _labels(config: PhantomConfig, patient: int, index: int) -> Acquisition:
    """What the headers of a series would contain."""
    scanner, kernel = DOMAINS[config.domains[index]]
    random = np.random.default_rng((config.seed, patient, 0, 0, 1))
    return Acquisition(
        manufacturer=scanner.manufacturer,
        model=scanner.model,
        kernel=kernel,
        kernel_raw=kernel,
        kvp=float(random.choice(config.kvps)),
        exposure=scanner.exposure * _dose(config, patient),
        slice_thickness=float(random.choice(config.thicknesses)),
        pixel_spacing=scanner.field_of_view / config.size,
        contrast=False,
    )


def _dose(config: PhantomConfig, patient: int) -> float:
    return config.doses[patient % len(config.doses)]


def _scan(config: PhantomConfig, patient: int, index: int) -> list[Slice]:
    """One slice of a patient in all domains of the patient's plan."""
    slices: list[Slice] = []
    plan = _plan(config, patient)
    person = draw_patient((config.seed, patient))
    height = slice_height(person, index, config.slices)
    for number, scanner in enumerate(SCANNERS):
        own = [domain for domain in plan if DOMAINS[config.domains[domain]][0] == scanner]
        if not own:
            continue
        pixel = scanner.field_of_view / config.size
        truth = draw_slice(person, height, size=config.size, pixel=pixel)
        noise = np.random.default_rng((config.seed, patient, index, *(number + 1,) * (number > 0)))
        dosed = dataclasses.replace(scanner, photons=scanner.photons * _dose(config, patient))
        ramp_image = expose(project(truth, scanner), dosed, noise)
        body = bounding_box(segment(truth).body)
        for domain in own:
            hu = reconstruct(ramp_image, scanner, DOMAINS[config.domains[domain]][1])
            header = SliceHeader(
                domain=domain,
                patient=_pseudonym(patient),
                series=_series(config, patient, domain),
                acquisition=f"{_pseudonym(patient)}-{number}",
                position=height,
                spacing=(pixel, pixel),
                body=body,
            )
            slices.append(Slice(header, np.rint(np.clip(hu, *WINDOW)).astype(np.int16)))
    return slices
