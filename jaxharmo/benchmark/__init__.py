"""A benchmark that any method can enter: suites of paired virtual scanners, and one table.

The pairs of the test patients are the truth. Nothing is trained on those patients.
"""

from jaxharmo.benchmark.network import NetworkConfig
from jaxharmo.benchmark.run import BenchmarkConfig, run_benchmark
from jaxharmo.benchmark.shards import SuiteConfig

__all__ = ["BenchmarkConfig", "NetworkConfig", "SuiteConfig", "run_benchmark"]
