"""The shipped model on the real pairs: the test blocks, which it was not trained on."""

import numpy as np
import pytest

import jaxharmo
from jaxharmo.data.manifest import read_manifest
from jaxharmo.data.prepare.collection import Job, PrepareConfig, prepare
from jaxharmo.data.shards import SliceSource

B, L = "Philips Brilliance16 -- B", "Philips Brilliance16 -- L"
B40F, B70F = "SIEMENS Sensation 10 -- B40f", "SIEMENS Sensation 10 -- B70f"
WINDOW = (-1024, 400)


@pytest.fixture(scope="module")
def test_slices(real_ct, tmp_path_factory):
    """HU by domain and position, and the distance of pixels in mm."""
    shards = tmp_path_factory.mktemp("ct") / "shards"
    job = Job(workers=1)
    prepare(real_ct / "lung-pet-ct-dx", shards, PrepareConfig(split_gap=2), job=job)
    found = {}
    for domain in read_manifest(shards).domains:
        items = list(SliceSource(shards, "test", domain))
        volume = {item.header.position: item.pixels.astype(np.float32) for item in items}
        found[domain.name] = (volume, items[0].header.spacing[0])
    return found


@pytest.fixture(scope="module")
def harmonizer():
    return jaxharmo.load("kernel-pairs", batch=4)


@pytest.mark.parametrize(
    ("source", "target", "least"),
    [(L, B, 0.85), (B70F, B40F, 0.8), (B, L, 0.83), (B40F, B70F, 0.66)],
)
def test_the_error_falls_on_slices_never_seen(test_slices, harmonizer, source, target, least):
    (before, spacing), (wanted, _) = test_slices[source], test_slices[target]
    places = sorted(before.keys() & wanted.keys())
    assert len(places) >= 3
    hu, truth = (np.stack([volume[place] for place in places]) for volume in (before, wanted))
    made = harmonizer(hu, spacing, to=target)

    def error(volume):
        difference = np.clip(volume, *WINDOW) - np.clip(truth, *WINDOW)
        return np.sqrt(np.mean(difference**2, axis=(1, 2), dtype=np.float64)).mean()

    assert error(made) < (1 - least) * error(hu)
    # The source's domain was told by its texture, and into its own nothing changes.
    np.testing.assert_allclose(harmonizer(hu, spacing, to=source), hu, atol=1e-3)
