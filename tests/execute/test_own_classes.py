"""Rows that differ in classes of the user's own share their beginnings, as those classes say when they act."""

from __future__ import annotations

import sys

import pytest

from dupl.cli import main
from dupl.config import components
from dupl.config.prefix import beginnings
from dupl.execute import own_classes
from dupl.runs.store import RunStore

MODULE = """
from typing import Annotated
from dupl.config.kinds import In
from dupl.method.noise_filter import MixtureFilter
from dupl.registry import COMPONENTS

print("a module may print")


@COMPONENTS.register_module()
class SharpFilter(MixtureFilter):
    def __init__(self, sharp: Annotated[float, In("(0, inf)")] = 1.0, start: int = 0) -> None:
        super().__init__(start=start, fit_on="foreground", min_pixels=20, gamma=sharp / 2)
"""
PLAN = '''
"""How sharp a filter of one's own is; it acts from iteration 6 of 24 on."""

base = {base!r}
seeds = [0]
columns = dict(M=dict(metric="cam/best/mIoU"))
vary = dict(label="sharp", paths=["model.noise_filter.sharp"], values=dict(low=0.6, high=1.6))
'''


@pytest.fixture
def plan(tiny, tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "sharp_parts.py").write_text(MODULE)
    own = "dict(_delete_=True, type='SharpFilter', sharp=1.0, start=6)"
    text = f"_base_ = [{tiny!r}]\ncustom_imports = dict(imports=['sharp_parts'])\nmodel = dict(noise_filter={own})\n"
    (tmp_path / "mine.py").write_text('"""Own filter."""\n\n' + text)
    (tmp_path / "sharp.py").write_text(PLAN.format(base=str(tmp_path / "mine.py")))
    monkeypatch.setattr(components, "_learned", {})
    own_classes._described.cache_clear()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    yield str(tmp_path / "sharp.py")
    own_classes._described.cache_clear()


def test_they_share_until_the_class_acts(plan, tmp_path, capfd):
    root = tmp_path / "runs"
    assert main(["ablate", plan, "--root", str(root), "--jobs", "2"]) == 0
    found = sorted(
        0 if one.status.beginning is None else one.status.beginning.iteration for one in RunStore(root).runs()
    )
    assert found == [0, 6]
    assert "sharp_parts" not in sys.modules


def test_where_the_module_is_missing_a_line_says_so(plan, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", "")
    assert main(["ablate", plan, "--root", str(tmp_path / "runs"), "--jobs", "1", "--dry-run"]) == 0
    out, err = capfd.readouterr()
    assert "are shared" not in out
    assert "rows that differ in own classes do not share their beginnings: sharp_parts: " in " ".join(err.split())
    assert "No module named 'sharp_parts'" in " ".join(err.split())


def test_a_name_of_two_classes_is_not_trusted(monkeypatch):
    monkeypatch.setattr(components, "_learned", {})
    entry = {"slot": None, "null": False, "section": {"name": "Mine", "doc": "", "fields": {}}}
    components.learn({"Mine": entry})
    assert components.find("Mine").section.name == "Mine"
    components.learn({"Mine": entry})
    assert components.find("Mine") is not None
    components.learn({"Mine": entry | {"null": True}})
    assert components.find("Mine") is None
    components.learn({"Mine": entry})
    assert components.find("Mine") is None


def test_what_is_unknown_acts_from_the_first_iteration_on(tiny, monkeypatch):
    from dupl.config import catalogue

    values = catalogue.load_values(tiny)
    values["model"]["noise_filter"] = {"type": "Mine", "start": 9}
    monkeypatch.setattr(components, "_learned", {})
    assert 9 not in beginnings(values)
    start = {"kinds": [{"name": "int"}], "default": 0, "doc": ""}
    components.learn(
        {"Mine": {"slot": None, "null": False, "section": {"name": "Mine", "doc": "", "fields": {"start": start}}}}
    )
    assert 9 in beginnings(values)
