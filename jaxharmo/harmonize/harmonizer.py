"""A trained model, ready for volumes: what ``jaxharmo.load`` returns and the command uses."""

import contextlib
import dataclasses
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from jaxharmo.config import EvalConfig
from jaxharmo.data.evenly import evenly
from jaxharmo.data.prepare.pixels import SCALE
from jaxharmo.errors import InputError
from jaxharmo.harmonize.derivation import Derivation, Method
from jaxharmo.harmonize.packaged import is_packaged, read_model
from jaxharmo.harmonize.quality import Quality
from jaxharmo.harmonize.shipped import find_model
from jaxharmo.harmonize.textures import (
    Textures,
    looked_at,
    measure_shards,
    read_textures,
    write_textures,
)
from jaxharmo.harmonize.tiling import check_tile, tiled
from jaxharmo.harmonize.volume import Volume
from jaxharmo.saved_config import read_config
from jaxharmo.translator import Precision, Style, Translator, load_translator

_REFERENCE_SLICES = 64


class Harmonizer:
    """Translates volumes between the domains of one model.

    A volume is an array of slices, z × rows × columns, in HU, on its own grid: nothing is
    resampled, and slices may have any size. All slices of a volume get one style.
    """

    def __init__(self, translator: Translator, folder: Path, *, name: str, tile: int | None = None):
        self.name = name
        """For people; it stands in DICOM headers."""
        self.translator = translator
        self._folder, self._tile = folder, tile
        if tile is not None:
            check_tile(tile, translator.config.model)

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains that it translates to."""
        return self.translator.domains

    @property
    def must_measure(self) -> bool:
        """Whether ``textures`` has to read shards, which takes some seconds."""
        return bool(self.translator.config.data.shards) and read_textures(self._folder) is None

    @cached_property
    def textures(self) -> Textures | None:
        """Textures of the training domains.

        Read from the model's folder, else measured on its shards, once, and kept there; None
        without either.
        """
        found = read_textures(self._folder)
        data = self.translator.config.data
        if found or not data.shards:
            return found
        try:
            found = measure_shards(Path(data.shards), data.domains, data.window)
        except InputError:
            return None
        # Where the folder is closed they are measured again the next time.
        with contextlib.suppress(OSError):
            write_textures(self._folder, found)
        return found

    def __call__(
        self,
        volume_hu: Num[np.ndarray, "z h w"],
        spacing_mm: float | Sequence[float],
        to: str,
        *,
        of: str | None = None,
        seed: int | None = None,
        like: Num[np.ndarray, "z h w"] | None = None,
    ) -> Float[np.ndarray, "z h w"]:
        """The volume as the domain ``to`` would show it, HU, float32.

        ``spacing_mm``: of voxels, in z, rows and columns, or one for all; the grid is kept, so it
        is only checked. ``of`` is the volume's own domain, for models that start from it; where not
        given, they take the training domain nearest in texture. The style is the domain's mean, or
        drawn by ``seed``, or that of ``like``, a volume of the domain ``to``. Voxels outside the
        training window keep their value, with a smooth hand-over. Raises ``InputError`` for an
        unknown domain, for arrays that are not such a volume and for spacings that are not
        positive.
        """
        _check_volume(volume_hu)
        if not (np.isfinite(spacing_mm).all() and np.min(spacing_mm) > 0):
            raise InputError(f"spacing {spacing_mm}: must be positive, mm")
        if of is None and self.translator.needs_source:
            of = self._recognise(volume_hu, float(np.atleast_1d(spacing_mm)[-1]))
        pixel = float(np.broadcast_to(spacing_mm, 3)[1:].mean())
        return self.translate(volume_hu, of, pixel, style=self.style(to, seed=seed, like=like))

    def _recognise(self, volume_hu: Num[np.ndarray, "z h w"], spacing: float) -> str:
        some = volume_hu[looked_at(len(volume_hu))].astype(np.float32)
        found = self.textures.recognise(some, spacing) if self.textures else ""
        if not found:
            raise InputError("the volume's own domain is not known; name it with of=…")
        return found

    def style(
        self, to: str, *, seed: int | None = None, like: Num[np.ndarray, "z h w"] | None = None
    ) -> Style:
        """A style of the domain ``to``: its mean, drawn by ``seed``, or that of slices of it."""
        self.translator.check_domain(to)
        if like is not None:
            _check_volume(like)
            return self.translator.reference_style(like, of=to)
        return (
            self.translator.mean_style(to)
            if seed is None
            else self.translator.latent_style(to, seed)
        )

    def translate(
        self, hu: Num[np.ndarray, "n h w"], of: str | None, pixel: float, *, style: Style
    ) -> Float[np.ndarray, "n h w"]:
        """Slices of the domain ``of``, pixels in mm, to a style; in tiles if so configured."""
        steering = self.translator.steering(style, of, pixel)
        run = partial(self.translator.translate, steering=steering)
        if self._tile is None:
            return run(hu)
        return tiled(run, hu, self._tile, self.translator.config.model)

    def assess(
        self, before: Num[np.ndarray, "z h w"], after: Num[np.ndarray, "z h w"], to: str
    ) -> dict[str, Any]:
        """Figures of quality of a translation, as in the sidecars; see ``Quality.summary``."""
        self.translator.check_domain(to)
        quality = Quality(len(before), self.textures)
        for number, (first, second) in enumerate(zip(before, after, strict=True)):
            quality.add(number, first.astype(np.float32), second, first < SCALE[0])
        return quality.summary(to)

    def method(
        self,
        to: str,
        *,
        seed: int | None = None,
        like: Volume | None = None,
        kernel_tag: bool = False,
        date: datetime | None = None,
    ) -> Method:
        """How the command translates series into the domain ``to``."""
        label, slices = "mean", None
        if like is not None:
            label, slices = f"like {like.fingerprint}", reference_slices(like)
        elif seed is not None:
            label = f"seed {seed}"
        style = self.style(to, seed=seed, like=slices)
        return Method(
            translate=partial(self.translate, style=style),
            derivation=Derivation(
                model=f"{self.name}, step {self.translator.step}",
                digest=self.translator.digest,
                to=to,
                style=label,
                precision=self.translator.precision,
                kernel_tag=kernel_tag,
                date=date,
            ),
            domains=self.domains,
            textures=self.textures,
            batch=self.translator.config.eval.batch_size,
            needs_source=self.translator.needs_source,
        )


def load(
    model: Path | str,
    *,
    step: int | None = None,
    precision: Precision = "float32",
    batch: int = 8,
    tile: int | None = None,
) -> Harmonizer:
    """The model of a run (``RUN``, at ``step`` or its newest), of a model folder, or shipped.

    ``batch`` slices are translated at a time, spread over the local devices; with ``tile``, in
    pieces of at most so many pixels a side. Raises ``InputError`` where there is no such model.
    """
    folder = find_model(model)
    if batch < 1:
        raise InputError(f"--batch {batch}: must be at least 1")
    settings = EvalConfig(batch_size=batch)
    if is_packaged(folder):
        if step is not None:
            raise InputError(f"{folder}: a model folder has one step; leave --step out")
        translator = read_model(folder, settings, precision=precision)
    else:
        settings = dataclasses.replace(read_config(folder).eval, batch_size=batch)
        translator = load_translator(folder, step, settings, precision=precision)
    return Harmonizer(translator, folder, name=folder.resolve().name, tile=tile)


def _check_volume(volume: np.ndarray) -> None:
    if volume.ndim != 3 or not volume.size or not np.isfinite(volume).all():
        raise InputError(
            f"not a volume z × rows × columns of finite HU, but an array of shape {volume.shape}"
        )


def reference_slices(volume: Volume) -> Float[np.ndarray, "z h w"]:
    """At most 64 slices of a volume, HU, evenly spread, their padding as the network saw it."""
    count = len(volume)
    numbers = evenly(count, _REFERENCE_SLICES)
    slices = [volume.read(int(number))[1] for number in numbers]
    return np.stack([np.where(item.padding, np.float32(SCALE[0]), item.hu) for item in slices])
