"""docs/upgrade.md: every module of earlier versions has a successor that exists."""

import importlib.util
import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "upgrade.md").read_text()


def test_every_module_has_a_successor():
    modules = TEXT.partition("## Modules")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(dupl\.[\w.]+)` \| `(dupl\.[\w.]+)` \|$", modules, re.MULTILINE)
    before, now = zip(*rows, strict=True)
    assert len(rows) > 100 and len(set(before)) == len(before)
    assert [name for name in now if importlib.util.find_spec(name) is None] == []
