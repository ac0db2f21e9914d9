"""The pictures of the documentation, from the runs of two configs.

python docs/pictures.py demo RUN docs/demo.png
python docs/pictures.py gains RUN docs/kernel_pairs.png
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from jaxharmo.data.manifest import read_manifest
from jaxharmo.evaluation.baselines import SpectralFilter
from jaxharmo.evaluation.slices import DomainSlices
from jaxharmo.evaluation.texture import FREQUENCIES, radial_power
from jaxharmo.translator import Translator, load_translator

PATCH = (slice(110, 210), slice(190, 290))
SLICE = 6
DIRECTIONS = ((1, 0), (3, 2), (0, 1), (2, 3))


def slices_of(translator: Translator, split: str, number: int) -> DomainSlices:
    """Of one domain of a run."""
    shards = Path(translator.config.data.shards)
    known = {domain.name: domain for domain in read_manifest(shards).domains}
    return DomainSlices(shards, split, known[translator.domains[number]])


def kernel(domain: str) -> str:
    """Its short name."""
    return domain.split(" -- ")[-1]


def demo(translator: Translator) -> plt.Figure:
    """A patch in every domain, and translated to every domain."""
    names, count = translator.domains, len(translator.domains)
    figure, axes = plt.subplots(count, count + 1, figsize=(9.4, 6.9), layout="constrained")
    for row, of in enumerate(names):
        slices = slices_of(translator, "test", row)
        hu, pixel = slices.pixels(SLICE)[None], slices.header(SLICE).spacing[0]
        made = [hu, *(translator(hu, to, of, pixel) for to in names)]
        titles = ["source", *(f"→ {kernel(to)}" for to in names)]
        for axis, image, title in zip(axes[row], made, titles, strict=True):
            axis.imshow(image[0][PATCH], cmap="gray", vmin=-1024, vmax=400)
            axis.set(xticks=[], yticks=[], title=title if row == 0 else None)
        axes[row, 0].set_ylabel(kernel(of))
    return figure


def gains(translator: Translator) -> plt.Figure:
    """Gains of the model, measured on weak noise in soft tissue, and of filters fitted on pairs."""
    figure, axes = plt.subplots(1, len(DIRECTIONS), figsize=(10.8, 2.6), layout="constrained")
    noise = (40 + np.random.default_rng(0).normal(0, 5, (4, 512, 512))).astype(np.float32)
    for axis, (source, target) in zip(axes, DIRECTIONS, strict=True):
        of, to = translator.domains[source], translator.domains[target]
        before, after = (slices_of(translator, "train", number) for number in (source, target))
        spacing = before.header(0).spacing
        power = [
            np.mean([radial_power(hu, spacing).power for hu in images], 0)
            for images in (noise, translator(noise, to, of, spacing[0]))
        ]
        pairs = [[each.pixels(n) for n in range(len(each))] for each in (before, after)]
        fitted = SpectralFilter.fit_paired(*pairs, spacing).gain
        shown = np.isfinite(power[0])
        axis.plot(FREQUENCIES[shown], np.sqrt(power[1] / power[0])[shown], label="model, unpaired")
        places = (np.arange(len(fitted)) + 0.5) * 12 / len(fitted)
        inside = places < FREQUENCIES[shown][-1]
        axis.plot(places[inside], fitted[inside], "--", label="fitted on pairs")
        axis.set(title=f"{kernel(of)} → {kernel(to)}", xlabel="line pairs per cm")
        axis.set_ylim(bottom=0)
    axes[0].set_ylabel("gain")
    axes[0].legend(frameon=False)
    return figure


if __name__ == "__main__":
    what, run, path = sys.argv[1:]
    {"demo": demo, "gains": gains}[what](load_translator(run)).savefig(path, dpi=100)
