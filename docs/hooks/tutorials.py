"""Tutorials: scripts in cells, run when the site is built; pages show what they print and draw."""

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import matplotlib as mpl
import mkdocs_gen_files

FOLDER = Path(__file__).parents[1] / "tutorials"


def main() -> None:
    """Run every tutorial in an empty folder and write its page."""
    mpl.use("agg")
    for path in sorted(FOLDER.glob("*.py")):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            page, pictures = _run(path)
        with mkdocs_gen_files.open(f"tutorials/{path.stem}.md", "w") as file:
            file.write(page)
        for name, content in pictures.items():
            with mkdocs_gen_files.open(f"tutorials/{name}", "wb") as file:
                file.write(content)


def _run(path: Path) -> tuple[str, dict[str, bytes]]:
    """The page in Markdown and its pictures by file name; what a cell raises ends the build."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    names: dict[str, Any] = {"__name__": path.stem}
    for cell in jupytext.read(path, fmt="py:percent").cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(cell.source, str(path), "exec"), names)
        parts.append(f"```python\n{cell.source}\n```")
        if text := said.getvalue().rstrip():
            parts.append(f"```text\n{text}\n```")
        for number in names["plt"].get_fignums() if "plt" in names else ():
            name = f"{path.stem}-{len(pictures) + 1}.png"
            drawn = io.BytesIO()
            names["plt"].figure(number).savefig(drawn, dpi=110, bbox_inches="tight")
            pictures[name] = drawn.getvalue()
            parts.append(f"![Drawn by the code above]({name})")
        if "plt" in names:
            names["plt"].close("all")
    return "\n\n".join(parts) + "\n", pictures


main()
