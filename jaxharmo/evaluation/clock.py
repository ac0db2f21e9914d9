"""Where the time of an evaluation goes, and how it is shared by threads."""

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Clock:
    """Adds up wall time by part: ``with clock("reading"): ...``."""

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what runs inside towards ``part``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - start

    def line(self) -> str:
        """One line for the console: the sum, then the parts, the longest first."""
        parts = sorted(self.seconds.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts)
        return f"time: {sum(self.seconds.values()):.1f} s: {listed}"


def in_threads(function: Callable[..., Any], *arguments: Iterable) -> list:
    """``map`` with a thread a core: the work is in libraries that let others run."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(function, *arguments))
