"""A virtual CT: slices of a shard set as objects, acquired anew on scanners that are known.

Every scanner sees the same objects, so that all its domains are paired. Geometry is parallel beam,
to which scanners rebin their fans; a slice is scanned on its own.
"""

from jaxharmo.data.rescan.collection import RescanConfig, rescan

__all__ = ["RescanConfig", "rescan"]
