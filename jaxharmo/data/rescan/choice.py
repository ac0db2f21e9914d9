"""The virtual scanners that come along, and those that files describe."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

from jaxharmo.data.manifest import slugify
from jaxharmo.data.phantom.kernels import KERNELS
from jaxharmo.data.rescan.scanner import Scanner
from jaxharmo.errors import InputError
from jaxharmo.typed import build

SCANNERS: dict[str, Scanner] = {
    scanner.name.lower(): scanner
    for scanner in (
        Scanner(name="Alba", kernel="B30f", field_of_view=430.0),
        Scanner(
            name="Boreas",
            kernel="B50f",
            field_of_view=460.0,
            kvp=100.0,
            photons=4e5,
            exposure=180.0,
            electronic=20.0,
            focal_spot=0.8,
            aperture=0.75,
            views=512,
            modulation=0.3,
            offset=-4.0,
        ),
        Scanner(
            name="Corona",
            kernel="B30f",
            field_of_view=430.0,
            strength=3,
            photons=1e5,
            exposure=50.0,
        ),
        Scanner(
            name="Dione",
            kernel="B40f",
            field_of_view=480.0,
            strength=5,
            kvp=140.0,
            photons=5e4,
            exposure=22.0,
            focal_spot=0.7,
            offset=3.0,
        ),
    )
}
"""Two with filtered back-projection that differ in dose, voltage, pixel and kernel, and two that
reconstruct iteratively."""


def choose_scanners(wanted: tuple[str, ...]) -> tuple[Scanner, ...]:
    """Those named, or described in the JSON files named; ``InputError`` where there are none such.

    A file holds a list of objects with the fields of ``Scanner``.
    """
    chosen: list[Scanner] = []
    for each in wanted:
        if each.lower() in SCANNERS:
            chosen.append(SCANNERS[each.lower()])
        elif each.endswith(".json"):
            chosen += _read(Path(each))
        else:
            raise InputError(
                f"--scanners {each}: neither a JSON file nor one of {', '.join(SCANNERS)}"
            )
    names = [slugify(scanner.domain) for scanner in chosen]
    twice = [scanner for scanner in chosen if names.count(slugify(scanner.domain)) > 1]
    if twice:
        raise InputError(f"--scanners: '{twice[0].domain}' twice; give each its own name or kernel")
    if not chosen:
        raise InputError("--scanners: name at least one")
    return tuple(chosen)


def _read(path: Path) -> list[Scanner]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, list):
        raise InputError(f"{path}: not a list of scanners, [{{...}}, {{...}}]")
    scanners = []
    for number, fields in enumerate(content):
        scanner: Scanner = build(Scanner, fields, f"{path}: scanner {number + 1}")
        if scanner.kernel not in KERNELS and not scanner.gains:
            scanner = _with_gains(scanner, path.parent / scanner.kernel)
        scanners.append(scanner)
    return scanners


def _with_gains(scanner: Scanner, path: Path) -> Scanner:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        gains = tuple((float(row["frequency"]), float(row["gain"])) for row in rows)
        if not gains:
            raise ValueError("no rows")
        return dataclasses.replace(scanner, kernel=path.stem, gains=gains)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{path}: not a table with columns frequency (lp/cm) and gain ({error})"
        ) from error
