"""Train every variant of the ablation with several seeds; one row a run, split and direction.

    python docs/ablation/run.py RESULTS.csv --pairs SHARDS --phantom SHARDS [--worker 1/2]

Runs that are in RESULTS.csv are not repeated. Workers divide the runs and may share the file.
"""

import argparse
import csv
import dataclasses
import itertools
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

import jax
import numpy as np

from jaxharmo import runtime
from jaxharmo.config import Config, FilterGenerator, TextureConfig
from jaxharmo.config_files import load_config
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.data.pipeline import DomainCrops, training_batches
from jaxharmo.evaluation.slices import DomainSlices, twins
from jaxharmo.evaluation.texture import (
    Spectrum,
    glcm_grids,
    grid_gap,
    log_spectral_distance,
    radial_power,
)
from jaxharmo.ops.tissue import segment
from jaxharmo.training.domains import describe_domains, reaching
from jaxharmo.training.program import step_program
from jaxharmo.training.state import init_state
from jaxharmo.translator import Translator

STEPS, BATCH = 300, 4
CONFIGS = {"pairs": "configs/kernel_pairs.py", "phantom": "configs/demo.py"}
WINDOW = (-1024.0, 400.0)
SPLITS = ("validation", "test")


def shortened(config: Config, steps: int = STEPS) -> Config:
    """``config`` with few steps of small batches.

    The weights are averaged over the same part of the run as with the 0.99 of the configs over
    their 1,200 steps.
    """
    return dataclasses.replace(
        config,
        optim=dataclasses.replace(config.optim, cosine_steps=steps, ema=1 - 12 / steps),
        train=dataclasses.replace(config.train, steps=steps, batch_size=BATCH),
    )


@dataclasses.dataclass(frozen=True)
class Variant:
    """What is varied; the rest is that of the configs."""

    texture: str = "changes"
    """Form of the texture loss; 'off' leaves it out, 'cycle' is the published preset."""
    aggregation: str = "noise"
    adversary: float = 0.0
    residual: int = 8
    spectrum: float = 0.0

    def configure(self, config: Config) -> Config:
        """``config`` with this variant."""
        forms = {
            "changes": TextureConfig(compare="changes", aggregation=self.aggregation),  # pyright: ignore[reportArgumentType]
            "cycle": load_config("configs/lidc_texture.py").texture,
        }
        return dataclasses.replace(
            config,
            model=dataclasses.replace(
                config.model, generator=FilterGenerator(residual_width=self.residual)
            ),
            texture=forms.get(self.texture, config.texture),
            loss=dataclasses.replace(
                config.loss,
                adversarial=self.adversary,
                texture=float(self.texture != "off"),
                spectrum=self.spectrum,
            ),
        )


FACTORIAL = tuple(
    Variant(texture=texture, adversary=adversary, residual=residual)
    for residual, adversary, texture in itertools.product(
        (8, 0), (0.0, 0.1), ("changes", "cycle", "off")
    )
)
VARIANTS = (
    *(Variant(aggregation=name) for name in ("mean", "max", "separation", "attention")),
    Variant(spectrum=1.0),
    Variant(texture="off", spectrum=1.0),
    *FACTORIAL,
    Variant(aggregation="max", spectrum=1.0),
)


@dataclasses.dataclass(frozen=True)
class Direction:
    """Real slices of one direction, all paired, and what is measured on the target's."""

    source: str
    target: str
    slices: np.ndarray
    truth: np.ndarray
    """Clipped to ``WINDOW``."""
    lung: np.ndarray
    spacing: tuple[float, float]

    def translated(self, translator: Translator) -> np.ndarray:
        """The slices, translated to the mean style of the target."""
        return translator(self.slices, self.target, self.source, float(np.mean(self.spacing)))

    def measure(self, made: np.ndarray) -> dict[str, float]:
        """RMSE, HU; gap of the radial power, dB; gap of the GLCM grids in the lung."""
        made, before = (np.clip(x, *WINDOW) for x in (made, self.slices))
        error = lambda x: float(np.mean(np.sqrt(np.mean((x - self.truth) ** 2, (1, 2)))))  # noqa: E731
        return {
            "rmse_before": error(before),
            "rmse": error(made),
            "power_gap": log_spectral_distance(self._power(made), self._truth_power),
            "grid_gap": grid_gap(glcm_grids(made, self.lung, WINDOW), self._truth_grids),
        }

    @cached_property
    def _truth_power(self) -> Spectrum:
        return self._power(self.truth)

    @cached_property
    def _truth_grids(self) -> np.ndarray:
        return glcm_grids(self.truth, self.lung, WINDOW)

    def _power(self, slices: np.ndarray) -> Spectrum:
        powers = [radial_power(hu, self.spacing).power for hu in slices]
        return Spectrum(np.mean(powers, 0), len(powers))


@cache
def directions(shards: Path, split: str, names: tuple[str, ...]) -> list[Direction]:
    """All pairs of domains whose slices are paired."""
    domains = choose_domains(read_manifest(shards), names)
    found = []
    for source, target in itertools.permutations(
        [DomainSlices(shards, split, domain) for domain in domains], 2
    ):
        matching = twins(source, target, range(len(source)))
        pairs = [(n, twin) for n, twin in enumerate(matching) if twin is not None]
        if pairs:
            slices = np.stack([source.pixels(n) for n, _ in pairs])
            lung = np.stack([segment(np.clip(hu, *WINDOW)).core for hu in slices])
            truth = np.clip(np.stack([target.pixels(n) for _, n in pairs]), *WINDOW)
            spacing = source.headers[0].spacing
            found.append(Direction(source.name, target.name, slices, truth, lung, spacing))
    return found


class Runs:
    """Trainings of one variant that differ in the seed only; the step is compiled once.

    The seed decides about the first weights and about the order and crops of the data.
    """

    def __init__(self, config: Config, shards: Path):
        domains = choose_domains(read_manifest(shards), config.data.domains)
        names = tuple(domain.name for domain in domains)
        crops = DomainCrops(shards, domains, config.data)
        self._pixels = crops.pixels if config.model.generator.in_mm else ()
        self._config = reaching(
            dataclasses.replace(config, data=dataclasses.replace(config.data, domains=names)),
            self._pixels,
        )
        self._shards, self._domains = shards, domains
        self._mesh = runtime.make_mesh()
        self._program = step_program(self._config, self._mesh)
        self._step = self._program.lower().compile()
        self._described = jax.device_get(
            describe_domains(self._config, crops, lambda number: crops.pixels[number])
        )

    def train(self, seed: int) -> Translator:
        """The averaged weights at the end."""
        config, train = self._config, self._config.train
        seeded = dataclasses.replace(config, train=dataclasses.replace(train, seed=seed))
        state = init_state(self._program.networks, self._program.optimizers, seeded)
        placed = jax.tree.map(lambda leaf: leaf.sharding, self._program.state)
        state = jax.device_put(dataclasses.replace(state, changes=self._described), placed)
        batches = training_batches(
            self._shards,
            self._domains,
            config.data,
            batch_size=train.batch_size,
            seed=seed,
            pixels=self._pixels,
        )
        for batch in itertools.islice(batches, train.steps):
            state, _ = self._step(state, runtime.to_global(self._mesh, batch))
        return Translator(config, jax.device_get(state.ema), train.steps)

    def __call__(self, seed: int) -> Iterator[dict]:
        """Train, then measure on both splits, between mean styles."""
        translator = self.train(seed)
        for split in SPLITS:
            for each in directions(self._shards, split, translator.domains):
                made = each.translated(translator)
                yield {
                    "split": split,
                    "source": each.source,
                    "target": each.target,
                    **each.measure(np.round(made)),
                }


FIELDS = [
    "data",
    *(field.name for field in dataclasses.fields(Variant)),
    "seed",
    "split",
    *("source", "target", "rmse_before", "rmse", "power_gap", "grid_gap"),
]


def _write(path: Path, rows: list[dict]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(
            {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )


def _done(path: Path) -> set[tuple[str, ...]]:
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        keys = FIELDS[: FIELDS.index("split")]
        return {tuple(row[key] for key in keys) for row in csv.DictReader(file)}


def main() -> None:
    """All runs of this worker, variant by variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    for name in CONFIGS:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--worker", default="1/1")
    chosen = parser.parse_args()
    number, count = map(int, chosen.worker.split("/"))
    runtime.keep_compilations()
    done = _done(chosen.results)
    shards = {name: getattr(chosen, name) for name in CONFIGS if getattr(chosen, name)}
    cells = list(itertools.product(VARIANTS, shards))
    for variant, data in cells[number - 1 :: count]:
        fields = {"data": data} | {key: f"{v}" for key, v in dataclasses.asdict(variant).items()}
        seeds = [n for n in range(chosen.seeds) if (*fields.values(), str(n)) not in done]
        if seeds:
            runs = Runs(variant.configure(shortened(load_config(CONFIGS[data]))), shards[data])
            for seed in seeds:
                _write(chosen.results, [fields | {"seed": seed} | row for row in runs(seed)])
            jax.clear_caches()


if __name__ == "__main__":
    main()
