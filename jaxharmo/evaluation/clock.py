"""Where the time of an evaluation goes."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator


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
        """One line for the console, the longest part first."""
        parts = sorted(self.seconds.items(), key=lambda item: -item[1])
        return "time: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts)
