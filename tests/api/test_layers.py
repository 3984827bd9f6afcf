"""The command line stands on `dupl.api` and on nothing below it, also inside functions and for types."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dupl.cli

FILES = sorted(Path(dupl.cli.__file__).parent.glob("*.py"))
ALLOWED = ("dupl.api", "dupl.cli", "dupl.errors", "dupl.terminal")
NAMES = {"__version__", "api"}  # from dupl itself


def imported(file: Path) -> set[str]:
    """Every module of dupl that a file imports from; "dupl.NAME" for a name of dupl itself."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "dupl":
            found |= {f"dupl.{alias.name}" for alias in node.names if alias.name not in NAMES}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return {name for name in found if name.partition(".")[0] == "dupl"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_command_imports_nothing_below_the_api(file):
    below = {name for name in imported(file) if not name.startswith(ALLOWED)}
    assert below == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_command_parses_no_other_command(file):
    text = file.read_text()
    assert file.stem == "__init__" or "build_parser" not in text and "parse_args(" not in text
