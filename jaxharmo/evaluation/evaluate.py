"""Judge a translation between domains: every figure before and after.

``metrics.json``, with null where a figure has no meaning::

    {"format_version": 1, "model": ..., "split": ..., "window_hu": [low, high], "tile": pixels,
     "extractor": "EfficientNet-Lite0",
     "radiomics": {"engine": ..., "bin_width_hu": ..., "roi": "lung" | "body", "features": count},
     "domains": [{"name", "slices", "tiles", "rois"}],
     "pairs": [{"source", "target", "slices", "paired", "scores": SCORES}],
     "mean": SCORES over the pairs, "seconds": {part: s}}

SCORES, each {"before", "after"}: ``rmse_hu`` (against the paired truth; root of the mean over
slices of the mean square), ``fd_lite0_texture`` and ``fd_lite0_semantic`` (Fréchet distance to the
target domain), ``radiomics_significant`` (features that differ from the target domain: Welch, false
discovery rate 5 %), ``radiomics_median_abs_g`` (Hedges g); and each {"translation", "truth"},
measured against the source: ``lung_dice``, ``edges``, ``shift_hu_lung``, ``shift_hu_soft_tissue``.
"truth" is what the paired truth itself scores: the mark that a perfect translation would reach.

``fid.csv``, ``radiomics.csv`` (a row a feature) and ``edges.csv`` (a row a slice: all that compares
it with its source and its truth) hold the details, pair by pair.

Everything is clipped to ``config.data.window`` first. Regions (body, lung) come from the source and
hold before and after. Radiomics and the shift in the lung are measured 3 pixels off its border;
where some domain shows a lung on fewer than two slices, radiomics are measured in the body instead,
for all domains.
"""

from collections.abc import Callable
from pathlib import Path

from jaxharmo.config import Config
from jaxharmo.evaluation.pairs import PairJudge, Translate
from jaxharmo.evaluation.results import mean_scores, write_results
from jaxharmo.evaluation.slices import open_domains
from jaxharmo.journal import tell

FORMAT_VERSION = 1

_NAME = 19
"""Longest name of a domain in the verdict, characters."""


def evaluate(
    translate: Translate,
    shards: Path,
    config: Config,
    output: Path,
    *,
    model: str,
    report: Callable[[str], None] = tell,
) -> dict:
    """Evaluate every ordered pair of domains, write ``output`` and return what is in metrics.json.

    ``translate(slices in HU, name of the target domain)`` gives slices in HU of the same shape.
    ``output`` receives metrics.json, fid.csv, radiomics.csv, edges.csv and report.html; it appears,
    or is replaced, only when all is written. Raises ``InputError`` for shards or splits that do not
    hold what is asked, and where a translation is not finite.
    """
    judge = PairJudge(translate, open_domains(shards, config, report), config, model)
    domains = judge.domains
    real = {}
    for domain in domains:
        report(f"measuring {domain.name}: {len(domain.chosen)} slices")
        real[domain.name] = judge.real_sample(domain)
    pairs = []
    for source in domains:
        for target in domains:
            if source is not target:
                report(f"translating {source.name} → {target.name}")
                pairs.append(judge.pair(source, target, real[source.name], real[target.name]))
    metrics = {
        "format_version": FORMAT_VERSION,
        "model": model,
        "split": config.eval.split,
        "window_hu": list(config.data.window),
        "tile": config.eval.tile,
        "extractor": "EfficientNet-Lite0",
        "radiomics": {
            "engine": judge.engine,
            "bin_width_hu": config.eval.bin_width,
            "roi": judge.roi,
            "features": max(len(pair.features) for pair in pairs),
        },
        "domains": [
            {
                "name": domain.name,
                "slices": len(domain.chosen),
                "tiles": len(real[domain.name].deep["texture"]),
                "rois": len(real[domain.name].radiomics),
            }
            for domain in domains
        ],
        "pairs": [pair.summary for pair in pairs],
        "mean": mean_scores([pair.summary["scores"] for pair in pairs]),
        "seconds": {part: round(seconds, 2) for part, seconds in judge.seconds.items()},
    }
    return write_results(output, metrics, pairs)


def verdict_table(metrics: dict) -> str:
    """The short table for the console: one row a pair, then their mean; at most 100 columns."""
    names = [domain["name"] for domain in metrics["domains"]]
    short = dict(zip(names, _shortened(names), strict=True))
    rows = [["source → target", "RMSE HU", "FD texture", "lung Dice", "edges"]]
    for pair in metrics["pairs"]:
        title = f"{short[pair['source']]} → {short[pair['target']]}"
        rows.append([title, *_cells(pair["scores"])])
    if len(metrics["pairs"]) > 1:
        rows.append(["mean", *_cells(metrics["mean"])])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
    note = "before → after; Dice and edges: translation (what the paired truth scores)"
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:], note])


def _cells(scores: dict) -> list[str]:
    def change(name: str) -> str:
        before, after = scores[name]["before"], scores[name]["after"]
        return "—" if before is None or after is None else f"{_figure(before)} → {_figure(after)}"

    def kept(name: str, digits: int) -> str:
        made, truth = scores[name]["translation"], scores[name]["truth"]
        if made is None:
            return "—"
        return f"{made:.{digits}f}" + ("" if truth is None else f" ({truth:.{digits}f})")

    return [change("rmse_hu"), change("fd_lite0_texture"), kept("lung_dice", 3), kept("edges", 2)]


def _figure(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 999.95 else f"{value:.0f}"


def _shortened(names: list[str]) -> list[str]:
    """The first of these that fits ``_NAME`` and keeps names apart: whole, kernel alone, cut."""
    kernels = [name.rpartition(" -- ")[2] for name in names]
    cut = [_cut(name, kernel) for name, kernel in zip(names, kernels, strict=True)]
    numbered = [f"{number}: {name}"[:_NAME] for number, name in enumerate(names, start=1)]
    for short in (names, kernels, cut):
        if len(set(short)) == len(names) and max(map(len, short)) <= _NAME:
            return short
    return numbered


def _cut(name: str, kernel: str) -> str:
    """The kernel, as far as it fits, and the beginning of the scanner."""
    if len(name) <= _NAME:
        return name
    tail = kernel[: _NAME - 6]
    return f"{name[: _NAME - len(tail) - 2]}… {tail}"
