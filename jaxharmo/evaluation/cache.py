"""Features of real slices, kept between evaluations beside the shards they were measured on.

``SHARD_DIR/features/<split>-<slug>-<key>.npz``; the key is a digest of the pixels and headers, of
which slices are measured, and of all settings and weights that the values depend on. So any run on
the shard set finds them, and nothing stale is ever found. A file that cannot be read is measured
again and replaced; where the shard set cannot be written to, nothing is kept.
"""

import contextlib
import hashlib
import json
from pathlib import Path

from jaxharmo.evaluation.chunks import Real, arrays_of, read_arrays, real_of, write_arrays
from jaxharmo.evaluation.slices import DomainSlices

FOLDER = "features"
_VERSION = 2
"""To be raised when a measure changes its values."""


def kept_features(shards: Path, domain: DomainSlices, settings: dict) -> Real | None:
    """What is on disk of the chosen slices; None where nothing is.

    ``settings`` is ``Sampler.description``.
    """
    arrays = read_arrays(_path(shards, domain, settings))
    with contextlib.suppress(ValueError, KeyError):
        return None if arrays is None else real_of(arrays)
    return None


def keep_features(shards: Path, domain: DomainSlices, settings: dict, found: Real) -> None:
    """Keep what was measured, where the folder can be written to."""
    path = _path(shards, domain, settings)
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_arrays(path, arrays_of(found))


def _path(shards: Path, domain: DomainSlices, settings: dict) -> Path:
    what = {
        "version": _VERSION,
        "slices": domain.digest,
        "chosen": domain.chosen,
        "settings": settings,
    }
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
    return shards / FOLDER / f"{domain.split}-{domain.slug}-{key}.npz"
