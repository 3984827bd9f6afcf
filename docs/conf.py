"""Settings of the documentation's site: ``sphinx-build -W -n docs OUT``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import dupl

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

os.environ.setdefault("COLUMNS", "100")  # of the help texts

project = "DuPL Lab"
author = "DuPL Lab contributors"
copyright = "DuPL Lab contributors"
version = release = dupl.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "cache"  # a notebook runs again when its code or what it reads has changed
nb_execution_cache_path = str(Path(__file__).parent / "_build" / ".jupyter_cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_render_markdown_format = "myst"  # with tables
html_math_renderer = "mathml"
highlight_language = "none"

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpick_ignore_regex = [("py:.*", r"(?!dupl\.).*")]  # names outside the package have no page here

html_theme = "pydata_sphinx_theme"
html_title = "DuPL Lab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
}


def write_commands(app: Any) -> None:
    """Write the page of the command line from the parser."""
    import argparse

    from dupl.cli import build_parser

    parts = ["# Command line\n", "Each command prints this text with `--help`.\n"]

    def add(parser: argparse.ArgumentParser, depth: int) -> None:
        children = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not children:
            parts.append(f"{'#' * depth} {parser.prog}\n\n```\n{parser.format_help()}```\n")
        for action in children:
            for child in action.choices.values():
                add(child, depth)

    add(build_parser(), 2)
    page = Path(app.srcdir) / "reference" / "commands.md"
    text = "\n".join(parts)
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


IN_SITE = """# What this page was made from: {digest}
import os
import plotly.io
from plotly.io.base_renderers import MimetypeRenderer

os.chdir({root!r})


class OfSite(MimetypeRenderer):
    first = True

    def to_mimebundle(self, chart):
        library, OfSite.first = "../../_static/plotly.min.js" if OfSite.first else False, False
        page = plotly.io.to_html(chart, full_html=False, include_plotlyjs=library, include_mathjax=False)
        return {{"text/html": page}}


class Nothing(MimetypeRenderer):
    def to_mimebundle(self, chart):
        return {{}}


plotly.io.renderers["notebook"], plotly.io.renderers["plotly_mimetype"] = OfSite(), Nothing()
"""


def write_notebooks(app: Any) -> None:
    """Write the notebooks to execute: on the small stores of the tests, with charts that use the site's plotly.js."""
    import nbformat
    import notebooks

    target = Path(app.srcdir) / "results" / "notebooks"
    target.mkdir(exist_ok=True)
    for name in notebooks.PARAMETERS:
        book, _ = notebooks.prepared(name)
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        source = IN_SITE.format(digest=notebooks.digest(name), root="../../..")
        hidden = {"tags": ["remove-cell"]}
        book.cells.insert(1, nbformat.v4.new_code_cell(source, id="in-site", metadata=hidden))
        book.cells.insert(1, notebooks.note(name))
        text, file = nbformat.writes(book), target / f"{name}.ipynb"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def write_plotly(app: Any, error: Exception | None) -> None:
    """Write the library of the charts into the site, so that it needs no network."""
    from plotly.offline import get_plotlyjs

    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "_static" / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")


def write_math(translator: Any, node: Any) -> None:
    """Write an equation as MathML, which browsers show without a script or a network."""
    import docutils.nodes
    from latex2mathml.converter import convert

    block = "block" if isinstance(node, docutils.nodes.math_block) else "inline"
    text = convert(node.astext(), display=block)
    translator.body.append(f'<div class="equation" tabindex="0">{text}</div>' if block == "block" else text)
    raise docutils.nodes.SkipNode


def setup(app: Any) -> None:
    """Write generated pages before the others are read."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("builder-inited", write_commands)
    app.connect("builder-inited", write_notebooks)
    app.connect("build-finished", write_plotly)
