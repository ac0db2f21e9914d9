"""Styles within a domain: the noise of a reference, and the noise of the domain."""

import itertools
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from scipy.stats import ks_2samp

from jaxharmo.data.manifest import read_manifest
from jaxharmo.data.shards import SliceSource
from jaxharmo.ops.intensity import normalize
from jaxharmo.ops.noise import soft_tissue_noise
from jaxharmo.translator import load_translator

DRAWS = 4
"""Styles drawn for each slice."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The translator of the demo; HU of the test patients by domain and patient."""
    workdir = tmp_path_factory.mktemp("run")
    # Tests compile quickly for eight devices; a long training needs neither.
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", "jaxharmo", "train", "--workdir", workdir]
    subprocess.run(command, env=environment, check=True)
    shards = workdir / "phantom"
    patients = {}
    for domain in read_manifest(shards).domains:
        for item in SliceSource(shards, "test", domain):
            of_domain = patients.setdefault(domain.name, {})
            of_domain.setdefault(item.header.patient, []).append(item.pixels.astype(np.float32))
    stacked = {
        name: {patient: np.stack(slices) for patient, slices in of_domain.items()}
        for name, of_domain in patients.items()
    }
    return load_translator(workdir), stacked


def noise(translator, hu):
    window = translator.config.data.window
    image = normalize(jax.numpy.asarray(hu), window)[..., None]
    return np.asarray(soft_tissue_noise(image, window)[0])


@pytest.mark.slow
def test_a_reference_lends_its_noise(trained):
    translator, patients = trained
    errors = []
    for source, target in itertools.permutations(patients, 2):
        for own, other in itertools.permutations(patients[source], 2):
            slices, references = patients[source][own], patients[target][other]
            steering = translator.steering(
                translator.reference_style(references, target),
                translator.reference_style(slices, source),
            )
            made = noise(translator, translator.translate(slices, steering)).mean()
            errors.append(abs(np.expm1(made - noise(translator, references).mean())))
    print(f"noise of references: median {np.median(errors):.3f}, largest {max(errors):.3f}")
    assert max(errors) <= 0.1


@pytest.mark.slow
def test_drawn_styles_have_the_spread_of_the_domain(trained):
    translator, patients = trained
    for source, target in itertools.permutations(patients, 2):
        made = []
        for number, slices in enumerate(patients[source].values()):
            of = translator.reference_style(slices, source)
            for draw in range(DRAWS):
                to = translator.latent_style(target, number * DRAWS + draw)
                translation = translator.translate(slices, translator.steering(to, of))
                made.append(noise(translator, translation))
        real = noise(translator, np.concatenate(list(patients[target].values())))
        found = ks_2samp(np.concatenate(made), real)
        print(f"{np.std(made):.3f} against {real.std():.3f}, p {found.pvalue:.2f}")
        assert found.pvalue > 0.05
