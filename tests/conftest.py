import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FLAGS = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def known_to_xla(flags):
    """Tried out, as XLA and its plugins for other devices end a process that names a flag that
    they do not know, or not any more."""
    environment = {**os.environ, "XLA_FLAGS": flags}
    start = [sys.executable, "-c", "import jax; jax.devices()"]
    return subprocess.run(start, env=environment, capture_output=True).returncode == 0


# Before JAX starts, and for the commands that tests run: tests compile much and compute little.
# The fusion emitters take a third of a compilation, and cutting a program into parts for several
# cores a quarter. Workers of pytest-xdist inherit them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _own = os.environ.get("XLA_FLAGS", "")
    _choices = (" ".join([_own, *FLAGS[:count]]) for count in (3, 2, 1))
    os.environ["XLA_FLAGS"] = next(filter(known_to_xla, _choices), _own)
    _cache = tempfile.TemporaryDirectory(prefix="jaxharmo-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
    # By default, only what takes a second to compile is kept.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import jax
import pytest
from browsing import chromium

from jaxharmo.data.phantom import PhantomConfig, make_phantom

jax.config.update("jax_num_cpu_devices", 8)

# What is imported stays; the search for garbage need not look through it.
gc.freeze()

LONG = (
    "commands/test_commands.py",
    "training/test_step.py",
    "training/test_loop.py",
    "evaluation/test_parts.py",
    "evaluation/test_evaluate.py",
    "losses/test_changes.py",
    "profiling/test_profiling.py",
    "ops/test_glcm.py",
    "ops/test_pairs.py",
    "ops/test_projection.py",
    "models/test_networks.py",
)


def pytest_collection_modifyitems(items):
    """Files of a minute come first: begun last, one would keep one worker while the others wait."""
    items.sort(key=lambda item: not item.nodeid.partition("::")[0].endswith(LONG))


@pytest.fixture(scope="module", autouse=True)
def tidied():
    """A file leaves no garbage to the next: its warnings would come in the midst of other tests.

    A coroutine that Orbax drops is reported when it is collected. Where that happens while Python
    parses a source, Python 3.11 ends the parsing with a SystemError.
    """
    yield
    gc.collect()


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    """A phantom shard set, small and quick to make."""
    directory = tmp_path_factory.mktemp("phantom")
    make_phantom(directory, PhantomConfig(patients=4, slices=1, size=96))
    return directory


@pytest.fixture(scope="session")
def real_ct():
    """The folder of real CT that JAXHARMO_CT names; the test is skipped without it."""
    directory = Path(os.environ.get("JAXHARMO_CT", "../shared/ct"))
    if not directory.is_dir():
        pytest.skip("no real CT: JAXHARMO_CT does not name a folder")
    return directory


@pytest.fixture
def dask_scheduler():
    """The address of a Dask scheduler with two workers; the test is skipped without Dask."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; the test is skipped where Playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip("no Chromium or Chrome on this machine")
    with playwright.sync_playwright() as running:
        # A sandbox needs rights that containers lack.
        started = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
