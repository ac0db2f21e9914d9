"""Where the time of an evaluation goes, and how it is shared by threads."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxharmo.data.prepare.workers import cores


class Clock:
    """Adds up wall time by part: ``with clock("reading"): ...``."""

    def __init__(self):
        self._sums: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what runs inside towards ``part``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._sums[part] += time.perf_counter() - start

    def take(self) -> dict[str, float]:
        """The seconds since the last call, by part."""
        taken = dict(self._sums)
        self._sums.clear()
        return taken


def time_line(seconds: Mapping[str, float]) -> str:
    """One line for the console: the sum, then the parts, the longest first."""
    parts = sorted(seconds.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name} {took:.1f} s" for name, took in parts)
    return f"time: {sum(seconds.values()):.1f} s: {listed}"


def in_threads(function: Callable[..., Any], *arguments: Iterable) -> list:
    """``map`` with a thread a core: the work is in libraries that let others run."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(function, *arguments))
