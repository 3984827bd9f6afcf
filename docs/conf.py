"""Settings of the documentation's site: ``sphinx-build -W -n docs OUT``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dupl

os.environ.setdefault("COLUMNS", "100")  # of the help texts

project = "DuPL Lab"
author = "DuPL Lab contributors"
copyright = "DuPL Lab contributors"
version = release = dupl.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"
highlight_language = "none"

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpick_ignore_regex = [("py:.*", r"(?!dupl\.).*")]  # names outside the package have no page here

html_theme = "pydata_sphinx_theme"
html_title = "DuPL Lab"
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


def copy_notebooks(app: Any) -> None:
    """Copy the notebooks with their stored outputs, which tests compare with what they were made from."""
    target = Path(app.srcdir) / "results" / "notebooks"
    target.mkdir(exist_ok=True)
    for book in sorted((Path(app.srcdir).parent / "analysis").glob("*.ipynb")):
        data = book.read_bytes()
        if not (target / book.name).exists() or (target / book.name).read_bytes() != data:
            (target / book.name).write_bytes(data)


def setup(app: Any) -> None:
    """Write generated pages before the others are read."""
    app.connect("builder-inited", write_commands)
    app.connect("builder-inited", copy_notebooks)
