"""``report.html`` of a study of domains: one self-contained page."""

import base64
import html
import math
from collections.abc import Iterable, Sequence

from jaxharmo.evaluation.domains.groups import Proposal
from jaxharmo.evaluation.domains.units import Region, Units
from jaxharmo.evaluation.domains.variance import NOT_JUDGED, Effect
from jaxharmo.evaluation.statistics import SIGNIFICANCE

_MOST_PAIRS = 40


def html_report(
    units: Units,
    region: Region,
    *,
    effects: Sequence[Effect],
    constant: Sequence[str],
    related: Sequence[dict],
    definitions: Sequence[dict],
    best: str | None,
    pairs: Sequence[dict],
    proposal: Proposal,
    picture: bytes,
) -> str:
    """The page; everything that comes from headers is escaped."""
    image = base64.b64encode(picture).decode()
    sections = {
        "Ranking": f"<p>{'<br>'.join(map(html.escape, ranking(effects)))}</p>",
        "Which factors move texture": _factors(effects, constant),
        "Texture in two dimensions": f'<img src="data:image/png;base64,{image}" alt="Principal '
        'components of the texture features"><p>A point is a patient in one domain, lines join '
        "reconstructions of the same acquisitions.</p>",
        "Which factors hang together": _associations(related),
        "What a domain should be": _definitions(definitions, best),
        "Which domains differ": _pairs(pairs),
        "Domains to train on": _proposal(proposal),
        "How to read it": _READING.format(features=len(units.names)),
    }
    patients = len(set(units.patients.tolist()))
    facts = (
        f"{int(units.slices.sum())} slices of {patients} patients in {len(units.patients)} rows "
        f"(a patient in a domain), {len(set(units.domains.tolist()))} domains, {region}; "
        f"{units.passed_over} slices passed over, as they show too little of it."
    )
    body = "\n".join(
        f"<section><h2>{title}</h2>{content}</section>" for title, content in sections.items()
    )
    return _PAGE.format(facts=facts, body=body)


def ranking(effects: Sequence[Effect]) -> list[str]:
    """The ranking in sentences."""
    lines = []
    for effect in effects:
        if not effect.judged:
            continue
        said = f"{effect.rank}. {effect.factor}: {max(effect.effect, 0):.0%} of the variance"
        said += f", {effect.note}" if effect.note else f", p {_number(effect.p)}"
        lines.append("; ".join([said, *_confounding(effect, effects)]))
    unjudged = [effect.factor for effect in effects if not effect.judged]
    if unjudged:
        lines.append(f"not ranked: {', '.join(unjudged)} ({NOT_JUDGED})")
    return lines


def _confounding(effect: Effect, effects: Sequence[Effect]) -> list[str]:
    """With what a factor is confounded; of those that settle it, the one of most effect."""
    notes = []
    if effect.same_as:
        notes.append(f"cannot be separated from {', '.join(effect.same_as)}: the same groups")
    settling = [e.factor for e in effects if e.factor in effect.settled_by and e.rank]
    if settling:
        notes.append(f"every level of {settling[0]} has one level of it")
    return notes


def _factors(effects: Sequence[Effect], constant: Sequence[str]) -> str:
    head = (
        "Rank", "Factor", "Levels", "Patients<br>(fewest)", "Effect", "R²", "Chance", "p",
        "In pairs", "Beyond<br>the others", "AUC", "Features<br>that differ",
    )  # fmt: skip
    rows = []
    for effect in effects:
        notes = [effect.note] if effect.note else []
        notes += _confounding(effect, effects)
        rows.append(
            (
                str(effect.rank or "–"),
                f"{effect.factor}<small>{'; '.join(notes)}</small>",
                str(effect.levels),
                str(effect.patients),
                f"<b>{_share(effect.effect)}</b>",
                _share(effect.r2),
                _share(effect.chance),
                _p(effect.p),
                _share(effect.paired),
                _share(effect.beyond),
                _number(effect.auc),
                _share(effect.features_differ),
            )
        )
    same = f"<p>The same for all: {', '.join(constant)}.</p>" if constant else ""
    return _table(head, rows, text=(0, 1)) + same


def _associations(related: Sequence[dict]) -> str:
    told = [row for row in related if row["relation"] != "crossed"]
    if not told:
        return "<p>All factors are crossed; none stands for another.</p>"
    rows = [
        (_number(row["cramers_v"]), f"{row['a']}, {row['b']}", row["relation"])
        for row in sorted(told, key=lambda row: -row["cramers_v"])
    ]
    table = _table(("Cramér's V", "Factors", "Relation"), rows, text=(1, 2))
    return f"<details><summary>{len(rows)} pairs</summary>{table}</details>"


def _definitions(definitions: Sequence[dict], best: str | None) -> str:
    rows = [
        (
            f"<b>{row['definition']}</b>" if row["definition"] == best else row["definition"],
            str(row["domains"]),
            str(row["domains_with_enough_patients"]),
            _share(row["effect"]),
            _p(row["p"]),
        )
        for row in definitions
    ]
    said = (
        f"<p>The fewest domains that separate texture as well as any: <b>{best}</b>.</p>"
        if best
        else "<p>No definition has patients enough to be judged.</p>"
    )
    head = ("A domain is one", "Domains", "With enough<br>patients", "Effect", "p")
    return said + _table(head, rows)


def _pairs(pairs: Sequence[dict]) -> str:
    known = [row for row in pairs if math.isfinite(row["q"])]
    differ = sum(row["q"] < SIGNIFICANCE for row in known)
    said = (
        f"<p>Of {len(pairs)} pairs, {len(known)} have patients enough to be judged and {differ} "
        f"differ at a false discovery rate of {SIGNIFICANCE:.0%}."
    )
    rows = [
        (
            f"{html.escape(row['a'])}<br>{html.escape(row['b'])}",
            f"{row['patients_a']}, {row['patients_b']}",
            str(row["patients_shared"]),
            _share(row["effect"]),
            _p(row["q"]),
            _share(row["features_differ"]),
        )
        for row in sorted(known, key=lambda row: -row["q"])[:_MOST_PAIRS]
    ]
    if not rows:
        return f"{said}</p>"
    more = " The least certain are shown, all are in pairs.csv." if len(known) > len(rows) else ""
    head = ("Domains", "Patients", "In both", "Effect", "q", "Features<br>that differ")
    return f"{said}{more}</p>{_table(head, rows)}"


def _proposal(proposal: Proposal) -> str:
    parts = [f"<p class=warning>{html.escape(warning)}</p>" for warning in proposal.warnings]
    parts.append(_list(html.escape(name) for name in proposal.domains))
    chosen = html.escape(proposal.arguments)
    parts.append(f"<pre>jaxharmo train --config smoke --data SHARD_DIR {chosen}</pre>")
    if proposal.alike:
        pairs = (f"{html.escape(a)} and {html.escape(b)}" for a, b in proposal.alike)
        parts.append(
            f"<p>No difference is in sight between, so they might be one:</p>{_list(pairs)}"
        )
    if proposal.left_out:
        reasons = (
            f"{html.escape(name)}: {html.escape(why)}" for name, why in proposal.left_out.items()
        )
        parts.append(f"<p>Left out:</p>{_list(reasons)}")
    return "".join(parts)


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[int] = (0,)) -> str:
    """Columns of ``text`` stand to the left, numbers to the right."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=text' if number in text else ''}>{cell}</{tag}>"
            for number, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{line(head, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "–"


def _number(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "–"


def _p(value: float) -> str:
    cell = _number(value)
    return f"<b>{cell}</b>" if math.isfinite(value) and value < SIGNIFICANCE else cell


_READING = """<dl>
<dt>Effect</dt><dd>Share of the variance of {features} radiomic features (z-scores, logarithms where
a feature spans more than a decade) that the factor explains beyond chance: (R² − chance) / (1 −
chance). R² is that of a PERMANOVA; chance is the mean R² of permuted labels. Labels move with the
whole patient or, where a patient has several levels, within the patient.</dd>
<dt>In pairs</dt><dd>Share of the variance that the factor explains between reconstructions of the
same acquisitions, where nothing else differs.</dd>
<dt>Beyond the others</dt><dd>Share that the factor explains in addition to all other factors; 0
where one of them determines it.</dd>
<dt>AUC</dt><dd>Area under the ROC curve of a logistic regression of the levels, one against the
rest, in patients that it was not fitted on; 0.5 is chance.</dd>
<dt>Features that differ</dt><dd>Kruskal–Wallis test of every feature, with one row per patient and
level, at a false discovery rate of 5 %. It is conservative where a patient has several levels.</dd>
<dt>Confounding</dt><dd>A factor whose groups are those of another, or which another determines, may
owe its effect to the other. Only data in which the two vary separately can show which it is.</dd>
</dl>"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>jaxharmo domains</title>
<style>
body {{ margin: 0; background: #f4f6f8; color: #1d2530;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }}
main {{ max-width: 1240px; margin: 0 auto; padding: 24px clamp(12px, 3vw, 32px) 64px; }}
h1 {{ font-size: 1.6rem; margin: 8px 0; }} h2 {{ font-size: 1.15rem; margin: 0 0 8px; }}
p, dd, li {{ color: #5c6878; overflow-wrap: anywhere; max-width: 90ch; }}
section {{ background: #fff; border: 1px solid #dfe4ea; border-radius: 10px;
  padding: 18px clamp(12px, 2vw, 24px); margin: 18px 0; }}
.scroll {{ overflow-x: auto; }} img {{ max-width: 100%; }}
table {{ border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 6px 9px; text-align: right; border-bottom: 1px solid #dfe4ea;
  vertical-align: top; }}
th {{ color: #5c6878; }} .text {{ text-align: left; overflow-wrap: anywhere; }}
td small {{ display: block; color: #5c6878; max-width: 40ch; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f6f8; padding: 10px; }}
.warning {{ background: #fdf3e1; color: #7a4b05; padding: 8px 10px; border-radius: 6px; }}
dt {{ font-weight: 600; margin-top: 8px; }} dd {{ margin: 0; }}
</style>
</head>
<body><main>
<h1>Domains: what moves texture</h1>
<p>{facts}</p>
{body}
</main></body>
</html>
"""
