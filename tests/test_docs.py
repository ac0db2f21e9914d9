"""What README and the pages say to type exists. The site itself is built strictly in .ci/run."""

import re
import shlex
from pathlib import Path

import pytest

from jaxharmo import cli
from jaxharmo.config_files import find_config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page):
    """Words of every call of jaxharmo in the blocks and code spans of a page."""
    text = page.read_text().replace("\\\n", " ")
    fenced = re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
    blocks = [block for language, block in fenced if language in ("", "bash", "yaml")]
    lines = [line for block in blocks for line in block.splitlines()]
    for line in [*lines, *re.findall(r"`(jaxharmo [^`]*)`", text)]:
        if found := re.search(r"(?<![\w./])jaxharmo [a-z-].*", line.partition("  #")[0]):
            yield found[0].split()[1:], line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_exist(page):
    for words, line in commands(page):
        assert words[0] in cli.COMMANDS or words[0].startswith("--"), line
        if "--config" in words:
            name = words[words.index("--config") + 1]
            if name != name.upper() and "mine" not in name:
                find_config(shlex.split(name)[0].strip("."))


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160


def test_links_of_the_readme():
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert link.startswith("https://") or (ROOT / link).exists(), link
