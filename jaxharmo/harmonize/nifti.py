"""A NIfTI image as a volume to harmonize; the result keeps its affine, its header and its type.

Slices are given to the network in DICOM's orientation: axial, rows from anterior to posterior,
columns from right to left, whatever the order of the file's axes.
"""

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxharmo.data.prepare.pixels import SCALE, Pixels
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder, write_text
from jaxharmo.harmonize.derivation import Derivation
from jaxharmo.isolation import MEMORY, Death, Helpers, limited

SUFFIXES = (".nii", ".nii.gz")
SIDECAR_SUFFIX = ".json"
_READERS = Helpers()
_MARK = "jaxharmo "
_DESCRIPTION_LENGTH = 80
_AIR = -500.0
_MOST_HU = 30000.0
_PARTIAL = ".jaxharmo-partial"
_LEAST_SPACING = 1e-3
"""mm; what claims less is damaged."""
_NO_ORIENTATION = "the header has no orientation; axes are taken as nibabel does"
_SLICES = "LPS"
_BYTES_PER_VOXEL = 16
"""While a file is decoded: as float64, as float32, and what checks need."""
_LARGE = 2**30
_MOST_COMPRESSED = 100
"""Times that a CT is larger than its file; most are two to four times."""


def is_nifti(path: Path) -> bool:
    """By the name."""
    return path.name.lower().endswith(SUFFIXES)


def stem(path: Path) -> str:
    """The name without ``.nii`` or ``.nii.gz``."""
    return path.name[: path.name.lower().rindex(".nii")]


@dataclasses.dataclass(frozen=True)
class _Found:
    """A NIfTI file without its voxels."""

    kind: type
    """Of nibabel's images."""
    header: Any
    affine: Float[np.ndarray, "4 4"]
    integer: bool
    """Type of the voxels as they are stored."""
    shape: tuple[int, int, int]
    """Slices, rows, columns."""
    spacing: float
    remarks: list[str]
    fingerprint: str


class NiftiImage:
    """One three-dimensional CT in HU, read when it is first used.

    Voxels are in memory while its slices are read. ``InputError`` where the file is damaged or no
    CT in HU, and where it was harmonized before, unless ``ours`` takes that.
    """

    origin = ""

    def __init__(self, path: Path, label: Path | None = None, *, ours: bool = False):
        self.path = path
        self._ours = ours
        self.label = label or Path(stem(path))

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, which read it anew: voxels are many."""
        return {name: vars(self)[name] for name in ("path", "_ours", "label")}

    @property
    def spacing(self) -> float:
        """Distance of rows, mm."""
        return self._found.spacing

    @property
    def remarks(self) -> list[str]:
        """Warnings about the image as it is."""
        return self._found.remarks

    @property
    def fingerprint(self) -> str:
        """Digest of affine and voxels."""
        return self._found.fingerprint

    def __len__(self) -> int:
        return self._found.shape[0]

    @cached_property
    def _found(self) -> _Found:
        return self._decoded(partial(_examine, ours=self._ours))

    @cached_property
    def _hu(self) -> Float[np.ndarray, "z h w"]:
        return self._decoded(_read)

    def _decoded(self, function: Callable[[Path], Any]) -> Any:
        _nibabel()
        result = _READERS.call(function, self.path)
        if isinstance(result, Death):
            raise InputError(f"{self.path}: {result.reason}; restore the file")
        return result

    def read(self, number: int) -> tuple[None, Pixels]:
        """Slice ``number`` from the bottom; padding is what lies below the CT scale."""
        hu = self._hu[number]
        return None, Pixels(hu, hu < SCALE[0])

    def is_finished(self, destination: Path, derivation: Derivation) -> bool:
        """Whether ``destination`` is this image harmonized in this way."""
        if not destination.exists():
            return False
        try:
            header: Any = _nibabel().load(destination).header
            mark = header["descrip"].tobytes().rstrip(b"\0").decode("ascii", "replace")
        except Exception:
            mark = ""
        if mark != self._mark(derivation):
            raise InputError(
                f"{destination}: exists, and is not this image harmonized by this model to "
                f"{derivation.to} in this way; name a new file"
            )
        return True

    @contextlib.contextmanager
    def writing(self, destination: Path, derivation: Derivation) -> Iterator["_Writer"]:
        """The image appears when all slices are there, its sidecar just before it."""
        if not is_nifti(destination):
            raise InputError(f"{destination}: name a file that ends in .nii or .nii.gz")
        make_folder(destination.parent)
        # Loaded here, as slices are read by several threads.
        writer = _Writer(self._hu.shape)
        try:
            yield writer
        finally:
            del self._hu
        write_text(destination.with_name(stem(destination) + SIDECAR_SUFFIX), writer.text)
        self._save(writer.hu, destination, self._mark(derivation))

    def _save(self, hu: Float[np.ndarray, "z y x"], destination: Path, mark: str) -> None:
        nibabel, found = _nibabel(), self._found
        back = nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt(_SLICES), nibabel.io_orientation(found.affine)
        )
        turned = nibabel.apply_orientation(hu.transpose(2, 1, 0), back)
        header = found.header.copy()
        if found.integer:
            limits = np.iinfo(np.int16)
            turned = np.clip(np.rint(turned), limits.min, limits.max).astype(np.int16)
        header.set_data_dtype(turned.dtype)
        header.set_slope_inter(1, 0)
        header["descrip"] = mark.encode()
        image = found.kind(turned, found.affine, header)
        # The suffix decides on compression.
        partial = destination.with_name(f"{_PARTIAL}-{destination.name}")
        try:
            nibabel.save(image, partial)
            partial.replace(destination)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _mark(self, derivation: Derivation) -> str:
        """The text for the header's field of 80 characters."""
        identity = "\0".join([self.fingerprint, *derivation.identity])
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        target = derivation.to.encode("ascii", "replace").decode()
        return f"{_MARK}{digest} to {target}"[: _DESCRIPTION_LENGTH - 1].strip()


class _Writer:
    def __init__(self, shape: tuple[int, ...]):
        self.hu = np.empty(shape, np.float32)
        self.text = ""

    def write(self, number: int, payload: None, hu: Float[np.ndarray, "h w"]) -> None:
        self.hu[number] = hu

    def sidecar(self, text: str) -> None:
        self.text = text


def _examine(path: Path, *, ours: bool) -> _Found:
    """In a helper: what the file holds; ``InputError`` where that is no CT in HU."""
    nibabel = _nibabel()
    with _opened(path) as image:
        stored = np.asanyarray(image.dataobj)
        affine, zooms = image.affine, _zooms(path, type(image.header))
        description = bytes(image.header["descrip"].tobytes()).decode("ascii", "replace")
        if stored.ndim != 3 or not stored.size or stored.dtype.kind not in "iuf":
            raise InputError(f"{path}: not one three-dimensional grey image; give one volume")
        if description.startswith(_MARK) and not ours:
            raise InputError(f"{path}: harmonized already; give the original image")
        # Orientation is meaningless, and slices cannot be found, without spacing.
        sound = np.isfinite(affine).all() and min(zooms) > _LEAST_SPACING
        if not (sound and np.linalg.det(affine)):
            raise InputError(f"{path}: its affine or spacing is missing or singular; set it")
        here = nibabel.io_orientation(affine)
        if not np.isfinite(here).all():
            raise InputError(f"{path}: its affine leaves an axis without direction; set it")
        hu = _as_slices(stored, affine)
        if not np.isfinite(hu).all():
            raise InputError(f"{path}: holds values that are not finite; fill them with -1024")
        if hu.min() > _AIR or hu.max() > _MOST_HU:
            raise InputError(
                f"{path}: values from {hu.min():g} to {hu.max():g} are no CT in HU, "
                "which shows air near -1000; convert it first"
            )
        oriented = image.header["sform_code"] or image.header["qform_code"]
        return _Found(
            kind=type(image),
            header=image.header,
            affine=affine,
            integer=image.get_data_dtype().kind in "iu",
            shape=hu.shape,
            spacing=zooms[int(np.flatnonzero(here[:, 0] == 0)[0])],
            remarks=[] if oriented else [_NO_ORIENTATION],
            fingerprint=hashlib.sha256(affine.tobytes() + hu.tobytes()).hexdigest()[:32],
        )


def _read(path: Path) -> Float[np.ndarray, "z h w"]:
    """In a helper: the voxels of an image that was examined."""
    with _opened(path) as image:
        return _as_slices(np.asanyarray(image.dataobj), image.affine)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Within the limits of a file, which here grow with what it claims to hold."""
    try:
        image: Any = _nibabel().load(path)
        _refuse_bomb(path, image)
        with limited(MEMORY + _BYTES_PER_VOXEL * math.prod(image.shape)):
            yield image
    except InputError:
        raise
    except Exception as error:
        # Damaged bytes surface as almost any exception.
        raise InputError(f"{path}: not a readable NIfTI image; restore the file") from error


def _as_slices(stored: np.ndarray, affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "z h w"]:
    nibabel = _nibabel()
    turns = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(_SLICES)
    )
    turned = nibabel.apply_orientation(stored, turns)
    return np.ascontiguousarray(turned.transpose(2, 1, 0), dtype=np.float32)


def _refuse_bomb(path: Path, image: Any) -> None:
    """``InputError`` where a compressed file claims to hold far more voxels than it can."""
    size = math.prod(image.shape) * image.get_data_dtype().itemsize
    if size > max(_LARGE, _MOST_COMPRESSED * path.stat().st_size):
        raise InputError(f"{path}: claims {size / 2**30:.1f} GiB of voxels in a file too small")


def _zooms(path: Path, kind: Any) -> tuple[float, ...]:
    """Spacing as it stands in the file: nibabel replaces zeros by ones."""
    with _nibabel().openers.ImageOpener(path) as file:
        return tuple(map(float, kind.from_fileobj(file, check=False)["pixdim"][1:4]))


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise InputError('NIfTI needs nibabel: pip install "jaxharmo[nifti]"') from error
    return nibabel
