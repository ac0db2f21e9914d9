"""A chest phantom, scanned once and reconstructed with several kernels: paired domains.

A patient is a model in three dimensions, an organ or two a module: ``patient`` (what differs),
``body`` (skin, fat, muscle, table), ``bones``, ``cavity`` (the space within the ribs), ``lungs``
with ``trees`` and ``fractal`` texture, ``mediastinum``; ``anatomy`` cuts slices of it. Slices are
projected (Radon transform), given Poisson noise, and reconstructed by filtered back-projection. A
kernel is a radial filter on the result, so noise has each kernel's own power spectrum and is
correlated between kernels, as it is in a scanner. Scanners differ in pixel size, dose and
calibration.
"""

from jaxharmo.data.phantom.collection import PhantomConfig, make_phantom

__all__ = ["PhantomConfig", "make_phantom"]
