"""A run from start to verdict: shards and config in, checkpoints and a report out."""

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

from jaxharmo import config as configs
from jaxharmo import runtime
from jaxharmo.config import Config, check, read_config, write_config
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.data.phantom import make_phantom
from jaxharmo.data.pipeline import Share, sample_sources, training_batches
from jaxharmo.errors import InputError
from jaxharmo.evaluation.evaluate import evaluate, verdict_table
from jaxharmo.journal import progress
from jaxharmo.training.loop import fit
from jaxharmo.translator import load_translator

_MAY_CHANGE = ("train.steps", "train.log_every", "train.sample_every", "train.checkpoint_every")


def config_from_file(path: Path) -> Config:
    """What ``get_config()`` of a Python file returns; ``InputError`` where there is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such config; the project's own are in configs/")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    # As a script may, a config may import its neighbours.
    sys.path.insert(0, str(path.parent.absolute()))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    config = getattr(module, "get_config", lambda: None)()
    if not isinstance(config, Config):
        raise InputError(f"{path}: has no get_config() that returns a jaxharmo Config")
    return config


def train_run(config: Config, workdir: Path, data: Path | None, *, distributed: bool) -> int:
    """Train in ``workdir``, going on where an earlier call stopped; returns the last step.

    Raises ``InputError`` where the folder holds a run of another config.
    """
    if distributed:
        runtime.start_distributed()
    check(config)
    workdir.mkdir(parents=True, exist_ok=True)
    shards = data or (Path(config.data.shards) if config.data.shards else workdir / "phantom")
    if not data and not config.data.shards and runtime.is_main_process():
        make_phantom(shards, progress=lambda items, total: progress(items, total, "phantom"))
    runtime.wait_for_all("shards")
    domains = choose_domains(read_manifest(shards), config.data.domains)
    names = tuple(domain.name for domain in domains)
    resolved = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, shards=str(shards.absolute()), domains=names),
    )
    if (workdir / configs.FILE_NAME).exists():
        _check_unchanged(read_config(workdir), resolved, workdir)
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

    sources = sample_sources(shards, domains, settings, 2**config.model.downsamples)
    return fit(resolved, workdir, batches_from, sources)


def evaluate_run(
    workdir: Path,
    step: int | None = None,
    data: Path | None = None,
    settings: configs.EvalConfig | None = None,
) -> str:
    """Evaluate a checkpoint into ``RUN/eval/<step>/``; returns the table of its verdict."""
    translator = load_translator(workdir, step)
    config = translator.config
    if settings:
        config = check(dataclasses.replace(config, eval=settings))
    shards = data or Path(config.data.shards)
    output = workdir / "eval" / str(translator.step)
    model = f"{workdir.name}, step {translator.step}, weights {translator.digest[:12]}"
    metrics = evaluate(translator, shards, config, output, model=model)
    return f"{verdict_table(metrics)}\n{output / 'report.html'}"


def _check_unchanged(old: Config, new: Config, workdir: Path) -> None:
    before, after = (_flat(json.loads(configs.to_json(config))) for config in (old, new))
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
