"""docs/reference/upgrade.md: every module of earlier versions has a successor that exists."""

import importlib.util
import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "reference" / "upgrade.md").read_text()


def expand(name: str) -> list[str]:
    """Return the names that braces stand for: a.{b,c}_d is a.b_d and a.c_d."""
    head, brace, rest = name.partition("{")
    inner, _, tail = rest.partition("}")
    return [f"{head}{part}{tail}" for part in inner.split(",")] if brace else [name]


def test_every_module_has_a_successor():
    modules = TEXT.partition("## Modules")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(dupl\.[\w.]+)` \| `(dupl\.[\w.{},]+)`", modules, re.MULTILINE)
    before, now = zip(*rows, strict=True)
    assert len(rows) > 100 and len(set(before)) == len(before)
    assert [name for names in now for name in expand(names) if importlib.util.find_spec(name) is None] == []
