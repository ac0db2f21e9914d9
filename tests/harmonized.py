"""Series harmonized by a translation that is known: helpers of the tests of harmonize."""

import numpy as np
import pydicom

from jaxharmo.harmonize.batch import harmonize
from jaxharmo.harmonize.derivation import Derivation, Method

TO = "GE MEDICAL SYSTEMS LightSpeed VCT -- LUNG"
DIGEST = "0123456789abcdef" * 4
BATCH = 4


def brighter(hu):
    assert hu.dtype == np.float32
    assert hu.ndim == 3
    assert len(hu) <= BATCH
    assert hu.min() >= -1024
    return hu + np.float32(10.4)


def same(hu):
    return hu


def method(translate=brighter, digest=DIGEST, to=TO, **options):
    derivation = Derivation(model="demo", digest=digest, to=to, **options)
    # What these translations do does not depend on the source's domain.
    return Method(translate=lambda hu, *_: translate(hu), derivation=derivation, batch=BATCH)


def opener():
    """For other processes."""
    return [method(), method(to="ACME -- B")]


def harmonized(source, destination, translate=brighter, **options):
    lines = []
    chosen = method(translate, **options)
    count = harmonize(source, destination, [chosen], report=lines.append)
    return count, lines


def outputs(destination):
    return [pydicom.dcmread(path) for path in sorted(destination.glob("*.dcm"))]
