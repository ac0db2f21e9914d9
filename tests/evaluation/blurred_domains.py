"""Slices of three domains in which the same chests are blurred more and more."""

import numpy as np
from scipy import ndimage

from jaxharmo.config import Config, DataConfig, EvalConfig
from jaxharmo.data.manifest import Domain, Manifest, slugify, write_manifest
from jaxharmo.data.records import Slice, SliceHeader
from jaxharmo.data.shards import ShardWriter
from jaxharmo.evaluation.methods import Guidance

SIDE, SLICES = 96, 5
SHARP, SOFT, STRANGE = "ACME One -- H", "ACME One -- S", "<script>alert(1)</script> & Co -- X"
BLURS = {SHARP: 0.0, SOFT: 1.2, STRANGE: 2.0}
CONFIG = Config(
    data=DataConfig(domains=(SHARP, SOFT)),
    eval=EvalConfig(tile=32, resamples=20, permutations=19),
)


def chest(number):
    """Body, two lungs with vessels, noise: HU."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    inside = lambda cy, cx, ry, rx: ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1  # noqa: E731
    hu = np.full((SIDE, SIDE), -920.0)
    hu[inside(0.5, 0.5, 0.4, 0.45)] = 40
    for cx in (0.3, 0.7):
        hu[inside(0.5, cx + 0.01 * random.normal(), 0.25, 0.13)] = -820
        for cy in random.uniform(0.35, 0.65, 4):
            hu[inside(cy, cx + random.uniform(-0.06, 0.06), 0.02, 0.02)] = 20
    return hu + 20 * random.normal(size=hu.shape)


def blurred(hu, sigma):
    return ndimage.gaussian_filter(hu, (0,) * (hu.ndim - 2) + (sigma, sigma)) if sigma else hu


def write_shards(directory, slices=SLICES):
    """The first two domains are paired."""
    domains = []
    for index, (name, blur) in enumerate(BLURS.items()):
        with ShardWriter(directory, "test", slugify(name)) as writer:
            for number in range(slices):
                header = SliceHeader(
                    domain=index,
                    patient=f"p{number // 3}",
                    series=f"s{index}",
                    # The third domain is of other acquisitions: unpaired.
                    acquisition=f"a{index // 2}",
                    position=2.5 * number,
                    spacing=(1.0, 1.0),
                    body=(0, 0, SIDE, SIDE),
                )
                hu = blurred(chest(number), blur).round().clip(-1024, 3071)
                writer.write(Slice(header, hu.astype(np.int16)))
        held = {"train": 0, "validation": 0, "test": slices}
        domains.append(Domain(index=index, name=name, slug=slugify(name), slices=held))
    manifest = Manifest(
        window=(-1024.0, 3071.0),
        spacing="native",
        split_by="patient",
        domains=tuple(domains),
        patients={"test": ["p0", "p1"]},
        paired=((SHARP, SOFT),),
        provenance={"tool": "test"},
    )
    write_manifest(directory, manifest)
    return directory


def blur_to_soft(hu, of, to, _=None):
    return blurred(hu, BLURS[SOFT]) if to == SOFT else hu


def blur_guide(training):
    """For other processes, too."""
    return [Guidance("model", blur_to_soft)]
