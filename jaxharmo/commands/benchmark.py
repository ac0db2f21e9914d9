"""``jaxharmo benchmark``."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxharmo import runtime
from jaxharmo.benchmark import BenchmarkConfig, NetworkConfig, SuiteConfig, run_benchmark
from jaxharmo.console import message


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Compare methods on virtual scanners, where the truth is known: one table of all.

    Research use; not a medical device.
    """

    suite: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SUITE")]]
    """kernels (linear filters, one scanner), scanners (between scanners), or nonlinear (filtered
    back-projection and iterative reconstruction)."""
    workdir: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="WORKDIR")]]
    """Folder for slices, trainings and the table; the same command again keeps what is there."""
    objects: Annotated[SuiteConfig, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=SuiteConfig
    )
    methods: Annotated[BenchmarkConfig, tyro.conf.arg(name="", prefix_name=False)] = (
        dataclasses.field(default_factory=BenchmarkConfig)
    )
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)

    def run(self) -> None:
        """Run it and print the table."""
        runtime.keep_compilations()
        print(run_benchmark(self.suite, self.workdir, self.objects, self.network, self.methods))
        message(f"results in {self.workdir}: benchmark.md, benchmark.json, evaluation/report.html")
