"""``jaxharmo profile``: of the texture loss, the training step, the reader."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxharmo import flags
from jaxharmo.commands.chosen_config import ChosenConfig, parse_with_config
from jaxharmo.config import TextureConfig
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.errors import InputError
from jaxharmo.ops.glcm import GlcmConfig
from jaxharmo.profiling.glcm import profile_glcm
from jaxharmo.profiling.input import profile_input
from jaxharmo.profiling.step import profile_step


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
    """Timed rounds; the median is reported."""
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

    chosen: Annotated[ChosenConfig, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=ChosenConfig
    )
    domains: int = 3
    """Domains where the config names none."""
    repeats: int = 10
    """Timed steps; the median is reported."""
    phases: bool = True
    """Also time the parts of a step, each compiled on its own."""
    compile_only: bool = False
    """Only compile; report memory, operations and collectives."""
    trace: Path | None = None
    """Folder to write a profiler trace to."""
    json: Path | None = None
    """File to write the figures to."""

    def run(self) -> None:
        """Profile and print."""
        figures = profile_step(
            self.chosen.load(tuple(map(str, range(self.domains)))),
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
    chosen: Annotated[ChosenConfig, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=ChosenConfig
    )
    batches: int = 50
    """Batches read at full speed, and again between steps."""
    step_seconds: float | None = None
    """Time of a simulated step; if not given, the config's own step is compiled and run."""
    trace: Path | None = None
    """Folder to write a profiler trace to."""
    json: Path | None = None
    """File to write the figures to."""

    def run(self) -> None:
        """Profile and print."""
        wanted = self.chosen.settings.data.domains
        domains = choose_domains(read_manifest(self.data), wanted)
        figures = profile_input(
            self.data,
            domains,
            self.chosen.load(tuple(domain.name for domain in domains)),
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


_WITH_CONFIG = {"step": ProfileStep, "input": ProfileInput}


def parse(args: Sequence[str], prog: str) -> Any:
    """The profile that ``args`` name, with its options."""
    if args and args[0] in _WITH_CONFIG:
        return parse_with_config(_WITH_CONFIG[args[0]], args[1:], f"{prog} {args[0]}")
    return flags.parse(Profile, args, prog=prog)


def _print_figures(figures: dict, path: Path | None) -> None:
    for name, value in figures.items():
        print(f"{name:24} {value:.6g}" if isinstance(value, float) else f"{name:24} {value}")
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
