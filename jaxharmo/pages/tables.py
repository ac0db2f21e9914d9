"""Tables that a narrow screen shows as cards, a card a row."""

import html
import re
from collections.abc import Sequence
from typing import NamedTuple


class Cell(NamedTuple):
    """HTML of a cell, and its class in the style sheet."""

    text: str
    kind: str = ""


class Row(NamedTuple):
    """A row with its name, and its class in the style sheet."""

    name: Cell
    cells: Sequence[Cell]
    kind: str = ""


def table(heads: Sequence[str], rows: Sequence[Row]) -> str:
    """A table; ``heads``, HTML, are those of the names and of all cells.

    It scrolls in a box of its own where it is wider than the page. On narrow screens each cell
    comes with its head.
    """
    labels = [_plain(head) for head in heads[1:]]
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(_row(row, labels) for row in rows)
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{inner}</div>'


def _row(row: Row, labels: Sequence[str]) -> str:
    cells = "".join(
        f'<td{_class(cell.kind)} data-label="{label}"><span>{cell.text}</span></td>'
        for cell, label in zip(row.cells, labels, strict=True)
    )
    return f"<tr{_class(row.kind)}><th{_class(row.name.kind)}>{row.name.text}</th>{cells}</tr>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _plain(markup: str) -> str:
    """Text of a head, for an attribute."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", markup)).replace("\xa0", " ")
    return html.escape(" ".join(text.split()))
