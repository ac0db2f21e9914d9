"""What reads foreign files, by kind: how a sound folder is made, and how it is read.

A target returns, or raises ``InputError``; all else is a find. They run in helper processes.
"""

import contextlib
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from random_weights import random_weights
from small import SMALL, replace

from jaxharmo.checkpoint import Checkpoints, find_step
from jaxharmo.data.manifest import SPLITS, choose_domains, read_manifest
from jaxharmo.data.phantom import PhantomConfig, make_phantom
from jaxharmo.data.prepare.nifti import read_labels
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError
from jaxharmo.evaluation.weights.torch_files import parse_tensors, read_tensors
from jaxharmo.harmonize.nifti import NiftiImage
from jaxharmo.harmonize.packaged import read_model, write_model
from jaxharmo.harmonize.textures import DomainTexture, Textures, read_textures
from jaxharmo.saved_config import read_config, write_config
from jaxharmo.translator import Translator

TINY_ZIP = Path(__file__).parents[1] / "evaluation" / "tiny_zip.pth"
LABELS = """file,domain,patient,acquisition,manufacturer,model,kernel,kvp,exposure,contrast
a.nii,A,p1,x,,,,120,3.5,yes
"b, c.nii.gz",,p2,x,SIEMENS,Sensation 16,B30f,,,no
"""


@dataclasses.dataclass(frozen=True)
class Kind:
    """Of foreign files."""

    make: object
    """Writes a sound folder."""
    read: object
    """Reads it as a command does."""
    damaged: tuple[str, ...]
    """Patterns of the files that are damaged, one at a time."""


def make_shards(folder):
    make_phantom(folder, PhantomConfig(patients=4, slices=1, size=64))


def read_shards(folder):
    manifest = read_manifest(folder)
    for domain in choose_domains(manifest, ()):
        for split in SPLITS:
            for item in SliceSource(folder, split, domain):
                assert item.pixels.ndim == 2


def make_model(folder):
    config = replace(SMALL, eval={"batch_size": 2})
    texture = DomainTexture(mean=(2.0,) * 6, sd=(0.3,) * 6, slices=9, spacing=(0.5, 0.9))
    textures = Textures(window=(-1024.0, 400.0), domains=dict.fromkeys("ABC", texture))
    write_model(folder, Translator(config, random_weights(config), 7), textures)


def read_model_folder(folder):
    read_model(folder)
    read_textures(folder)


def make_run(folder):
    folder.mkdir()
    write_config(folder, SMALL)


def make_checkpoints(folder):
    folder.mkdir()
    with Checkpoints(folder, 3) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, weights(step))


def read_checkpoints(folder):
    step = find_step(folder, None)
    found = Checkpoints(folder).restore(step, weights(0))["ema"]["kernel"]
    np.testing.assert_array_equal(found, weights(step)["ema"]["kernel"])


def weights(step):
    return {"ema": {"kernel": np.random.default_rng(step).standard_normal(500, np.float32)}}


def make_labels(folder):
    folder.mkdir()
    (folder / "labels.csv").write_text(LABELS)


def read_the_labels(folder):
    read_labels(folder / "labels.csv", "scanner-kernel")


def make_weights(folder):
    folder.mkdir()
    (folder / "weights.pth").write_bytes(TINY_ZIP.read_bytes())


def read_weights(folder):
    """As given by a user, by their digest; and what the digest keeps out, without effect."""
    path = folder / "weights.pth"
    with contextlib.suppress(Exception):
        parse_tensors(path.read_bytes())
    read_tensors(path, hashlib.sha256(TINY_ZIP.read_bytes()).hexdigest(), "mend")


def nifti_volume():
    x, y, z = np.mgrid[:12, :16, :5]
    return (10 * x + 3 * y + 100 * z - 1000).astype(np.int16)


def make_nifti(folder, names=("a.nii", "b.nii.gz")):
    import nibabel

    folder.mkdir()
    for name in names:
        nibabel.save(
            nibabel.Nifti1Image(nifti_volume(), np.diag([0.8, 0.9, 2.5, 1])), folder / name
        )


def read_nifti(folder):
    """As ``harmonize`` does, each alone."""
    refusal = None
    for path in sorted(folder.iterdir()):
        try:
            image = NiftiImage(path)
            image.read(len(image) - 1)
        except InputError as error:
            refusal = error
    if refusal:
        raise refusal


KINDS = {
    "NIfTI": Kind(make_nifti, read_nifti, ("*.nii", "*.nii.gz")),
    "dataset.json": Kind(make_shards, read_shards, ("dataset.json",)),
    "shards": Kind(make_shards, read_shards, ("*/*.arrayrecord",)),
    "model folders": Kind(make_model, read_model_folder, ("*",)),
    "run configs": Kind(make_run, read_config, ("config.json",)),
    "checkpoints": Kind(make_checkpoints, read_checkpoints, ("checkpoints/2/**/*",)),
    "CSVs of labels": Kind(make_labels, read_the_labels, ("labels.csv",)),
    "weights files": Kind(make_weights, read_weights, ("weights.pth",)),
}


def read(kind, folder):
    """Whether a folder was accepted; the line it was refused with has to be one."""
    refusal = ""
    try:
        KINDS[kind].read(folder)
    except InputError as error:
        refusal = str(error)
    assert "\n" not in refusal, "a refusal of several lines"
    assert len(refusal) < 1000, "a refusal of more than a line"
    return not refusal
