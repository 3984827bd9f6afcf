"""Archives of people who pack a changed archive with a right manifest: each change is found, or the file is refused."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dupl.cli import main
from dupl.errors import UserError
from dupl.evidence import container
from dupl.evidence.cells_file import text_of
from dupl.evidence.recompute import recompute
from dupl.evidence.verify import unpack, verify
from dupl.report.tables.layout import layout
from dupl.report.tables.markdown import markdown

Members = dict[str, bytes]


def members(archive: Path) -> Members:
    found = dict(container.read(archive).members)
    del found[container.MANIFEST]
    return found


def told(archive: Path, tmp_path: Path, change: Callable[[Members], None], capsys: pytest.CaptureFixture[str]) -> str:
    """What `dupl verify` says of a changed archive with right digests, which it must not accept."""
    changed = members(archive)
    change(changed)
    file = tmp_path / "changed.zip"
    container.write(file, changed)
    code = main(["verify", str(file)])
    out, err = capsys.readouterr()
    assert code in (1, 2)
    if code == 2:
        assert err.startswith("dupl: ") and err.count("\n") == 1
    else:
        assert "NOT PROVEN" in out or out.startswith("fault ")
    return out + err


def edit(name: str, how: Callable[[dict], None]) -> Callable[[Members], None]:
    """A change of a member in JSON."""

    def change(found: Members) -> None:
        facts = json.loads(found[name])
        how(facts)
        found[name] = json.dumps(facts).encode()

    return change


def cell(change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Callable[[Members], None]:
    """A change of the lines of the cells."""

    def apply(found: Members) -> None:
        rows = list(csv.DictReader(io.StringIO(found["cells.csv"].decode())))
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(change(rows))
        found["cells.csv"] = text.getvalue().encode()

    return apply


def both(*changes: Callable[[Members], None]) -> Callable[[Members], None]:
    def apply(found: Members) -> None:
        for change in changes:
            change(found)

    return apply


def in_counts(ending: str, old: bytes, new: bytes) -> Callable[[Members], None]:
    def apply(found: Members) -> None:
        name = max(name for name in found if name.endswith(ending))
        assert found[name].count(old)
        found[name] = found[name].replace(old, new, 1)

    return apply


def swap(facts: dict) -> None:
    """The runs of two rows change places, and the changes that each row says of its runs with them."""
    rows = ("baseline", "L_reg")
    of = {(run["row"], run["seed"]): (run["fingerprint"], run["changes"]) for run in facts["runs"]}
    for run in facts["runs"]:
        if run["row"] in rows:
            other = rows[1 - rows.index(run["row"])]
            run["fingerprint"], run["changes"] = of[other, run["seed"]]


def without_changes(facts: dict) -> None:
    swap(facts)
    for run in facts["runs"]:
        run["changes"] = {}


def drop_row(facts: dict) -> None:
    facts["plan"]["rows"] = facts["plan"]["rows"][:-1]
    facts["runs"] = [run for run in facts["runs"] if run["row"] != "L_reg"]


def drop_seed(facts: dict) -> None:
    facts["runs"] = [run for run in facts["runs"] if (run["row"], run["seed"]) != ("L_dis", 1)]


def relabel(place: int, **values: object) -> Callable[[dict], None]:
    def apply(facts: dict) -> None:
        facts["plan"]["rows"][place] |= values

    return apply


def column(**values: object) -> Callable[[dict], None]:
    def apply(facts: dict) -> None:
        facts["plan"]["columns"][0] |= values

    return apply


def as_evaluated(found: Members) -> None:
    """Counts, confusion and metric of a run that are consistent with each other, taken from another run."""
    (first, *_), last = json.loads(found["plan.json"])["runs"], json.loads(found["plan.json"])["runs"][-1]
    names = [name for name in found if name.startswith(f"runs/{last['fingerprint']}/evaluation/")]
    for name in names:
        found[name] = found[name.replace(last["fingerprint"], first["fingerprint"])]


def keep_cells(how: Callable[[dict[str, str]], bool]) -> Callable[[Members], None]:
    return cell(lambda rows: [row for row in rows if how(row)])


def all_cells(**values: str) -> Callable[[Members], None]:
    return cell(lambda rows: [row | values for row in rows])


PLAN = "plan.json"
ATTACKS = {
    "a count": (in_counts("/per_image.csv", b"val_00000,background,", b"val_00000,background,1"), "does not add up"),
    "counts of another run": (as_evaluated, "computed again"),
    "runs that change places": (edit(PLAN, swap), "of row baseline"),
    "runs that change places, without the changes of rows": (edit(PLAN, without_changes), "of row baseline"),
    "a row that is left out of the cells": (keep_cells(lambda row: row["row"] != "L_reg"), "has no such cell"),
    "a row that is left out of the plan": (edit(PLAN, drop_row), "a cell of no row"),
    "a row that is left out of both": (
        both(edit(PLAN, drop_row), keep_cells(lambda row: row["row"] != "L_reg")),
        "which is of no row",
    ),
    "a seed that is left out of one row": (edit(PLAN, drop_seed), "row L_dis has runs of the seed 0, most rows of"),
    "the label of a row": (edit(PLAN, relabel(1, label="+ everything")), "label is "),
    "the label of a column": (edit(PLAN, column(label="mIoU, final")), "table.md differs"),
    "the metric of a column": (edit(PLAN, column(metric="cam/1/mIoU")), "metric is "),
    "the protocol of a column": (edit(PLAN, column(protocol="final")), "protocol is "),
    "the number of the paper": (edit(PLAN, relabel(1, paper={"M": 12.0, "Seg": 3.0})), "paper is "),
    "the title of the table": (edit(PLAN, lambda facts: facts["plan"].update(title="ImageNet")), "table.md differs"),
    "what rows are compared with": (edit(PLAN, lambda facts: facts["plan"].update(compare="baseline")), "against"),
    "the method of the interval": (edit(PLAN, lambda facts: facts.update(options={"interval": "bca"})), "ci_method"),
    "an interval that does not exist": (edit(PLAN, lambda facts: facts.update(options={"interval": "x"})), "interval"),
    "how a column was selected": (all_cells(selection=""), "selection is missing"),
    "a rule of selection that the store told": (
        edit(PLAN, lambda facts: facts.update(selected={"M": [["sweep", "found by a sweep"]]})),
        "selection is ",
    ),
    "a star": (cell(lambda rows: [rows[0], rows[1] | {"stars": "**"}, *rows[2:]]), "stars is **"),
    "a mean that is no number": (cell(lambda rows: [rows[0] | {"mean": "nan"}, *rows[1:]]), "mean is nan"),
    "a cell that occurs twice": (cell(lambda rows: [*rows, rows[0]]), "a cell twice"),
    "a number in the table in Markdown": (
        lambda found: found.update({"table.md": found["table.md"].replace(b"| 11.6", b"| 61.6")}),
        "table.md differs",
    ),
    "another protocol in the heading of a column": (
        lambda found: found.update({"table.md": found["table.md"].replace(b" M: ours", b" M (val, CRF): ours")}),
        "table.md differs",
    ),
    "the list of images": (
        lambda found: found.update({"data/images-1.csv": found["data/images-1.csv"].replace(b"val_00003\n", b"")}),
        "data/images-1.csv is not the list",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_change_with_right_digests_is_found(name, archive, tmp_path, capsys):
    change, line = ATTACKS[name]
    assert line in told(archive, tmp_path, change, capsys)


HUGE = b"0" * 60_000_000


def test_zip_bombs_are_refused_before_they_are_unpacked(tmp_path, capsys):
    """A member that swells a thousand times, and many that do so together."""
    for count, size in ((1, len(HUGE)), (6, 10_000_000)):
        file = tmp_path / f"{count}.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(count):
                archive.writestr(f"data/{number}.csv", HUGE[:size])
        assert file.stat().st_size < 100_000
        assert main(["verify", str(file)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "swells" in line


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py", "runs/../../evil.py", "C:\\evil.py", "a/./b"])
def test_names_that_would_be_written_elsewhere(name, archive, tmp_path, capsys):
    """The member is named in the manifest, with its right digest."""
    held = members(archive) | {name: b"evil"}
    listed = {key: [container.hashlib.sha256(data).hexdigest(), len(data)] for key, data in held.items()}
    held[container.MANIFEST] = json.dumps({"format": container.FORMAT, "members": listed}).encode()
    file = tmp_path / "here" / "changed.zip"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as changed:
        for key, data in held.items():
            changed.writestr(key, data)
    assert main(["verify", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "whose name is not allowed" in line
    assert list(tmp_path.rglob("evil*")) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_occurs_twice(archive, tmp_path, capsys):
    file = tmp_path / "changed.zip"
    file.write_bytes(archive.read_bytes())
    with zipfile.ZipFile(file, "a") as changed:
        changed.writestr("cells.csv", b"other")
    assert main(["verify", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "two members of the name 'cells.csv'" in line


def test_one_file_that_cannot_be_read_does_not_hide_the_others(archive, tmp_path, capsys):
    (tmp_path / "none.zip").write_bytes(b"no zip")
    assert main(["verify", str(tmp_path / "none.zip"), str(archive)]) == 2
    out, err = capsys.readouterr()
    assert "6 of 6 cells proven" in out and err.count("\n") == 1


def test_memory_that_does_not_suffice_is_a_line(archive, monkeypatch):
    def recompute(folder):
        raise MemoryError

    monkeypatch.setattr("dupl.evidence.verify.recompute", recompute)
    with pytest.raises(UserError, match="what it holds cannot be read: MemoryError"):
        verify(archive)


def test_a_name_that_is_a_file_and_a_folder(archive, tmp_path, capsys):
    changed = members(archive) | {"cells.csv/more.csv": b"1"}
    container.write(tmp_path / "changed.zip", changed)
    assert main(["verify", str(tmp_path / "changed.zip")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "what it holds cannot be read" in line


def test_counts_that_are_no_csv_are_a_line(archive, tmp_path, capsys):
    """A quotation mark that is never closed makes one cell of the rest of the file."""

    def change(found: Members) -> None:
        name = next(name for name in found if name.endswith("/per_image.csv"))
        found[name] += b'"' + b"x" * 140_000

    assert "cannot be read: Error: field larger than field limit" in told(archive, tmp_path, change, capsys)


def test_trained_runs_that_pass_for_label_maps(archive, tmp_path, capsys):
    """Of a row of label maps one value counts, so that all seeds but one could be hidden; the cells are made to fit."""
    changed = members(archive)
    edit(PLAN, relabel(1, masks="other"))(changed)
    unpack(changed, tmp_path / "unpacked")
    found = recompute(tmp_path / "unpacked")
    changed |= {"cells.csv": text_of(found).encode(), "table.md": markdown(layout(found.table)).encode()}
    assert "row L_dis is of label maps" in told(archive, tmp_path, lambda found: found.update(changed), capsys)
