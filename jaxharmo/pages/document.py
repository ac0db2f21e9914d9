"""A whole HTML document, with its style sheet and, where it has a viewer, the script."""

import html
from importlib import resources

from jaxharmo.pages.slices import SliceStore


def page(title: str, body: str, slices: SliceStore | None = None) -> str:
    """A self-contained document.

    ``title`` is escaped, ``body`` is HTML. ``slices`` are those that viewers in ``body`` show.
    """
    styles = [_resource("style.css")]
    scripts = ""
    if slices is not None:
        styles.append(_resource("viewer.css"))
        code = "\n".join(map(_resource, ("slices.js", "drawing.js", "viewer.js")))
        scripts = f'{slices.html()}\n<script>\n"use strict";\n(() => {{\n{code}}})();\n</script>'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
{"".join(styles)}</style>
</head>
<body><main>
{body}
</main>
{scripts}
</body>
</html>
"""


def _resource(name: str) -> str:
    return resources.files("jaxharmo.pages").joinpath(name).read_text(encoding="utf-8")
