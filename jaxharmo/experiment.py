"""A run from start to end: shards and config in, checkpoints and a report out."""

import contextlib
import dataclasses
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from jaxharmo import runtime
from jaxharmo.checkpoint import has_checkpoints
from jaxharmo.config import Config, EvalConfig, check
from jaxharmo.console import track
from jaxharmo.data.manifest import Domain, choose_domains, read_manifest
from jaxharmo.data.phantom import make_phantom
from jaxharmo.data.pipeline import Share, sample_sources, training_batches
from jaxharmo.errors import InputError
from jaxharmo.evaluation.evaluate import evaluate
from jaxharmo.evaluation.methods import Guidance, guidances
from jaxharmo.evaluation.slices import DomainSlices
from jaxharmo.evaluation.summary import summary_table
from jaxharmo.files import make_folder
from jaxharmo.lock import locked
from jaxharmo.saved_config import read_config, to_json, write_config
from jaxharmo.training.loop import fit
from jaxharmo.training.metrics_writer import METRICS, SAMPLES
from jaxharmo.training.page import PAGE
from jaxharmo.translator import load_translator

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
    _check_evaluable(domains, config.eval.split, shards)
    if has_checkpoints(workdir):
        _check_unchanged(read_config(workdir), resolved, workdir)
    sources = sample_sources(shards, domains, resolved.data, config.model.generator.multiple)
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
        )

    return fit(resolved, workdir, batches_from, sources)


def evaluate_run(
    workdir: Path,
    step: int | None = None,
    data: Path | None = None,
    settings: EvalConfig | None = None,
) -> str:
    """Evaluate a checkpoint into ``RUN/eval/<step>/``; returns its table and where results are.

    One process does it, on the devices it has, also after a training on several.
    """
    translator = load_translator(workdir, step, settings)
    config = translator.config
    shards = data or Path(config.data.shards)
    output = workdir / "eval" / str(translator.step)
    model = f"{workdir.name}, step {translator.step}, weights {translator.digest[:12]}"

    def guide(training: list[DomainSlices]) -> list[Guidance]:
        return guidances(translator, training, config.eval)

    make_folder(output.parent)
    with locked(output.with_name(f"{output.name}.lock"), "this evaluation"):
        metrics = evaluate(guide, shards, config, output, model=model)
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


def _check_evaluable(domains: tuple[Domain, ...], split: str, shards: Path) -> None:
    """Said before the training rather than after it."""
    if sum(bool(domain.slices.get(split)) for domain in domains) < 2:
        raise InputError(
            f"{shards}: fewer than two of the domains have slices in the split '{split}' to "
            "evaluate on; choose another --eval.split or other --data.domains"
        )


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
