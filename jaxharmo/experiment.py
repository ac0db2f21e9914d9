"""A run from start to end: shards and config in, checkpoints and a report out."""

import contextlib
import dataclasses
import functools
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from jaxharmo import runtime
from jaxharmo.checkpoint import find_step, has_checkpoints
from jaxharmo.config import Config, EvalConfig, check
from jaxharmo.console import track
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.data.phantom import make_phantom
from jaxharmo.data.pipeline import DomainCrops, Share, sample_sources, training_batches
from jaxharmo.data.prepare.workers import Job
from jaxharmo.errors import InputError
from jaxharmo.evaluation.evaluate import evaluate
from jaxharmo.evaluation.methods import Guidance, guidances
from jaxharmo.evaluation.slices import DomainSlices, check_evaluable
from jaxharmo.evaluation.summary import summary_table
from jaxharmo.files import make_folder
from jaxharmo.lock import locked
from jaxharmo.saved_config import read_config, to_json, write_config
from jaxharmo.training.domains import reaching
from jaxharmo.training.loop import TrainingData, fit
from jaxharmo.training.metrics_writer import METRICS, SAMPLES
from jaxharmo.training.page import PAGE
from jaxharmo.translator import Translator, load_translator

_MAY_CHANGE = tuple(
    f"train.{name}"
    for name in (
        "steps",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "keep_checkpoints",
        "shard_state",
    )
)


def train_run(config: Config, workdir: Path, data: Path | None) -> int:
    """Train in ``workdir``, from the newest checkpoint if there is one; returns the last step.

    Raises ``InputError`` where the folder holds a run of another config; else as ``fit`` does.
    """
    check(config)
    make_folder(workdir)
    with _alone_in(workdir):
        return _train_run(config, workdir, data)


def _train_run(config: Config, workdir: Path, data: Path | None) -> int:
    shards = data or (Path(config.data.shards) if config.data.shards else _phantom(workdir))
    if not data and not config.data.shards and runtime.is_main_process():
        make_phantom(shards, progress=lambda items, total: track(items, total, "phantom", "slice"))
    runtime.wait_for_all("shards")
    domains = choose_domains(read_manifest(shards), config.data.domains)
    names = tuple(domain.name for domain in domains)
    resolved = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, shards=str(shards.absolute()), domains=names),
    )
    crops = DomainCrops(shards, domains, resolved.data)
    pixels = crops.pixels if config.model.generator.in_mm else ()
    resolved = reaching(resolved, pixels)
    # Said before the training rather than after it.
    check_evaluable(shards, resolved)
    if has_checkpoints(workdir):
        _check_unchanged(read_config(workdir), resolved, workdir)
    samples = sample_sources(shards, domains, resolved.data, config.model.generator.multiple)
    if runtime.is_main_process():
        write_config(workdir, resolved)
    train, settings = resolved.train, resolved.data

    def batches_from(first: int):
        return training_batches(
            shards,
            domains,
            settings,
            batch_size=train.batch_size,
            seed=train.seed,
            first_batch=first,
            share=Share(*runtime.process()),
            pixels=pixels,
        )

    return fit(
        resolved,
        workdir,
        TrainingData(batches_from, crops, lambda number: crops.pixels[number], samples),
    )


@dataclasses.dataclass(frozen=True)
class _Guide:
    """The model of a run under each guidance, in whichever process it is called."""

    workdir: Path
    step: int
    settings: EvalConfig

    def __call__(self, training: list[DomainSlices]) -> list[Guidance]:
        translator = _opened(self.workdir, self.step, self.settings)
        return guidances(translator, training, self.settings)


@functools.lru_cache(1)
def _opened(workdir: Path, step: int, settings: EvalConfig) -> Translator:
    return load_translator(workdir, step, settings)


def evaluate_run(
    workdir: Path,
    step: int | None = None,
    data: Path | None = None,
    settings: EvalConfig | None = None,
    job: Job | None = None,
) -> str | None:
    """Evaluate a checkpoint into ``RUN/eval/<step>/``; returns its table and where results are.

    Every process of a cluster does its part, on the devices it has; after that all part, and the
    main process alone finishes and returns something. None also after a part of a ``job``.
    """
    number, count = runtime.process()
    job = job or Job(workers=1)
    if count > 1:
        if job.part or job.merge:
            raise InputError(
                "--distributed: each process does a part; leave --part and --merge out"
            )
        part = dataclasses.replace(job, part=f"{number + 1}/{count}")
        _evaluate_together(workdir, step, data, settings, part)
        job = dataclasses.replace(job, merge=True)
    runtime.leave_cluster()
    return None if number else _evaluate(workdir, step, data, settings, job)


def _evaluate_together(
    workdir: Path, step: int | None, data: Path | None, settings: EvalConfig | None, job: Job
) -> None:
    """The part of this process; where one fails, all do."""
    refused = None
    try:
        _evaluate(workdir, step, data, settings, job)
    except (InputError, OSError, FloatingPointError) as error:
        refused = error
    if runtime.anywhere(refused is not None):
        raise refused or InputError(f"{workdir}: another process cannot evaluate its part")


def _evaluate(
    workdir: Path, step: int | None, data: Path | None, settings: EvalConfig | None, job: Job
) -> str | None:
    step = find_step(workdir, step)
    guide = _Guide(workdir.absolute(), step, settings or read_config(workdir).eval)
    translator = _opened(guide.workdir, step, guide.settings)
    config = translator.config
    output = workdir / "eval" / str(step)
    metrics = evaluate(
        guide,
        data or Path(config.data.shards),
        config,
        output,
        model=f"{workdir.name}, step {step}, weights {translator.digest[:12]}",
        job=job,
    )
    if metrics is None:
        return None
    return f"{summary_table(metrics)}\n\n{_results(workdir, output)}"


def next_command(workdir: Path) -> str:
    """The command that a user of the run in ``workdir`` is likely to need next."""
    data = read_config(workdir).data
    if Path(data.shards) == _phantom(workdir).absolute():
        return "jaxharmo prepare DICOM_DIR SHARDS, to train on your own images"
    words = ("jaxharmo", "harmonize", "--workdir", str(workdir), "--to", data.domains[0])
    return f"{shlex.join(words)} DICOM_SERIES OUTPUT"


def _phantom(workdir: Path) -> Path:
    """The shard set of a run that was given none."""
    return workdir / "phantom"


def _results(workdir: Path, output: Path) -> str:
    places = {
        "open first": output / "report.html",
        "figures": output / "metrics.json",
        "curves": workdir / PAGE,
        "losses": workdir / METRICS,
        "pictures": workdir / SAMPLES,
    }
    lines = [f"  {what:11} {path}" for what, path in places.items() if path.exists()]
    return "\n".join([f"results in {workdir}:", *lines])


@contextlib.contextmanager
def _alone_in(workdir: Path) -> Iterator[None]:
    """The main process holds the lock of the run; all stop where it is refused."""
    with contextlib.ExitStack() as stack:
        refused = None
        if runtime.is_main_process():
            try:
                stack.enter_context(locked(workdir / "lock", "this run"))
            except InputError as error:
                refused = error
        if runtime.agree(refused is not None):
            raise refused or InputError(f"{workdir}: another process is at work on this run")
        yield


def _check_unchanged(old: Config, new: Config, workdir: Path) -> None:
    before, after = (_flat(json.loads(to_json(config))) for config in (old, new))
    changed = [
        name
        for name in before
        if before[name] != after[name] and name not in _MAY_CHANGE and not name.startswith("eval.")
    ]
    if changed:
        raise InputError(
            f"{workdir}: holds a run with another {changed[0]} ({before[changed[0]]!r}, now "
            f"{after[changed[0]]!r}); name a new --workdir or give the run's own settings"
        )


def _flat(tree: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
