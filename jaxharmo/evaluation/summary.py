"""The short table for the console."""

from jaxharmo.evaluation.methods import AFTER, BEFORE, CEILING
from jaxharmo.evaluation.metrics import BY_NAME

_COLUMNS = 100
_NAME = 19
"""Longest name of a domain, characters."""
_BASELINES = ("histogram", "spectral", "spectral_paired")


def summary_table(metrics: dict) -> str:
    """One row per pair, then the mean. Baselines are left out if 100 columns are not enough."""
    text = _table(metrics, baselines=True)
    return (
        text if max(map(len, text.splitlines())) <= _COLUMNS else _table(metrics, baselines=False)
    )


def _table(metrics: dict, *, baselines: bool) -> str:
    names = [domain["name"] for domain in metrics["domains"]]
    short = short_names(names)
    rows = [["source → target", "RMSE HU", "FD texture", "lung Dice", "edges"]]
    for pair in metrics["pairs"]:
        title = f"{short[pair['source']]} → {short[pair['target']]}"
        rows.append([title, *_cells(pair["scores"], baselines)])
    if len(metrics["pairs"]) > 1:
        rows.append(["mean", *_cells(metrics["mean"], baselines)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
    best = " [best baseline]" if baselines else ""
    note = f"before → after{best}; Dice and edges: after (what the real slice scores)"
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:], note])


def best_baseline(scores: dict[str, float | None], name: str) -> tuple[str, float] | None:
    """The best image baseline in a figure where low or high is good, and its value."""
    held = {each: scores.get(each) for each in _BASELINES}
    known = [(value, method) for method, value in held.items() if value is not None]
    if not known:
        return None
    pick = max if BY_NAME[name].aim == "high" else min
    value, method = pick(known)
    return method, value


def _cells(scores: dict, baselines: bool) -> list[str]:
    def change(name: str) -> str:
        figures = scores.get(name, {})
        before, after = figures.get(BEFORE), figures.get(AFTER)
        if before is None or after is None:
            return "—"
        best = best_baseline(figures, name) if baselines else None
        aside = "" if best is None else f" [{_figure(best[1])}]"
        return f"{_figure(before)} → {_figure(after)}{aside}"

    def kept(name: str) -> str:
        figures = scores.get(name, {})
        made, real = figures.get(AFTER), figures.get(CEILING)
        digits = BY_NAME[name].digits
        if made is None:
            return "—"
        return f"{made:.{digits}f}" + ("" if real is None else f" ({real:.{digits}f})")

    return [change("rmse_hu"), change("fd_lite0_texture"), kept("lung_dice"), kept("edges")]


def _figure(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 999.95 else f"{value:.0f}"


def short_names(names: list[str]) -> dict[str, str]:
    """Short form by name: whole, kernel or shortened, the first that fits and stays unique."""
    kernels = [name.rpartition(" -- ")[2] for name in names]
    cut = [_cut(name, kernel) for name, kernel in zip(names, kernels, strict=True)]
    numbered = [f"{number}: {name}"[:_NAME] for number, name in enumerate(names, start=1)]
    for short in (names, kernels, cut, numbered):
        if len(set(short)) == len(names) and max(map(len, short)) <= _NAME:
            return dict(zip(names, short, strict=True))
    return dict(zip(names, numbered, strict=True))


def _cut(name: str, kernel: str) -> str:
    """The beginning of the scanner, and as much of the kernel as fits."""
    if len(name) <= _NAME:
        return name
    tail = kernel[: _NAME - 6]
    return f"{name[: _NAME - len(tail) - 2]}… {tail}"
