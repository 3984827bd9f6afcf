"""The board's own templates, which extend those of the report."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template

from dupl.report.pages.html import TEMPLATES, environment

FOLDER = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return environment().overlay(loader=FileSystemLoader([FOLDER, TEMPLATES]))


def template(name: str) -> Template:
    """Return a template of the board."""
    return _environment().get_template(name)


def board_script() -> str:
    """Return the script of the board's pages, which follows that of all pages."""
    return (FOLDER / "board.js").read_text(encoding="utf-8")
