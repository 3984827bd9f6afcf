"""The documentation as a site: it is built without a warning, and has the pages that its front page promises."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason='sphinx is not installed: pip install ".[docs]"')
pytest.importorskip("myst_nb", reason='myst-nb is not installed: pip install ".[docs]"')
pytest.importorskip("pydata_sphinx_theme", reason='pydata-sphinx-theme is not installed: pip install ".[docs]"')

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built from a copy of docs/ beside what its pages include."""
    place = tmp_path_factory.mktemp("site")
    for name in ("docs", "analysis"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("_build", ".ipynb_checkpoints"))
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-b", "html", "docs", "out"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    return place / "out"


def test_every_page_is_built(site):
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").glob("**/*.md")]
    assert len(pages) > 30
    assert [str(page) for page in pages if not (site / page).exists()] == []


def test_the_page_of_commands_is_that_of_the_parser(site):
    text = (site / "reference" / "commands.html").read_text()
    assert all(f"dupl {name}" in text for name in ("train", "data check", "figure", "completion"))


def test_functions_have_their_docstrings(site):
    text = (site / "reference" / "functions.html").read_text()
    assert "dupl.api.recipes.load_recipe" in text and "Load a recipe and replace values of it." in text


def test_equations_are_typeset(site):
    assert "mathjax" in (site / "concepts" / "method.html").read_text().lower()
