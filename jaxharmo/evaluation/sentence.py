"""The verdict of an evaluation: one sentence, written from metrics.json."""

from collections.abc import Sequence

from jaxharmo.evaluation.methods import AFTER, BEFORE, CEILING
from jaxharmo.evaluation.metrics import BY_NAME
from jaxharmo.evaluation.summary import short_names

_FIGURES = {
    "rmse_hu": "error",
    "fd_lite0_texture": "texture distance (FD-Lite0)",
    "fid": "FID",
    "radiomics_median_abs_g": "median difference of radiomic features (|Hedges g|)",
}
"""Names in words. The sentence uses the first that was measured; the error needs paired slices."""
_UNPAIRED = {"spectral": "the best filter", "histogram": "histogram matching"}
_ALLOWED = {"lung_dice": 0.01, "edges": 0.03}
"""Anatomy counts as unchanged down to this much below the score of the real paired slice."""
READING = (
    "Anatomy counts as unchanged if lung Dice is at most "
    f"{_ALLOWED['lung_dice']:g} and edge F at most {_ALLOWED['edges']:g} below the score of the "
    "real paired slice."
)


def verdict_sentence(metrics: dict) -> str:
    """Error before and after, against the baselines, and whether anatomy stayed; plain text."""
    measured = {name: _measured(metrics["pairs"], name) for name in _FIGURES}
    name = next((name for name, pairs in measured.items() if pairs), None)
    if name is None:
        return "No figure could be measured both before and after translation."
    pairs, words = measured[name], _FIGURES[name]
    unit = BY_NAME[name].unit
    before, after = (_mean(pairs, name, method) for method in (BEFORE, AFTER))
    values = f"{_shown(before, name)} → {_shown(after, name)}{f' {unit}' if unit else ''}"
    parts = [f"{_where(metrics, pairs, paired=name == 'rmse_hu')}: {words} {values}"]
    if _compared(after, before, name) != "better":
        parts.append(f"{_THAN[_compared(after, before, name)]} the source as it is")
    parts += _against_baselines(pairs, name, after)
    parts += _anatomy(pairs)
    return ", ".join(parts) + "."


_THAN = {"better": "better than", "equal": "equal to", "worse": "worse than"}


def _where(metrics: dict, pairs: Sequence[dict], *, paired: bool) -> str:
    count = sum(pair["paired"] if paired else pair["slices"] for pair in pairs)
    split = metrics["split"]
    unseen = "unseen slices" if split == "test" else f"slices of the split '{split}'"
    if len(pairs) > 1:
        return f"On {count} translations of {unseen} in {len(pairs)} directions"
    short = short_names([domain["name"] for domain in metrics["domains"]])
    (pair,) = pairs
    return f"On {count} {unseen}, {short[pair['source']]} → {short[pair['target']]}"


def _against_baselines(pairs: Sequence[dict], name: str, after: float) -> list[str]:
    """The best baseline without pairs, and the filter fitted on pairs."""
    known = {
        method: _mean(pairs, name, method)
        for method in (*_UNPAIRED, "spectral_paired")
        if all(_known(pair, name, method) for pair in pairs)
    }
    unpaired = {method: known[method] for method in _UNPAIRED if method in known}
    said = []
    if unpaired:
        best = min(unpaired, key=lambda method: unpaired[method])
        said.append((best, _UNPAIRED[best] + (" without pairs" if best == "spectral" else "")))
    if "spectral_paired" in known:
        said.append(("spectral_paired", "the filter fitted on pairs"))
    return [_against(pairs, name, after, method, words, known[method]) for method, words in said]


def _against(
    pairs: Sequence[dict], name: str, after: float, method: str, words: str, value: float
) -> str:
    text = f"{_THAN[_compared(after, value, name)]} {words} ({_shown(value, name)}"
    if len(pairs) > 1:
        each = [pair["scores"][name] for pair in pairs]
        wins = sum(_compared(one[AFTER], one[method], name) == "better" for one in each)
        text += f"; better in {wins} of {len(pairs)}"
    return f"{text})"


def _anatomy(pairs: Sequence[dict]) -> list[str]:
    """Compared with the real paired slice; empty without one."""
    judged = {
        name: [pair for pair in pairs if _known(pair, name, AFTER, CEILING)] for name in _ALLOWED
    }
    if not any(judged.values()):
        return []
    changed = [
        pair
        for pair in pairs
        if any(
            pair in judged[name]
            and pair["scores"][name][CEILING] - pair["scores"][name][AFTER] > allowed
            for name, allowed in _ALLOWED.items()
        )
    ]
    name, words = ("lung_dice", "lung Dice") if judged["lung_dice"] else ("edges", "edge F")
    values = [pair["scores"][name][AFTER] for pair in judged[name]]
    figure = f"{words} {_shown(min(values), name)}" + (" or more" if len(values) > 1 else "")
    if not changed:
        return [f"anatomy unchanged ({figure})"]
    where = f" in {len(changed)} of {len(pairs)} directions" if len(pairs) > 1 else ""
    return [f"anatomy changed{where} ({figure})"]


def _measured(pairs: Sequence[dict], name: str) -> list[dict]:
    return [pair for pair in pairs if _known(pair, name, BEFORE, AFTER)]


def _known(pair: dict, name: str, *methods: str) -> bool:
    found = pair["scores"].get(name, {})
    return all(found.get(method) is not None for method in methods)


def _mean(pairs: Sequence[dict], name: str, method: str) -> float:
    return sum(pair["scores"][name][method] for pair in pairs) / len(pairs)


def _shown(value: float, name: str) -> str:
    return f"{value:z.{BY_NAME[name].digits}f}".replace("-", "−")


def _compared(value: float, other: float, name: str) -> str:
    """Compare the rounded figures, as they are shown; lower is better in all of them."""
    first, second = (round(each, BY_NAME[name].digits) for each in (value, other))
    return "equal" if first == second else "better" if first < second else "worse"
