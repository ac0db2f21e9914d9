"""CT harmonization across scanners and reconstruction kernels, in JAX/Flax.

::

    harmonizer = jaxharmo.load("runs/demo")
    harmonized = harmonizer(volume_hu, spacing_mm, to="SIEMENS Sensation 16 -- B30f")
"""

from typing import TYPE_CHECKING, Any

from jaxharmo.version import __version__

if TYPE_CHECKING:
    from jaxharmo.harmonize.harmonizer import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    # Imported on first use: `import jaxharmo` must not start JAX.
    if name == "load":
        from jaxharmo.harmonize.harmonizer import load

        return load
    raise AttributeError(f"module 'jaxharmo' has no attribute '{name}'")
