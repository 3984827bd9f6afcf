"""The run folder has one owner: no module outside `dupl.runs` spells the name of a file in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dupl
from dupl.runs import layout

PACKAGE = Path(dupl.__file__).parent
FOLDERS = (
    layout.CHECKPOINTS,
    layout.EVALUATIONS,
    layout.GALLERY,
    layout.LABELS,
    layout.CRF,
    layout.MASKS,
)  # words of recipes, too
FILES = {
    value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str) and value not in FOLDERS
} | {layout.quality_picture(""), "best.pth"}
NAMED = re.compile(
    rf"(?<![A-Za-z])({'|'.join(re.escape(name) for name in sorted(FILES))})"
    r"|(^|/)iter_|\biter_\d|\b(checkpoints|evaluation|gallery)/|\b(confusion|over_activation|quality)_$"
)


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text of a module that is no docstring, by line."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def naming(source: str) -> list[int]:
    """The lines of a source that name a file of a run."""
    return [line for line, text in texts(ast.parse(source)) if NAMED.search(text)]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('open(run / "status.json")', True),
        ('f"iter_{done:06d}"', True),
        ('f"evaluation/{name}"', True),
        ('run.glob("checkpoints/*")', True),
        ('f"{folder}/per_class.csv is missing"', True),
        ('"""Reads status.json."""', False),
        ('config["evaluation"], row["iter"], log["loss"]', False),
    ],
)
def test_what_counts(source, named):
    assert bool(naming(source)) == named


def test_only_its_room_names_a_file_of_a_run():
    rooms = (path for path in PACKAGE.rglob("*.py") if PACKAGE / "runs" not in path.parents)
    found = {str(path.relative_to(PACKAGE)): naming(path.read_text()) for path in rooms}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_nor_does_a_template():
    found = {path.name: NAMED.findall(path.read_text()) for path in PACKAGE.rglob("*.html")}
    assert {name: names for name, names in found.items() if any(names)} == {}


def test_within_its_room_the_names_are_spelled_once():
    rooms = (path for path in (PACKAGE / "runs").glob("*.py") if path.name != "layout.py")
    found = {path.name: naming(path.read_text()) for path in rooms}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_names_of_iterations():
    assert layout.iteration_name(420) == "iter_000420"
    assert layout.iteration_of(layout.iteration_name(12345678)) == 12345678
    assert [layout.iteration_of(name) for name in ("iter_", "iter_x", "val_iter_000420", "iter_000420.pth")] == [
        None
    ] * 4


def test_what_belongs_to_iterations_is_listed_in_their_order(tmp_path):
    for name in ("iter_000010", "iter_1000000", "iter_000009", "iter_x", ".iter_000020.pth.part", "best"):
        for folder, ending in ((layout.CHECKPOINTS, ".pth"), (layout.GALLERY, ".json"), (layout.EVALUATIONS, "")):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}{ending}").write_text("")
    assert [iteration for iteration, _ in layout.checkpoints(tmp_path)] == [1000000, 10, 9]
    assert [iteration for iteration, _ in layout.trained_evaluations(tmp_path)] == [9, 10, 1000000]
    assert [file.name for file in layout.gallery_descriptions(tmp_path)][-1] == "iter_1000000.json"
