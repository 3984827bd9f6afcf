"""The Python of the written pages: recipes, plans and sweeps are accepted as printed, code runs as printed."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

import dupl.method  # noqa: F401  (it registers its classes once for all tests)
from dupl.cli import main
from dupl.registry import COMPONENTS
from dupl.runs.run import Run

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"  # test_tutorials.py follows them step by step
PAGES = [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if TUTORIALS not in page.parents]
SHORT = {  # what a page trains, and what stands for it here
    '{"runtime.seed": 1}': '{"schedule.iterations": 2, "schedule.warmup": 1, "data.train.count": 16}',
}


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)


def is_file(code: str) -> bool:
    """Whether a block is a recipe, a plan or a sweep, and not code."""
    return re.search(r"^(_base_|base) = ", code, re.M) is not None


def is_code(code: str) -> bool:
    return re.search(r"^(import|from) ", code, re.M) is not None


FILES = [(page, code) for page in PAGES for code in blocks(page) if is_file(code)]
CODE = [(page, code) for page in PAGES for code in blocks(page) if is_code(code)]


def name(value):
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else ""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """A folder of one's own; the classes and the module of a page are not known from another test."""
    monkeypatch.chdir(tmp_path)
    ours = {name: kind for name, kind in COMPONENTS.module_dict.items() if kind.__module__.startswith("dupl.")}
    monkeypatch.setattr(COMPONENTS, "_module_dict", ours)
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)


def test_every_page_that_shows_a_file_is_found():
    assert {page.name for page, _ in FILES} >= {"sweeps.md", "ablations.md", "own-data.md", "own-component.md"}
    assert {page.name for page, _ in CODE} >= {"README.md", "statistics.md", "own-component.md"}


@pytest.mark.parametrize(("page", "code"), FILES, ids=name)
def test_a_file_is_accepted(page, code, capsys, monkeypatch):
    Path("mine.py").write_text(code)
    for other in blocks(page):  # a module of the page that the file names
        if is_code(other):
            Path("my_parts.py").write_text(other)
    if "space = " in code:
        assert main(["sweep", "mine.py", "--dry-run"]) == 0
    elif re.search(r"^base = ", code, re.M):
        assert main(["ablate", "mine.py", "--dry-run", "--jobs", "1"]) == 0
    else:
        assert main(["show", "mine.py"]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize(("page", "code"), CODE, ids=name)
def test_code_runs(page, code, trained, tmp_path, capsys):
    Image.new("RGB", (48, 32)).save("photo.png")
    for old, new in SHORT.items():
        code = code.replace(old, new)
    for stored in re.findall(r'"([0-9a-f]{12})"', code):  # ids of runs that the page's reader has
        code = code.replace(stored, Run(trained).status.fingerprint)
        shutil.copytree(trained, "runs/trained", dirs_exist_ok=True)
    exec(compile(code, str(page), "exec"), {"__name__": "page"})
