"""The ``jaxharmo`` command."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxharmo import flags
from jaxharmo.config import TextureConfig, check, read_config
from jaxharmo.data.manifest import Manifest, choose_domains, read_manifest
from jaxharmo.data.phantom import PhantomConfig, make_phantom
from jaxharmo.data.prepare import SKIPPED_NAME, Job, PrepareConfig, lost, prepare
from jaxharmo.errors import InputError
from jaxharmo.evaluation.domains import StudyConfig, study_domains
from jaxharmo.evaluation.domains.report import verdict
from jaxharmo.experiment import DEMO, config_from_file
from jaxharmo.harmonize.command import Choices, harmonize_command
from jaxharmo.harmonize.harmonizer import load
from jaxharmo.harmonize.packaged import write_model
from jaxharmo.harmonize.stablehlo import export_translation
from jaxharmo.journal import progress, tell
from jaxharmo.ops.glcm import GlcmConfig
from jaxharmo.profiling.glcm import profile_glcm
from jaxharmo.profiling.input import profile_input
from jaxharmo.profiling.step import profile_step
from jaxharmo.translator import Precision

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare:
    """CT series (DICOM, or NIfTI with a CSV of domains) -> slice shards and a manifest."""

    dicom_dir: Positional[Annotated[Path, tyro.conf.arg(metavar="DICOM_DIR")]]
    """Folder searched for CT series, at any depth and under any file names."""
    shard_dir: Positional[Annotated[Path, tyro.conf.arg(metavar="SHARD_DIR")]]
    """Folder to write: shards, dataset.json, skipped.csv, warnings.csv."""
    settings: Annotated[PrepareConfig, tyro.conf.arg(name="", prefix_name=False)] = PrepareConfig()
    labels: Path | None = None
    """CSV with the domains of NIfTI volumes: columns file and domain, or kernel; see README."""
    strict: bool = False
    """Exit with 1 where a file was not used that the settings did not leave out."""
    key_file: Path | None = None
    """CSV to write who is behind the pseudonyms to; not among the shards."""
    job: Annotated[Job, tyro.conf.arg(name="", prefix_name=False)] = Job()

    def run(self) -> None:
        """Prepare and say what was found."""
        manifest = prepare(
            self.dicom_dir,
            self.shard_dir,
            self.settings,
            labels=self.labels,
            key_file=self.key_file,
            job=self.job,
            report=tell,
        )
        if manifest is None:
            return
        print(_summary(self.shard_dir, manifest))
        if self.strict and (count := lost(manifest)):
            tell(f"error: {count} files not used, see {self.shard_dir / SKIPPED_NAME} (--strict)")
            sys.exit(1)


@dataclasses.dataclass(frozen=True)
class Domains:
    """Which acquisition factors move texture; which domains to train on."""

    shard_dir: Positional[Annotated[Path, tyro.conf.arg(metavar="SHARD_DIR")]]
    """Shard set to study."""
    output: Path | None = None
    """Folder for report.html, CSVs and domains.json; SHARD_DIR/domains if not given."""
    settings: Annotated[StudyConfig, tyro.conf.arg(name="", prefix_name=False)] = StudyConfig()

    def run(self) -> None:
        """Study the set and say what was found."""
        output = self.output or self.shard_dir / "domains"
        study = study_domains(
            self.shard_dir,
            output,
            self.settings,
            lambda items, total: progress(items, total, "domains"),
        )
        print("\n".join(verdict(study.effects)))
        print(f"a domain should be one {study.best}" if study.best else "too few patients to judge")
        for warning in study.proposal.warnings:
            tell(f"warning: {warning}")
        print(f"to train on: {study.proposal.arguments}")
        print(output / "report.html")


@dataclasses.dataclass(frozen=True)
class Harmonize:
    """Translate CT series into another domain: DICOM or NIfTI in, the same out.

    The input's grid is kept, voxels outside the training window keep their value, and a summary of
    what changed lies in a JSON sidecar. The same command again skips what is done.
    """

    input: Positional[Annotated[Path, tyro.conf.arg(metavar="INPUT")]]
    """Folder with a DICOM series or many, at any depth, or a NIfTI file."""
    output: Positional[Annotated[Path, tyro.conf.arg(metavar="OUTPUT")]]
    """Folder (NIfTI: file) to write; where series or targets are many, a folder for each in it."""
    workdir: Path | None = None
    """Folder of the training run whose model is used."""
    step: int | None = None
    """Checkpoint of the run; the newest if not given."""
    model: str | None = None
    """Shipped model by its name, or a folder written by 'jaxharmo export', in place of a run."""
    to: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Target domain, by its name; again for several; 'all': every domain but the source's own."""
    like: Path | None = None
    """Reference series, or NIfTI: its style is taken, in place of its domain's mean."""
    seed: int | None = None
    """Draw the style with this seed, in place of the mean."""
    origin: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Domain of the source, where its headers do not tell."""
    kernel_tag: Literal["acquired", "target"] = "acquired"
    """What ConvolutionKernel says in the output."""
    date: str | None = None
    """Date and time to write into the output, ISO 8601 or 'now'; if not given, those of the source
    stay, and two runs give the same bytes."""
    mixed: bool = False
    """Folders may hold several series, told apart by their headers."""
    allow_derived: bool = False
    """Take images with ImageType DERIVED, too; what jaxharmo made stays refused."""
    precision: Precision = "float32"
    """Of the generator's arithmetic."""
    batch: int = 8
    """Slices translated at a time, over all devices."""
    tile: int | None = None
    """Largest side of the pieces that a slice is translated in, where memory is short."""

    def run(self) -> None:
        """Translate."""
        choices = Choices(
            to=self.to,
            like=self.like,
            seed=self.seed,
            origin=self.origin,
            kernel_tag=self.kernel_tag == "target",
            date=self.date,
            mixed=self.mixed,
            allow_derived=self.allow_derived,
        )
        harmonizer = load(
            _one_model(self.workdir, self.model),
            step=self.step,
            precision=self.precision,
            batch=self.batch,
            tile=self.tile,
        )
        count = harmonize_command(self.input, self.output, harmonizer, choices, tell)
        print(f"{self.output}: {count} harmonized")


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a model for use elsewhere: as a model folder, or one translation as StableHLO."""

    output: Positional[Annotated[Path, tyro.conf.arg(metavar="OUTPUT")]]
    """Model folder for --model and jaxharmo.load; with --to, the file of the artefact."""
    workdir: Path | None = None
    """Folder of the training run."""
    step: int | None = None
    """Checkpoint of the run; the newest if not given."""
    model: str | None = None
    """Shipped model by its name, or a model folder, in place of a run."""
    to: str | None = None
    """Domain to which the artefact translates (jax.export; CPU, CUDA, ROCm, TPU)."""
    origin: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Domain that it starts from, for models that need to know."""
    precision: Precision = "float32"
    """Of the artefact's arithmetic."""

    def run(self) -> None:
        """Write it."""
        model = _one_model(self.workdir, self.model)
        harmonizer = load(model, step=self.step, precision=self.precision)
        if self.to is None:
            write_model(self.output, harmonizer.translator, harmonizer.textures)
        else:
            export_translation(harmonizer.translator, self.to, self.output, self.origin)
        print(f"{self.output}: written, weights {harmonizer.translator.digest[:12]}")


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

    config: Path = DEMO
    """Python file with get_config(), which is run."""
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
    config: Path = DEMO
    """Python file with get_config(), which is run."""
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
    | Annotated[Domains, tyro.conf.subcommand("domains")]
    | Annotated[Harmonize, tyro.conf.subcommand("harmonize")]
    | Annotated[Export, tyro.conf.subcommand("export")]
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


def _one_model(workdir: Path | None, model: str | None) -> Path | str:
    """The run or the model, of which one must be named."""
    if workdir is not None and model is None:
        read_config(workdir)
        return workdir
    if model is not None and workdir is None:
        return model
    raise InputError("name one model: --workdir RUN, or --model NAME")


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
