import importlib.util
import mmap
import os
import tempfile
from pathlib import Path


def known_to_xla(flag):
    """XLA ends a process that names a flag it has dropped, so look for the name in its library."""
    (folder,) = importlib.util.find_spec("jaxlib").submodule_search_locations
    for path in Path(folder).glob("libjax_common.*"):
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as library,
        ):
            return library.find(flag.encode()) >= 0
    return False


# Before JAX starts, and for the commands that tests run: tests compile much and compute little.
# The fusion emitters take a third of a compilation. Workers of pytest-xdist inherit both.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
    )
    if known_to_xla("xla_cpu_use_fusion_emitters"):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
    _cache = tempfile.TemporaryDirectory(prefix="jaxharmo-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name

import jax
import pytest

from jaxharmo.data.phantom import PhantomConfig, make_phantom

jax.config.update("jax_num_cpu_devices", 8)


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
