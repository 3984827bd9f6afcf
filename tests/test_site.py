"""The documentation as a site: it is built without a warning, and has the pages that its front page promises."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason='sphinx is not installed: pip install ".[docs]"')
pytest.importorskip("myst_nb", reason='myst-nb is not installed: pip install ".[docs]"')
pytest.importorskip("pydata_sphinx_theme", reason='pydata-sphinx-theme is not installed: pip install ".[docs]"')
pytest.importorskip("latex2mathml", reason='latex2mathml is not installed: pip install ".[docs]"')

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built from a copy of docs/ beside what its pages include and its notebooks read."""
    place = tmp_path_factory.mktemp("site")
    for name in ("docs", "analysis", "tools", "ablations", "tests/fixtures"):
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
    written = (ROOT / "docs" / "concepts" / "method.md").read_text().count("$$") // 2
    text = (site / "concepts" / "method.html").read_text()
    assert text.count('<div class="equation"') == written == 6 and "<msub>" in text and "$$" not in text


def test_notebooks_are_executed(site):
    """Their charts come from the code of today, and the small stores of the tests."""
    for name in ("ablation_tables", "noise_filter", "sweep_sensitivity"):
        text = (site / "results" / "notebooks" / f"{name}.html").read_text()
        assert "plotly-graph-div" in text and text.count("_static/plotly.min.js") == 1, name
        assert "os.chdir" not in text and str(site) not in text
    assert (site / "_static" / "plotly.min.js").stat().st_size > 1e6


@pytest.fixture
def served(site):
    """Address of the site, served on this machine."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


SERIOUS = ("serious", "critical")
PAGES = ["index.html", "tutorials/own-photos.html", "concepts/method.html", "results/notebooks/noise_filter.html"]


def test_pages_fit_and_can_be_read_by_everybody(served, browser):
    """At both widths, in light and dark, without anything from the network."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    elsewhere = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        tab = context.new_page()
        tab.on("request", lambda r: None if r.url.startswith((served, "data:", "blob:")) else elsewhere.append(r.url))
        for page in PAGES:
            tab.goto(served + page)
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page, width)
            assert tab.locator("h1").count() == 1
            found = [
                (rule["id"], rule["impact"], rule["nodes"][0]["html"]) for rule in axe.run(tab).response["violations"]
            ]
            assert [one for one in found if one[1] in ("serious", "critical")] == [], page
        context.close()
    assert elsewhere == []
