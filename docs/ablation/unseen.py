"""Leave each domain out of the training, add it from 8 slices, and compare with the full training.

    python docs/ablation/unseen.py SHARDS CONFIG SPLIT [--steps 300] [--seeds 3]

A row a direction into the domain that was left out: RMSE reduced, by the model that was trained on
all domains, and by the model that had 8 training slices of it after its training. The slices that
are translated are also the ones of the source's domain that the references are compared with, as
for a user with one series.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import run as ablation

from jaxharmo import runtime
from jaxharmo.config_files import load_config
from jaxharmo.data.evenly import evenly
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.evaluation.slices import DomainSlices
from jaxharmo.harmonize.few_shot import REFERENCES, add_domain
from jaxharmo.translator import Translator


def references(shards: Path, name: str) -> np.ndarray:
    """Training slices of a domain, evenly spread."""
    (domain,) = choose_domains(read_manifest(shards), (name,))
    slices = DomainSlices(shards, "train", domain)
    numbers = evenly(len(slices), REFERENCES)
    return np.stack([slices.pixels(int(number)) for number in numbers])


def reduced(direction: ablation.Direction, translator: Translator) -> float:
    """RMSE reduced, %."""
    found = direction.measure(np.round(direction.translated(translator)))
    return 100 * (1 - found["rmse"] / found["rmse_before"])


def main() -> None:
    """Train, add and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("config")
    parser.add_argument("split", choices=ablation.SPLITS)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    runtime.keep_compilations()
    base = ablation.shortened(load_config(chosen.config), chosen.steps)
    domains = choose_domains(read_manifest(chosen.shards), base.data.domains)
    names = tuple(domain.name for domain in domains)

    def runs(*domains: str) -> ablation.Runs:
        config = dataclasses.replace(base, data=dataclasses.replace(base.data, domains=domains))
        return ablation.Runs(config, chosen.shards)

    found = ablation.directions(chosen.shards, chosen.split, names)
    whole = runs(*names)
    full = [whole.train(seed) for seed in range(chosen.seeds)]
    for left_out in names:
        others = runs(*(name for name in names if name != left_out))
        slices = references(chosen.shards, left_out)
        for seed in range(chosen.seeds):
            without = others.train(seed)
            for direction in (each for each in found if each.target == left_out):
                source, pixel = direction.source, float(np.mean(direction.spacing))
                added = add_domain(without, left_out, slices, direction.slices, source, pixel)
                all_of_it, few = (reduced(direction, each) for each in (full[seed], added))
                print(
                    f"{source} -> {left_out}, seed {seed}: trained on {all_of_it:.1f} %, "
                    f"added {few:.1f} % ({few / all_of_it:.0%})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
