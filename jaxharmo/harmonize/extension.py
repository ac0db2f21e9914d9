"""A model with a domain added, from a reference series of it and a series of a known domain."""

import dataclasses

import numpy as np

from jaxharmo.errors import InputError
from jaxharmo.harmonize.few_shot import add_domain
from jaxharmo.harmonize.harmonizer import Harmonizer, reference_slices
from jaxharmo.harmonize.textures import Textures, describe
from jaxharmo.harmonize.volume import Volume
from jaxharmo.translator import Translator

_LARGEST_RATIO = 1.25
"""Of pixel sizes: what the two series show is compared by frequencies per pixel."""


def extend(
    harmonizer: Harmonizer,
    like: Volume,
    source: Volume,
    *,
    name: str | None = None,
    origin: str | None = None,
) -> tuple[Translator, Textures | None]:
    """The model of ``harmonizer`` with the domain of ``like`` added, and all textures.

    ``name`` replaces the domain's name, ``origin`` the domain of ``source``; if not given, the
    headers tell them. Raises ``InputError`` where they do not, where pixels differ in size by more
    than a quarter, and as ``add_domain``.
    """
    name = like.origin if name is None else name
    if not name:
        raise InputError("the reference's headers name no kernel; name its domain with --name")
    of = source.origin if origin is None else origin
    if of not in harmonizer.domains:
        raise InputError(
            f"the source is of the domain '{of}', which the model does not have; take another "
            f"series, or name its domain with --from: {', '.join(sorted(harmonizer.domains))}"
        )
    sizes = sorted((like.spacing, source.spacing))
    if sizes[1] > _LARGEST_RATIO * sizes[0]:
        raise InputError(
            f"pixels of {like.spacing:.2f} mm in the reference and of {source.spacing:.2f} mm in "
            "the source; take a source with pixels of about the same size"
        )
    slices = reference_slices(like)
    translator = add_domain(
        harmonizer.translator, name, slices, reference_slices(source), of, source.spacing
    )
    textures = harmonizer.textures
    if textures:
        images = [item.astype(np.float32) for item in slices]
        own = describe(images, [like.spacing], textures.window)
        textures = dataclasses.replace(textures, domains={**textures.domains, name: own})
    return translator, textures
