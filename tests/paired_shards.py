"""A shard set of two domains whose relation is known: the second is the first, blurred, say."""

import numpy as np
from chest import chest
from scipy import ndimage

from jaxharmo.data.manifest import SPLITS, Domain, Manifest, slugify, write_manifest
from jaxharmo.data.records import Slice, SliceHeader
from jaxharmo.data.shards import ShardWriter

SHARP, SOFT = "ACME One -- H", "ACME One -- S"
SIDE, SLICES = 96, 4


def blurred(hu):
    return ndimage.gaussian_filter(hu.astype(np.float64), 1.0)


def paired_shards(directory, relation=blurred, paired=True, split_by="patient"):
    """``SLICES`` slices of one patient in each split; unpaired, they are of other acquisitions."""
    domains = []
    for index, name in enumerate((SHARP, SOFT)):
        for number, split in enumerate(SPLITS):
            with ShardWriter(directory, split, slugify(name)) as writer:
                for place in range(SLICES):
                    noise = np.random.default_rng((number, place)).normal(size=(SIDE, SIDE))
                    hu = np.rint(np.clip(chest(SIDE)[0] + 20 * noise, -1024, 3071))
                    header = SliceHeader(
                        domain=index,
                        patient=f"p{number}",
                        series=f"s{number}-{index}",
                        acquisition=f"a{number}" if paired else f"a{number}-{index}",
                        position=2.5 * place,
                        spacing=(1.0, 1.0),
                        body=(16, 5, 80, 91),
                    )
                    pixels = (relation(hu) if name == SOFT else hu).round().astype(np.int16)
                    writer.write(Slice(header, pixels))
        slices = dict.fromkeys(SPLITS, SLICES)
        domains.append(Domain(index=index, name=name, slug=slugify(name), slices=slices))
    manifest = Manifest(
        window=(-1024.0, 3071.0),
        spacing="native",
        split_by=split_by,
        domains=tuple(domains),
        patients={split: [f"p{number}"] for number, split in enumerate(SPLITS)},
        paired=((SHARP, SOFT),) if paired else (),
        provenance={"tool": "test"},
    )
    write_manifest(directory, manifest)
    return directory
