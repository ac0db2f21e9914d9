"""Pages that are generated from the code when the site is built."""

import contextlib
import html
import io
import os
import re
from collections.abc import Iterator

import mkdocs_gen_files

from jaxharmo import cli
from jaxharmo.config_files import config_folder, load_config, shipped_configs
from jaxharmo.evaluation.methods import TITLES
from jaxharmo.evaluation.metrics import METRICS
from jaxharmo.harmonize.shipped import card, find_model, shipped
from jaxharmo.ops.haralick import MATRIX_FEATURES, SIGNED_FEATURES
from jaxharmo.ops.pairs import PAIR_FEATURES
from jaxharmo.saved_config import read_config

_PARTS = {"profile": ("glcm", "step", "input")}
_FORMS = {"eval": ("--compare", "RUN", "RUN")}
"""A command that has other options with some first argument."""


def main() -> None:
    """Write all generated pages."""
    _write("reference/commands.md", _commands())
    _write("reference/configs.md", _configs())
    _write("reference/models.md", _models())
    _write("reference/metrics.md", _metrics())
    _write("reference/glcm-features.md", _glcm_features())


def _write(path: str, lines: Iterator[str]) -> None:
    with mkdocs_gen_files.open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "Generated from the code. `train.py` and `eval.py` of a clone take the options of"
    yield "`jaxharmo train` and `jaxharmo eval`. A default is that of the shipped config `demo`."
    yield "Exit codes: 0 done; 1 the work failed; 2 wrong use or input; 130 interrupted."
    for name in cli.COMMANDS:
        for part in _PARTS.get(name, ("",)):
            words = [name, *part.split()]
            yield from _command(" ".join(words), words)
        if name in _FORMS:
            yield from _command(f"{name} {_FORMS[name][0]}", [name, *_FORMS[name]])


def _command(title: str, words: list[str]) -> Iterator[str]:
    yield f"\n## jaxharmo {title}\n"
    text = _help([*words, "--help"])
    about, _, boxes = text.partition("╭")
    yield html.escape("\n\n".join(about.split("\n\n")[1:]).strip(), quote=False)
    for box in boxes.split("╭"):
        heading = re.match(r"─ (.*?) ─", box)
        rows = list(_rows(box))
        if not rows and "--help" in box:
            continue
        if not heading or not rows:
            raise ValueError(f"jaxharmo {title}: its help has another form: {box[:200]}")
        yield f"\n**{heading[1].capitalize()}**\n"
        yield "| option | meaning |"
        yield "|---|---|"
        yield from rows


def _rows(box: str) -> Iterator[str]:
    """The rows of one frame of tyro's help: options start at its border, their text is indented."""
    option, words = "", []
    for line in [*re.findall(r"^│ (.*?) *│$", box, re.MULTILINE), "end"]:
        if line.startswith(" "):
            words.append(line.strip())
            continue
        if re.match(r"--|[A-Z_]+$", option):
            yield f"| <code>{_cell(option)}</code> | {_cell(' '.join(words))} |"
        option, *words = re.split(r" {2,}", line, maxsplit=1)


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "&#124;").replace("``", "`")


def _help(words: list[str]) -> str:
    # tyro frames its help only where the stream has an encoding.
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        cli.parse(words)
    said.seek(0)
    return re.sub(r"\x1b\[[0-9;]*m", "", said.read())


def _configs() -> Iterator[str]:
    yield "# Shipped configs\n"
    yield "Generated from the code. `jaxharmo train --config NAME` uses one; from a clone,"
    yield "`python train.py --config configs/NAME.py` is the same. [Configs](config.md) describes"
    yield "how to write your own.\n"
    for name in shipped_configs():
        path = config_folder() / f"{name}.py"
        docstring = path.read_text(encoding="utf-8").split('"""')[1]
        load_config(name)
        yield f"## {name}\n"
        yield docstring.strip().replace("``", "`")
        yield ""


def _models() -> Iterator[str]:
    yield "# Shipped models\n"
    yield "Generated from the code: what `jaxharmo models` lists, and the card of each model."
    for name in shipped():
        folder = find_model(name)
        yield f"\n## {name}\n"
        yield f"{card(name)}\n"
        yield from (f"- `{domain}`" for domain in read_config(folder).data.domains)
        details = (folder / "README.md").read_text(encoding="utf-8").split("\n\n", 2)[2]
        yield f"\n{details}"


def _metrics() -> Iterator[str]:
    yield "# metrics.json\n"
    yield "`RUN/eval/<step>/metrics.json` holds everything that the report shows.\n"
    yield "::: jaxharmo.evaluation.evaluate"
    yield "    options:"
    yield "      members: false"
    yield "      show_root_heading: false"
    yield "\n## Methods\n"
    yield "| name | what |"
    yield "|---|---|"
    yield from (f"| `{name}` | {title} |" for name, title in TITLES.items())
    yield "\n## Figures\n"
    yield "| name | title | unit | better | meaning |"
    yield "|---|---|---|---|---|"
    for figure in METRICS:
        cells = (figure.title, figure.unit, figure.aim, figure.reading)
        yield f"| `{figure.name}` | " + " | ".join(map(_cell, cells)) + " |"


def _glcm_features() -> Iterator[str]:
    yield "# GLCM features\n"
    yield "Generated from the code. Names for `glcm_features(…, features=(…,))` and for the option"
    yield "`--texture.features`: those of pyradiomics, in lower case with underscores"
    yield "(`JointEntropy` is `joint_entropy`), with its definitions. A feature that needs only"
    yield "pairs of pixels is much cheaper than one that needs the matrix.\n"
    yield "| name | computed from | can be negative |"
    yield "|---|---|---|"
    for name in MATRIX_FEATURES:
        source = "pairs of pixels" if name in PAIR_FEATURES else "matrix"
        yield f"| `{name}` | {source} | {'yes' if name in SIGNED_FEATURES else 'no'} |"


# tyro frames its help in as many columns as the terminal has.
os.environ["COLUMNS"] = "100"
main()
