"""``jaxharmo harmonize``: the choices of its command line -> methods -> the batch."""

import dataclasses
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from jaxharmo.data.prepare.workers import Spread
from jaxharmo.errors import InputError
from jaxharmo.harmonize.batch import check_apart, find_volume, find_volumes, run
from jaxharmo.harmonize.derivation import Method
from jaxharmo.harmonize.harmonizer import Harmonizer
from jaxharmo.harmonize.volume import Volume

ALL = "all"
"""Stands for every domain but the source's own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user chose; the fields are those of the command line."""

    to: tuple[str, ...] = ()
    like: Path | None = None
    seed: int | None = None
    origin: str | None = None
    kernel_tag: bool = False
    date: str | None = None
    mixed: bool = False
    allow_derived: bool = False


@dataclasses.dataclass(frozen=True)
class _Opener:
    """The methods of a command, in whichever process it is called."""

    load: Callable[[], Harmonizer]
    to: tuple[str, ...]
    seed: int | None
    like: Volume | None
    kernel_tag: bool
    date: datetime | None

    def __call__(self) -> list[Method]:
        harmonizer = self.load()
        return [
            harmonizer.method(
                to, seed=self.seed, like=self.like, kernel_tag=self.kernel_tag, date=self.date
            )
            for to in self.to
        ]


def harmonize_command(
    source: Path,
    destination: Path,
    load: Callable[[], Harmonizer],
    choices: Choices,
    report: Callable[[str], object],
    spread: Spread | None = None,
) -> int:
    """Harmonize what is in ``source`` as chosen; the number of results in ``destination``.

    With ``spread`` some of the results, or by other processes, for which ``load`` has to be
    picklable. Raises ``InputError`` for choices that do not go together, before anything is
    written.
    """
    check_apart(source, destination)
    if choices.seed is not None and (choices.seed < 0 or choices.like is not None):
        raise InputError("--seed: must not be negative, and excludes --like")
    harmonizer = load()
    targets, like = _targets(harmonizer, choices, report)
    date = _date(choices.date)
    volumes = find_volumes(
        source, mixed=choices.mixed, derived=choices.allow_derived, report=report
    )
    if harmonizer.must_measure:
        report("measuring the texture of the training domains, once")
    opener = _Opener(load, targets, choices.seed, like, choices.kernel_tag, date)
    methods = dataclasses.replace(opener, load=lambda: harmonizer)()
    return run(
        volumes,
        destination,
        methods,
        origin=choices.origin,
        skip_own=choices.to == (ALL,),
        report=report,
        spread=spread,
        opener=opener,
    )


def _targets(
    harmonizer: Harmonizer, choices: Choices, report: Callable[[str], object]
) -> tuple[tuple[str, ...], Volume | None]:
    """The target domains and the reference."""
    if choices.like is None:
        if not choices.to:
            raise InputError("no target: name one with --to DOMAIN or --like SERIES")
        if choices.to == (ALL,):
            return harmonizer.domains, None
        for name in choices.to:
            harmonizer.translator.check_domain(name)
        if len(set(choices.to)) < len(choices.to):
            raise InputError("--to: names a domain twice")
        return choices.to, None
    like = find_volume(choices.like, derived=choices.allow_derived, report=report)
    known = like.origin in harmonizer.domains
    if choices.to and known and choices.to != (like.origin,):
        raise InputError(f"{choices.like}: is of the domain {like.origin}; leave --to out")
    (to, *others) = choices.to or (like.origin if known else "",)
    if others or not to:
        raise InputError(
            f"{choices.like}: name the one domain that it belongs to with --to, or add its domain "
            "to the model with 'jaxharmo extend'"
        )
    harmonizer.translator.check_domain(to)
    return (to,), like


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.now() if text == "now" else datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--date {text}: not a date in ISO 8601, like 2026-11-25") from error
