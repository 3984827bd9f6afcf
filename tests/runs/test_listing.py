"""What ``dupl runs`` lists, of many runs from an index: it is fast, and the folders remain the truth."""

import json
import os
import time

import pytest

from dupl.config import catalogue
from dupl.runs import listing
from dupl.runs.listing import FILE, list_runs
from dupl.runs.run import Run

FACTS = {"state": "finished", "command": ["dupl", "train"], "created": "2026-01-01T00:00:00+00:00", "id_version": 2}
FACTS |= {"ended": "2026-01-01T01:00:00+00:00", "seconds": 200.0, "iteration": 100, "iterations": 100}
FACTS |= {"commit": "c" * 40, "dirty": False, "versions": {"torch": "2.6.0"}}


def build(root, count):
    """Finished runs whose configs and metrics are links to one file each."""
    first = Run(root / ".first")
    first.write_text("config.py", catalogue.to_text({"model": {"type": "Net"}}))
    metrics = {f"{kind}/{who}/mIoU": 10.0 for kind in ("cam", "seg") for who in ("1", "2", "best")}
    facts = {"iter": 100, "protocol": "p", "data": {"split": "val"}, "metrics": metrics}
    first.write_json("metrics.json", facts)
    for i in range(count):
        folder = root / f"toy-{i:012x}"
        (folder / "evaluation/iter_000100").mkdir(parents=True)
        os.link(first.path / "config.py", folder / "config.py")
        os.link(first.path / "metrics.json", folder / "evaluation/iter_000100/metrics.json")
        (folder / "status.json").write_text(json.dumps({**FACTS, "seed": i, "fingerprint": f"{i:012x}"}))
    return first


@pytest.fixture
def many(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "LEAST", 3)
    build(tmp_path, 4)
    return tmp_path


def read(root):
    """The lines, and how many runs were opened for them."""
    opened, skipped = [], {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "open_run", lambda folder, real=listing.open_run: opened.append(folder) or real(folder))
        lines = list_runs(root, skipped)
    return lines, len(opened), skipped


def test_twenty_thousand_runs_are_listed_within_two_seconds(tmp_path):
    build(tmp_path, 20_000)
    first = list_runs(tmp_path, {})
    start = time.process_time()
    again, opened, skipped = read(tmp_path)
    assert time.process_time() - start < 2
    assert (len(again), opened, skipped) == (20_000, 0, {})
    assert again == first
    assert again[7].metrics["seg/best/mIoU"] == 10.0 and again[7].seed == 7


def test_a_small_store_gets_no_index(tmp_path):
    build(tmp_path, 3)
    assert len(read(tmp_path)[0]) == 3
    assert not (tmp_path / FILE).exists()


def test_what_changed_is_read_anew(many):
    before, *_ = read(many)
    assert read(many)[1] == 0
    Run(many / "toy-000000000001").update(seconds=900.0, error="x")
    lines, opened, _ = read(many)
    assert (opened, lines[1].seconds) == (1, 900.0)
    (many / "toy-000000000002/evaluation/iter_000100/metrics.json").unlink()
    changed = {"iter": 100, "protocol": "p", "data": {"split": "val"}, "metrics": {"seg/best/mIoU": 77.0}}
    Run(many / "toy-000000000002").write_json("evaluation/iter_000100/metrics.json", changed)
    lines, opened, _ = read(many)
    assert (opened, lines[2].metrics) == (1, {"seg/best/mIoU": 77.0})
    assert read(many)[1] == 0
    (many / ".plans").mkdir()
    (many / ".plans/000000000003.rows.json").write_text('[["plan", "row"]]')
    lines, opened, _ = read(many)
    assert (opened, lines[3].plans) == (1, [("plan", "row")])
    assert lines[0] == before[0]


def test_runs_come_and_go(many):
    read(many)
    os.rename(many / "toy-000000000000", many / "moved")
    os.makedirs(many / "group")
    os.rename(many / "toy-000000000003", many / "group/inner")
    os.symlink(many / "toy-000000000001", many / "link")
    names = [line.path.relative_to(many).as_posix() for line in read(many)[0]]
    assert names == ["group/inner", "moved", "toy-000000000001", "toy-000000000002"]
    assert [line.path.relative_to(many).as_posix() for line in read(many)[0]] == names


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 0}', '{"version": [1, 1, 2], "metrics": [], "rows": {"a": 1}}']
)
def test_a_damaged_index_is_made_again(many, text):
    before, *_ = read(many)
    (many / FILE).write_text(text)
    lines, opened, _ = read(many)
    assert (lines, opened) == (before, 4)
    assert read(many)[1] == 0
    (many / FILE).unlink()
    assert read(many)[0] == before


def test_corrupt_and_active_runs_are_always_read(many):
    (many / "toy-000000000000/status.json").write_text("{")
    Run(many / "toy-000000000001").update(state="running")
    for _ in range(2):
        lines, opened, skipped = read(many)
        assert (len(lines), opened) == (3, 2) or (len(lines), opened) == (3, 4)
        assert list(skipped) == [many / "toy-000000000000"]
    assert opened == 2
