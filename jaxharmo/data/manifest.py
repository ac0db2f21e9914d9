"""``dataset.json``: what a shard set holds, where each part came from, and where its files lie."""

import dataclasses
import json
import re
from pathlib import Path

from jaxharmo.errors import InputError
from jaxharmo.files import write_text
from jaxharmo.typed import build

FORMAT_VERSION = 1
FILE_NAME = "dataset.json"
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Domain:
    """One scanner–kernel domain and its number of slices in each split."""

    index: int
    name: str
    slug: str
    slices: dict[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Acquisition:
    """How a series was acquired and reconstructed; None where the headers do not say."""

    manufacturer: str | None = None
    model: str | None = None
    kernel: str | None = None
    """ConvolutionKernel, normalised."""
    kernel_raw: str | None = None
    """ConvolutionKernel as it stands in the files."""
    kvp: float | None = None
    """Tube voltage, kV."""
    exposure: float | None = None
    """Tube load, mAs."""
    slice_thickness: float | None = None
    """mm"""
    pixel_spacing: float | None = None
    """Between rows, mm, before any resampling."""
    contrast: bool | None = None
    """Whether a contrast agent was given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of ``dataset.json``."""

    window: tuple[float, float]
    """HU range that the pixels were clipped to."""
    spacing: str
    """In-plane spacing policy: ``native`` keeps what the scanner gave."""
    split_by: str
    """``patient``, or ``slice block`` where there are too few patients to split by."""
    domains: tuple[Domain, ...]
    patients: dict[str, list[str]]
    """Pseudonyms by split."""
    paired: tuple[tuple[str, str], ...]
    """Pairs of domain names that hold reconstructions of the same acquisitions."""
    series: dict[str, Acquisition] = dataclasses.field(default_factory=dict)
    """By the pseudonym of the series."""
    preprocessing: dict[str, str] = dataclasses.field(default_factory=dict)
    """What was done to the pixels beyond conversion to HU and clipping; mostly nothing."""
    skipped: dict[str, int] = dataclasses.field(default_factory=dict)
    """Why slices and files were not used, and how many of them."""
    provenance: dict[str, str]
    """How the set was made: the tool, its version, its settings."""

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Names in index order."""
        return tuple(domain.name for domain in self.domains)


def slugify(name: str) -> str:
    """A file-name-safe form of a domain name: lower-case ASCII letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "unnamed"


def unique_slugs(names: list[str]) -> list[str]:
    """One slug a name; where two names share one, later ones get ``-2``, ``-3`` and so on."""
    slugs: list[str] = []
    for name in names:
        base = slugify(name)
        slug, count = base, 1
        while slug in slugs:
            count += 1
            slug = f"{base}-{count}"
        slugs.append(slug)
    return slugs


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write ``dataset.json``, atomically and last: it marks the shard set as complete."""
    content = {"format_version": FORMAT_VERSION} | dataclasses.asdict(manifest)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    write_text(directory / FILE_NAME, text + "\n")


def read_manifest(directory: Path) -> Manifest:
    """Read ``dataset.json``; ``InputError`` where it is absent, damaged or of another version."""
    path = directory / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{directory}: no {FILE_NAME} in it; make a shard set with 'jaxharmo prepare' or "
            "'jaxharmo phantom'"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.pop("format_version", None) != FORMAT_VERSION:
            raise InputError(f"not of format version {FORMAT_VERSION}")
        manifest = build(Manifest, content, "manifest")
    except (ValueError, InputError) as error:
        raise InputError(f"{path}: not a manifest ({error}); prepare the set again") from error
    if any(domain.slug != slugify(domain.slug) for domain in manifest.domains):
        raise InputError(f"{path}: a domain slug is not a plain file name; prepare the set again")
    return manifest


def choose_domains(manifest: Manifest, wanted: tuple[str, ...]) -> tuple[Domain, ...]:
    """The named domains in the named order, or all; ``InputError`` lists those that exist."""
    by_name = {domain.name: domain for domain in manifest.domains}
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise InputError(f"no domain '{unknown[0]}'; there are: {', '.join(sorted(by_name))}")
    return tuple(by_name[name] for name in wanted) if wanted else manifest.domains


def shard_paths(directory: Path, split: str, domain: Domain) -> list[Path]:
    """The files of one domain in one split, in order; ``InputError`` where some are missing."""
    if not domain.slices.get(split):
        return []
    paths = sorted((directory / split).glob(f"{domain.slug}-?????-of-?????.arrayrecord"))
    expected = int(paths[0].stem.rsplit("-", 1)[1]) if paths else 1
    if len(paths) != expected:
        raise InputError(
            f"{directory / split}: {len(paths)} of {expected} shards of '{domain.name}' found; "
            "prepare the set again"
        )
    return paths


def in_words(directory: Path, manifest: Manifest) -> str:
    """A line for the set and one for each domain and each pair."""
    lines = [f"{directory}: {len(manifest.domains)} domains, split by {manifest.split_by}"]
    for domain in manifest.domains:
        counts = ", ".join(f"{count} {split}" for split, count in domain.slices.items())
        lines.append(f"  {domain.name}: {counts} slices")
    lines += [f"  paired: {first} with {second}" for first, second in manifest.paired]
    return "\n".join(lines)
