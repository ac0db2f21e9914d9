"""The ``jaxharmo`` command."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxharmo import flags
from jaxharmo.config import TextureConfig, check
from jaxharmo.data.manifest import Manifest, choose_domains, read_manifest
from jaxharmo.data.phantom import PhantomConfig, make_phantom
from jaxharmo.data.prepare import prepare
from jaxharmo.errors import InputError
from jaxharmo.experiment import config_from_file
from jaxharmo.harmonize.series import harmonize_series
from jaxharmo.journal import progress, tell
from jaxharmo.ops.glcm import GlcmConfig
from jaxharmo.profiling.glcm import profile_glcm
from jaxharmo.profiling.input import profile_input
from jaxharmo.profiling.step import profile_step
from jaxharmo.translator import load_translator

Positional = tyro.conf.Positional


@dataclasses.dataclass(frozen=True)
class Phantom:
    """Write a paired chest phantom as a shard set."""

    shard_dir: Positional[Annotated[Path, tyro.conf.arg(metavar="SHARD_DIR")]]
    """Folder to write; a finished phantom of the same settings is kept."""
    settings: Annotated[PhantomConfig, tyro.conf.arg(name="", prefix_name=False)] = PhantomConfig()

    def run(self) -> None:
        """Write it and say what it holds."""
        manifest = make_phantom(
            self.shard_dir, self.settings, lambda items, total: progress(items, total, "phantom")
        )
        print(_summary(self.shard_dir, manifest))


@dataclasses.dataclass(frozen=True)
class Prepare:
    """DICOM CT series -> slice shards and a manifest."""

    dicom_dir: Positional[Annotated[Path, tyro.conf.arg(metavar="DICOM_DIR")]]
    """Folder searched for CT series, at any depth and under any file names."""
    shard_dir: Positional[Annotated[Path, tyro.conf.arg(metavar="SHARD_DIR")]]
    """Folder to write: shards, dataset.json, skipped.csv."""

    def run(self) -> None:
        """Prepare and say what was found."""
        manifest = prepare(self.dicom_dir, self.shard_dir, report=tell)
        print(_summary(self.shard_dir, manifest))


@dataclasses.dataclass(frozen=True)
class Harmonize:
    """Translate a DICOM CT series into another domain, as a new DICOM series."""

    input: Positional[Annotated[Path, tyro.conf.arg(metavar="INPUT")]]
    """Folder with one CT series."""
    output: Positional[Annotated[Path, tyro.conf.arg(metavar="OUTPUT")]]
    """Folder to write; it must not lie in the input."""
    workdir: Path
    """Folder of the training run whose model is used."""
    to: str
    """Target domain, by its name."""
    step: int | None = None
    """Checkpoint to use; the newest if not given."""

    def run(self) -> None:
        """Translate the series."""
        translator = load_translator(self.workdir, self.step)
        translator.check_domain(self.to)
        count = harmonize_series(
            translator,
            self.to,
            self.input,
            self.output,
            model=f"step {translator.step}",
            digest=translator.digest,
            report=tell,
        )
        print(f"{self.output}: {count} slices as '{self.to}'")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProfileGlcm:
    """Time, memory and counted floor of the GLCM texture loss."""

    size: int = 256
    """Side of the images, pixels."""
    batch: int = 8
    """Images."""
    features: tuple[str, ...] = ("contrast",)
    """Haralick features."""
    glcm: Annotated[GlcmConfig, tyro.conf.arg(name="", prefix_name=False)] = GlcmConfig()
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the images; the loss is computed in float32."""
    compare: bool = False
    """Time the same loss from matrices, too, and from dense products; slow."""
    repeats: int = 10
    """Timed rounds, of which the median is told."""
    trace: Path | None = None
    """Folder to write a profiler trace to."""
    json: Path | None = None
    """File to write the figures to."""

    def run(self) -> None:
        """Profile and print."""
        try:
            texture = TextureConfig(glcm=self.glcm, features=self.features, crop=self.size)
            figures = profile_glcm(
                texture,
                size=self.size,
                batch=self.batch,
                repeats=self.repeats,
                dtype=self.dtype,
                compare=self.compare,
                trace=self.trace,
            )
        except ValueError as error:
            raise InputError(str(error)) from error
        _print_figures(figures, self.json)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProfileStep:
    """Compile time, speed by phase, utilisation, memory and collectives of the training step."""

    config: Path = Path("configs/demo.py")
    """Python file with get_config()."""
    domains: int = 3
    """Domains where the config names none."""
    repeats: int = 10
    """Timed steps, of which the median is told."""
    phases: bool = True
    """Time the parts of a step, too; each is compiled alone."""
    compile_only: bool = False
    """Compile and tell of memory, operations and collectives; run nothing."""
    trace: Path | None = None
    """Folder to write a profiler trace to."""
    json: Path | None = None
    """File to write the figures to."""

    def run(self) -> None:
        """Profile and print."""
        config = check(config_from_file(self.config))
        names = config.data.domains or tuple(map(str, range(self.domains)))
        data = dataclasses.replace(config.data, domains=names)
        figures = profile_step(
            dataclasses.replace(config, data=data),
            repeats=self.repeats,
            phases=self.phases,
            compile_only=self.compile_only,
            trace=self.trace,
        )
        _print_figures(figures, self.json)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProfileInput:
    """Speed of the reader, and the share of a loop of steps spent in waiting for it."""

    data: Path
    """Shard set."""
    config: Path = Path("configs/demo.py")
    """Python file with get_config()."""
    batches: int = 50
    """Batches read at full speed, and again between steps."""
    step_seconds: float | None = None
    """Idle so long for a step; the config's own step is compiled and run if not given."""
    trace: Path | None = None
    """Folder to write a profiler trace to."""
    json: Path | None = None
    """File to write the figures to."""

    def run(self) -> None:
        """Profile and print."""
        config = check(config_from_file(self.config))
        domains = choose_domains(read_manifest(self.data), config.data.domains)
        names = tuple(domain.name for domain in domains)
        data = dataclasses.replace(config.data, domains=names)
        figures = profile_input(
            self.data,
            domains,
            dataclasses.replace(config, data=data),
            batches=self.batches,
            step_seconds=self.step_seconds,
            trace=self.trace,
        )
        _print_figures(figures, self.json)


@dataclasses.dataclass(frozen=True)
class Profile:
    """Timings and counts of the parts that decide the speed."""

    what: Annotated[
        Annotated[ProfileGlcm, tyro.conf.subcommand("glcm")]
        | Annotated[ProfileStep, tyro.conf.subcommand("step")]
        | Annotated[ProfileInput, tyro.conf.subcommand("input")],
        tyro.conf.arg(name=""),
    ]

    def run(self) -> None:
        """Run the profile that was named."""
        self.what.run()


Command = (
    Annotated[Phantom, tyro.conf.subcommand("phantom")]
    | Annotated[Prepare, tyro.conf.subcommand("prepare")]
    | Annotated[Harmonize, tyro.conf.subcommand("harmonize")]
    | Annotated[Profile, tyro.conf.subcommand("profile")]
)


def main() -> None:
    """Parse the arguments and run the sub-command that they name."""
    description = (
        "CT harmonization across scanners and reconstruction kernels. "
        "Training and evaluation are train.py and eval.py. Research use; not a medical device."
    )
    flags.run(
        lambda: flags.parse(Command, sys.argv[1:], prog="jaxharmo", description=description).run()
    )


def _print_figures(figures: dict, path: Path | None) -> None:
    for name, value in figures.items():
        print(f"{name:24} {value:.6g}" if isinstance(value, float) else f"{name:24} {value}")
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _summary(directory: Path, manifest: Manifest) -> str:
    lines = [f"{directory}: {len(manifest.domains)} domains, split by {manifest.split_by}"]
    for domain in manifest.domains:
        counts = ", ".join(f"{count} {split}" for split, count in domain.slices.items())
        lines.append(f"  {domain.name}: {counts} slices")
    lines += [f"  paired: {first} with {second}" for first, second in manifest.paired]
    return "\n".join(lines)
