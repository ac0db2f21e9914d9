"""Which acquisition factors move texture, and which domains to train on.

``study_domains`` measures radiomic features of a shard set. For every factor in the manifest it
reports how much of their variance the factor explains, and it proposes domains.
"""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxharmo.data.manifest import read_manifest
from jaxharmo.errors import InputError
from jaxharmo.evaluation.domains.factors import Factor, factors_of
from jaxharmo.evaluation.domains.groups import (
    Proposal,
    best_definition,
    compare_definitions,
    compare_pairs,
    propose,
)
from jaxharmo.evaluation.domains.picture import components_picture
from jaxharmo.evaluation.domains.report import html_report
from jaxharmo.evaluation.domains.units import Features, Region, Units, measure_units
from jaxharmo.evaluation.domains.variance import (
    Effect,
    associations,
    kruskal_rows,
    rank_factors,
)
from jaxharmo.files import defused, make_folder, write_bytes, write_text

__all__ = ["Study", "StudyConfig", "study_domains"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What is measured."""

    region: Region = "lung"
    """Where texture is measured: in the lung away from its border, or in the body's soft tissue."""
    features: Features = "texture"
    """The 24 of the grey level co-occurrence matrix, or those and 16 of the histogram."""
    slices: int = 500
    """At most so many slices of a domain, spread evenly; 0: all."""
    min_patients: int = 3
    """Patients that a domain needs to be proposed."""
    bin_width: float = 25.0
    """Bin width of radiomic histograms and GLCMs, HU."""


class Study(NamedTuple):
    """What was found."""

    effects: list[Effect]
    """Of the factors, by rank."""
    best: str | None
    """Name of the definition of a domain that separates best with fewest domains."""
    proposal: Proposal


def study_domains(
    shards: Path,
    output: Path,
    config: StudyConfig | None = None,
    progress: Callable[[Iterator, int], Iterator] = lambda items, total: items,
) -> Study:
    """Study a shard set and write CSVs, ``domains.json``, ``components.png``, ``report.html``.

    Raises ``InputError`` for settings out of range, and for a set that has only one domain, no
    record of its acquisitions, or too little of the region.
    """
    config = config or StudyConfig()
    if config.slices < 0 or config.min_patients < 1 or not config.bin_width > 0:
        raise InputError(
            "--slices, --min-patients and --bin-width must be positive (--slices 0: all)"
        )
    manifest = read_manifest(shards)
    if len(manifest.domains) < 2:
        raise InputError(f"{shards}: holds one domain; there is nothing to compare")
    if not manifest.series:
        raise InputError(
            f"{shards}: its dataset.json does not record how series were acquired; prepare it again"
        )
    make_folder(output)
    units = measure_units(
        shards,
        manifest,
        region=config.region,
        kind=config.features,
        limit=config.slices,
        bin_width=config.bin_width,
        progress=progress,
    )
    if len(set(units.domains.tolist())) < 2:
        raise InputError(
            f"{shards}: fewer than two domains show the {config.region}; try another --region"
        )
    factors = factors_of(units.series)
    effects = rank_factors(units, factors)
    related = associations(factors)
    definitions = compare_definitions(units, factors, config.min_patients)
    best = best_definition(definitions)
    pairs = compare_pairs(units, Factor("domain", units.domains))
    proposal = propose(manifest, units, pairs, config.min_patients)
    shown = [factor for factor in factors if factor.name in ("kernel", "model")]
    picture = components_picture(units, shown or [Factor("domain", units.domains)])
    constant = [factor.name for factor in factors if len(factor.kinds) == 1]
    page = html_report(
        units,
        config.region,
        effects=effects,
        constant=constant,
        related=related,
        definitions=definitions,
        best=best,
        pairs=pairs,
        proposal=proposal,
        picture=picture,
    )
    tables = {
        "units": _unit_rows(units, factors),
        "factors": [dataclasses.asdict(effect) for effect in effects],
        "associations": related,
        "features": [row for factor in factors for row in kruskal_rows(units, factor)],
        "definitions": definitions,
        "pairs": pairs,
    }
    for name, rows in tables.items():
        _write_csv(output / f"{name}.csv", rows)
    write_bytes(output / "components.png", picture)
    _write_proposal(output / "domains.json", proposal, best)
    write_text(output / "report.html", page, errors="replace")
    return Study(effects, best, proposal)


def _unit_rows(units: Units, factors: Sequence[Factor]) -> list[dict]:
    return [
        {"patient": str(units.patients[n]), "domain": str(units.domains[n])}
        | {"slices": int(units.slices[n])}
        | {factor.name: str(factor.levels[n]) for factor in factors}
        | dict(zip(units.names, units.features[n].tolist(), strict=True))
        for n in range(len(units.patients))
    ]


def _write_csv(path: Path, rows: Sequence[dict]) -> None:
    """A missing figure is an empty cell."""
    file = io.StringIO()
    if rows:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(cell) for name, cell in row.items()} for row in rows)
    write_text(path, file.getvalue(), errors="replace")


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        return defused("; ".join(value))
    return "" if isinstance(value, float) and not math.isfinite(value) else defused(value)


def _write_proposal(path: Path, proposal: Proposal, best: str | None) -> None:
    content = dataclasses.asdict(proposal) | {
        "best_definition": best,
        "arguments": ["--data.domains", *proposal.domains],
    }
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n", errors="replace")
