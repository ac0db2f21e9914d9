"""What a command prints while it works: messages, and how far each stage has come.

Both go to standard error. Results go to standard output.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LINE_SECONDS = 300.0
"""Between two lines of a long stage where there is no terminal."""


def message(text: str) -> None:
    """Print one line for the user who waits, above the progress bar if there is one."""
    if sys.stderr.isatty():
        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


class Progress:
    """Progress of one stage, with its rate and the time left.

    On a terminal it is a bar. Elsewhere it is one line at the end of the stage, and one every five
    minutes before that. ``done`` items were finished by an earlier run, and do not count towards
    the rate. Without ``shown`` nothing is printed, without ``summary`` no line at the end.
    """

    def __init__(
        self,
        stage: str,
        total: int,
        unit: str,
        report: Callable[[str], object] = message,
        *,
        done: int = 0,
        shown: bool = True,
        summary: bool = True,
    ):
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            desc=stage,
            total=total,
            unit=f" {unit}s",
            initial=done,
            dynamic_ncols=True,
            disable=not (shown and terminal),
        )
        self._report = report if shown and not terminal else None
        self._stage, self._total, self._unit = stage, total, unit
        self._summary = summary
        self._done = self._earlier = done
        self._start = self._reported = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.close()
        if self._report and self._summary and kind is None:
            seconds = time.monotonic() - self._start
            self._report(f"{self._count()} in {_duration(seconds)}{self._rate(seconds)}")

    def skip(self, count: int) -> None:
        """``count`` more items were finished by an earlier run."""
        self._earlier += count
        self.advance(count)

    def advance(self, count: int = 1) -> None:
        """``count`` more items are finished."""
        self._done += count
        self._bar.update(count)
        now = time.monotonic()
        if self._report and now - self._reported >= LINE_SECONDS:
            self._reported = now
            seconds = now - self._start
            new = self._done - self._earlier
            left = f", {_duration((self._total - self._done) * seconds / new)} left" if new else ""
            self._report(f"{self._count()}{self._rate(seconds)}{left}")

    def _count(self) -> str:
        return f"{self._stage}: {self._done}/{self._total} {self._unit}s"

    def _rate(self, seconds: float) -> str:
        new = self._done - self._earlier
        if not new or seconds <= 0:
            return ""
        rate = new / seconds
        return f", {rate:.0f} {self._unit}s/s" if rate >= 10 else f", {rate:.2g} {self._unit}s/s"


def track(
    items: Iterable[Item],
    total: int,
    stage: str,
    unit: str,
    report: Callable[[str], object] = message,
) -> Iterator[Item]:
    """Yield ``items`` and show their progress."""
    with Progress(stage, total, unit, report) as progress:
        for item in items:
            yield item
            progress.advance()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
