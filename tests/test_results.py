"""Committed tables stand in archives that verify, and the tables of the README are theirs."""

from __future__ import annotations

import csv
import functools
import io
import json
import random
import re
import statistics
from collections.abc import Mapping
from pathlib import Path

import pytest

from dupl.errors import UserError
from dupl.evidence import container
from dupl.evidence.anonymous import Redactor
from dupl.evidence.verify import verify

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "analysis" / "results"
ARCHIVES = sorted(RESULTS.glob("*.zip"))
MARK = re.compile(r"<!-- evidence: (?P<file>[\w.-]+\.zip) -->")
NUMBER = re.compile(r"(?<![\w.])[-−+]?\d+\.\d+")


@functools.cache
def members(file: Path) -> Mapping[str, bytes]:
    return container.read(file).members


def cells(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(members(file)["cells.csv"].decode())))


@pytest.mark.parametrize("file", ARCHIVES, ids=lambda file: file.stem)
def test_a_committed_archive_proves_every_cell(file):
    found = verify(file)
    assert found.proven, "\n".join(found.lines())
    assert file.stat().st_size < 5_000_000


@pytest.mark.parametrize("file", ARCHIVES, ids=lambda file: file.stem)
def test_one_changed_byte_of_a_committed_archive_is_found(file):
    data, draw = file.read_bytes(), random.Random(19)
    for place in [draw.randrange(len(data)) for _ in range(50)]:
        other = bytearray(data)
        other[place] ^= 1 << draw.randrange(8)
        try:
            assert container.unpack(bytes(other)).faults, place
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("file", ARCHIVES, ids=lambda file: file.stem)
def test_a_committed_archive_names_nobody(file):
    """No path, no address, no author of a commit, no account and no host of this machine in any member."""
    redactor = Redactor.of([])
    for name, data in members(file).items():
        if name != "README.md":  # it explains runs/ID/evaluation/*/per_image.csv
            assert redactor.text(data.decode()) == data.decode(), name
        if name.endswith("/status.json"):
            facts = json.loads(data)
            assert not any(facts[key] for key in ("host", "command", "pid"))
            assert not any(stretch["host"] for stretch in facts["stretches"])


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.csv")), ids=lambda file: file.stem)
def test_a_committed_table_is_that_of_its_archive(file):
    proven = {(cell["row"], cell["column"]): cell for cell in cells(file.with_suffix(".zip"))}
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert len(rows) == len(proven)
    for row in rows:
        cell = proven[row["row"], row["column"]]
        for name in ("mean", "std", "change_value", "ci_low", "ci_high", "p", "p_holm"):
            assert row[name] == cell[name] == "" or float(row[name]) == pytest.approx(float(cell[name]), abs=1e-6)
        assert (row["n"], row["seeds"], row["fingerprints"]) == (cell["n"], cell["seeds"], cell["fingerprints"])


def marked_tables(text: str) -> list[tuple[str, list[str]]]:
    """The mark above each table of metrics in a page, and the rows of the table."""
    lines, found, mark = text.splitlines(), [], ""
    for number, line in enumerate(lines):
        if match := MARK.fullmatch(line.strip()):
            mark = match["file"]
        if line.startswith("|") and not lines[number - 1].startswith("|") and "mIoU" in line:
            rest = lines[number + 2 :]
            found.append((mark, rest[: next((k for k, one in enumerate(rest) if one[:1] != "|"), len(rest))]))
            mark = ""
    return found


def check(mark: str, rows: list[str]) -> None:
    """Check that every number of a table is one of its archive, as rounded as it is printed."""
    names = ("values", "mean", "std", "change_value", "ci_low", "ci_high")
    known = [float(word) for cell in cells(RESULTS / mark) for name in names for word in cell[name].split()]
    for row in rows:
        for text in NUMBER.findall(row):
            number, digits = float(text.replace("−", "-")), len(text.partition(".")[2])
            assert any(abs(round(value, digits) - number) < 1e-9 for value in known), (mark, row, text)


CLASSES = re.compile(r"<!-- classes: (?P<file>[\w.-]+\.zip) -->\n\n(?P<table>(?:\|.*\n)+)")
NAMED = {"CAM": "cam", "Seg": "seg", "student 1": "1", "student 2": "2", "averaged": "mean"}


def ious(file: Path, label: str, label_map: str, name: str) -> list[float]:
    """The IoU of a class at the end of each run of a row, from the archive's per_class.csv."""
    runs = next(cell["fingerprints"].split() for cell in cells(file) if cell["label"] == label)
    found = []
    for run in runs:
        last = max(one for one in members(file) if re.fullmatch(rf"runs/{run}/evaluation/iter_\d+/per_class\.csv", one))
        rows = csv.DictReader(io.StringIO(members(file)[last].decode()))
        found += [float(row["IoU"]) for row in rows if (row["map"], row["class"]) == (label_map, name)]
    assert len(found) == len(runs) > 1
    return found


def test_every_table_of_classes_is_that_of_its_archive():
    """A row is named "ROW, CAM or Seg, student"; its cells are mean and standard deviation over the runs."""
    tables = [match for file in DOCS for match in CLASSES.finditer(file.read_text(encoding="utf-8"))]
    assert tables, "no table of classes is marked"
    for table in tables:
        head, _, *rows = [[cell.strip() for cell in row.strip("|\n").split("|")] for row in table["table"].splitlines()]
        for title, *numbers in rows:
            label, kind, student = title.rsplit(", ", 2)
            for name, number in zip(head[1:], numbers, strict=True):
                found = ious(RESULTS / table["file"], label, f"{NAMED[kind]}/{NAMED[student]}", name)
                assert number == f"{statistics.mean(found):.1f} ± {statistics.stdev(found):.1f}", (title, name)


def test_every_table_of_metrics_in_the_readme_names_its_archive():
    tables = marked_tables((ROOT / "README.md").read_text(encoding="utf-8"))
    assert tables and all(mark for mark, _ in tables), "a table of metrics names no archive"
    for mark, rows in tables:
        check(mark, rows)


DOCS = [file for file in sorted((ROOT / "docs").rglob("*.md")) if "<!-- evidence: " in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.stem)
def test_marked_tables_of_the_documentation_are_those_of_their_archives(file):
    marked = [(mark, rows) for mark, rows in marked_tables(file.read_text(encoding="utf-8")) if mark]
    assert marked, "a mark stands above no table of metrics"
    for mark, rows in marked:
        check(mark, rows)


def test_a_number_that_no_archive_has_is_found(tmp_path, monkeypatch):
    text = "row,column,values,mean,std,change_value,ci_low,ci_high\na,M,11.62 11.5,11.56,0.08,,,\n"
    container.write(tmp_path / "plan.zip", {"cells.csv": text.encode()})
    text = "<!-- evidence: plan.zip -->\n\n| row | mIoU |\n|---|---|\n| Baseline | 11.6 ± 0.1 |\n"
    ((mark, rows),) = marked_tables(text)
    monkeypatch.setitem(globals(), "RESULTS", tmp_path)
    check(mark, rows)
    with pytest.raises(AssertionError, match="11.9"):
        check(mark, ["| Baseline | 11.9 ± 0.1 |"])
