"""An archive proves the cells of its table, and any change of it is found."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import dupl
from dupl.cli import main
from dupl.errors import UserError
from dupl.evidence import container
from dupl.evidence.verify import verify
from dupl.plans.plan import Row

FIXTURES = Path(__file__).parents[1] / "fixtures"
PLACES = 50


def members(archive: Path) -> dict[str, bytes]:
    found = dict(container.read(archive).members)
    del found[container.MANIFEST]
    return found


def packed(tmp_path: Path, changed: dict[str, bytes]) -> Path:
    """An archive of these members whose manifest and seal are right."""
    file = tmp_path / "changed.zip"
    container.write(file, changed)
    return file


def test_every_cell_is_proven(archive):
    found = verify(archive)
    assert found.proven and not found.faults
    assert len(found.verdicts) == 6 and all(one.proven for one in found.verdicts)
    assert (found.runs, found.images, found.name) == (6, (12,), "plan")
    assert all(
        "2 seeds: no p value; each run's better student on val, the reported split" in one.limits
        for one in found.verdicts
    )
    assert "6 of 6 cells proven" in found.lines()[-2] and "not that a training took place" in found.lines()[-1]


def test_a_table_continues_from_its_archive(archive, tmp_path):
    """The unpacked runs are finished runs of the plan: nothing is trained again, and the table is the same."""
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path, [name for name in file.namelist() if name.startswith("runs/")])
    tables = [
        dupl.ablation_table(FIXTURES / "plan.py", root, overrides=[]).render("csv")
        for root in (FIXTURES / "store", tmp_path / "runs")
    ]
    assert tables[0] == tables[1]
    again = tmp_path / "again.zip"
    dupl.export_evidence(FIXTURES / "plan.py", again, tmp_path / "runs", overrides=[], command="dupl export plan.py")
    assert verify(again).proven


def test_the_cells_are_those_of_the_table(archive):
    told = dupl.ablation_table(FIXTURES / "plan.py", FIXTURES / "store", overrides=[])
    table = {(row["row"], row["column"]): row for row in csv.DictReader(io.StringIO(told.render("csv")))}
    cells = list(csv.DictReader(io.StringIO(members(archive)["cells.csv"].decode())))
    assert len(cells) == 6
    for cell in cells:
        other = table[cell["row"], cell["column"]]
        for name in ("mean", "std", "change_value", "ci_low", "ci_high"):
            assert cell[name] == other[name] == "" or float(cell[name]) == pytest.approx(float(other[name]), abs=1e-9)
        assert all(cell[name] == other[name] for name in ("n", "seeds", "fingerprints", "commits", "protocol"))
        assert cell["split"] == "val" and cell["selection"] == other["selection"] != ""


def test_the_same_input_gives_the_same_bytes(archive, tmp_path):
    again = tmp_path / "again.zip"
    dupl.export_evidence(FIXTURES / "plan.py", again, FIXTURES / "store", overrides=[], command="dupl export plan.py")
    assert again.read_bytes() == archive.read_bytes()


def outcome(file: Path) -> tuple[bool, str]:
    """Whether an archive is accepted, and what is said of it; every refusal is one line."""
    try:
        found = verify(file)
    except UserError as error:
        assert "\n" not in str(error)
        return False, str(error)
    return found.proven, "\n".join(found.lines())


def test_one_changed_byte_anywhere_in_the_file_is_found(archive, tmp_path):
    data, draw, file = archive.read_bytes(), random.Random(19), tmp_path / "changed.zip"
    places = [draw.randrange(len(data)) for _ in range(PLACES)]
    for place in [*places, 0, len(data) - 1]:
        other = bytearray(data)
        other[place] ^= 1 << draw.randrange(8)
        file.write_bytes(other)
        proven, _ = outcome(file)
        assert not proven, place


def test_one_changed_byte_in_the_content_of_any_member_is_found_and_named(archive, tmp_path):
    """Packed anew with right checksums, and the manifest as it was."""
    whole, draw = container.read(archive).members, random.Random(7)
    names = sorted(whole)
    for name in draw.sample(names, PLACES) if len(names) > PLACES else names:
        data = bytearray(whole[name])
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(7)
        file = tmp_path / "changed.zip"
        with zipfile.ZipFile(file, "w") as archive_file:
            for other, content in whole.items():
                archive_file.writestr(other, bytes(data) if other == name else content)
        proven, text = outcome(file)
        assert not proven, name
        if name != container.MANIFEST:
            assert f"{name} differs from the manifest" in text, name


def test_a_cell_that_its_counts_do_not_bear_out(archive, tmp_path):
    """Whoever changes a number, and packs it with a right manifest, meets the counts."""
    changed = members(archive)
    rows = list(csv.DictReader(io.StringIO(changed["cells.csv"].decode())))
    rows[1] |= {"mean": "99.0"}
    rows[4] |= {"stars": "***"}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    changed["cells.csv"] = text.getvalue().encode()
    found = verify(packed(tmp_path, changed))
    assert not found.proven and not found.faults
    wrong = [one for one in found.verdicts if one.why]
    assert [one.keys for one in wrong] == [(rows[1]["row"], rows[1]["column"]), (rows[4]["row"], rows[4]["column"])]
    assert wrong[0].why[0].startswith("mean is 99.0, computed again ")
    assert wrong[1].why == ("stars is ***, computed again missing",)


def run_of(changed: dict[str, bytes], ending: str) -> str:
    """The first member with this ending, of the last iteration where it is of an evaluation."""
    return max(name for name in changed if name.endswith(ending) and name.split("/")[1] == first_run(changed))


def first_run(changed: dict[str, bytes]) -> str:
    return json.loads(changed["plan.json"])["runs"][0]["fingerprint"]


def why_of(file: Path) -> str:
    found = verify(file)
    assert not found.proven
    return "\n".join(reason for one in found.verdicts for reason in one.why)


def test_counts_that_are_not_those_of_the_evaluation(archive, tmp_path):
    changed = members(archive)
    name = run_of(changed, "/metrics.json")
    facts = json.loads(changed[name])
    facts["metrics"]["cam/best/mIoU"] += 1
    changed[name] = json.dumps(facts).encode()
    assert f"the counts of run {first_run(changed)} give" in why_of(packed(tmp_path, changed))


def test_missing_counts(archive, tmp_path):
    changed = members(archive)
    del changed[run_of(changed, "/per_image.csv")]
    assert "evidence missing: no counts per image of run" in why_of(packed(tmp_path, changed))


def test_missing_run(archive, tmp_path):
    changed = members(archive)
    name = first_run(changed)
    changed = {key: data for key, data in changed.items() if not key.startswith(f"runs/{name}/")}
    assert f"evidence missing: the archive has no run {name}" in why_of(packed(tmp_path, changed))


def test_counts_that_do_not_add_up(archive, tmp_path):
    changed = members(archive)
    name = run_of(changed, "/per_image.csv")
    changed[name] = b"\n".join([*changed[name].splitlines()[:-3], b""])
    assert "it does not add up to confusion.csv" in why_of(packed(tmp_path, changed))


@pytest.mark.parametrize("value", ["-5", "nan", "1e400", "99999999999999999999"])
def test_counts_that_are_none(archive, tmp_path, value):
    changed = members(archive)
    name = run_of(changed, "/per_image.csv")
    first, second, *rest = changed[name].decode().splitlines()
    changed[name] = "\n".join([first, ",".join([*second.split(",")[:-1], value]), *rest, ""]).encode()
    assert "evidence missing" in why_of(packed(tmp_path, changed))


def test_a_config_of_another_id(archive, tmp_path):
    changed = members(archive)
    name = f"runs/{first_run(changed)}/config.py"
    changed[name] = changed[name].replace(b"lr=", b"lr=1", 1)
    assert f"the config of run {first_run(changed)} has the id" in why_of(packed(tmp_path, changed))


def test_a_row_that_its_config_contradicts(archive, tmp_path):
    """Two rows that change places keep their runs, and their configs say that they are not of these rows."""
    changed = members(archive)
    plan = json.loads(changed["plan.json"])
    names = {"baseline": "L_reg", "L_reg": "baseline"}
    for run in plan["runs"]:
        run["fingerprint"] = next(
            other["fingerprint"]
            for other in json.loads(changed["plan.json"])["runs"]
            if other["seed"] == run["seed"] and other["row"] == names.get(run["row"], run["row"])
        )
    changed["plan.json"] = json.dumps(plan).encode()
    assert "of row baseline" in why_of(packed(tmp_path, changed))


def test_a_protocol_unlike_its_column(archive, tmp_path):
    changed = members(archive)
    name = run_of(changed, "/metrics.json")
    facts = json.loads(changed[name]) | {"protocol": "two scales, no CRF"}
    changed[name] = json.dumps(facts).encode()
    assert "protocol unlike its column: run" in why_of(packed(tmp_path, changed))


def test_the_command(archive, tmp_path, capsys):
    assert main(["verify", str(archive)]) == 0
    assert "6 of 6 cells proven; 6 runs, 12 images each" in capsys.readouterr().out
    assert main(["verify", str(archive), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)[str(archive)]
    assert facts["proven"] and len(facts["verdicts"]) == 6
    data = bytearray(archive.read_bytes())
    data[-1] ^= 1
    (tmp_path / "changed.zip").write_bytes(data)
    assert main(["verify", str(tmp_path / "changed.zip")]) == 1
    assert main(["verify", str(tmp_path / "none.zip")]) == 2
    assert "give a file of dupl export" in capsys.readouterr().err


@pytest.mark.usefixtures("packages")
def test_export_by_the_command_names_what_is_proven(store, tmp_path, capsys):
    file = tmp_path / "one.zip"
    run = sorted(store.iterdir())[0]
    assert main(["export", str(run), "--root", str(store), "--out", str(file)]) == 0
    assert "cells proven" in capsys.readouterr().out
    found = verify(file)
    assert found.proven and {"cam/1/mIoU", "seg/best/mIoU"} <= {one.column for one in found.verdicts}
    assert all("one seed" in one.limits for one in found.verdicts)


@pytest.mark.usefixtures("packages")
def test_a_list_of_runs_has_a_row_for_each_config(store, tmp_path):
    file = tmp_path / "runs.zip"
    found = dupl.export_evidence([store / "L_reg-0", store / "L_reg-1", store / "baseline-0"], file, store)
    assert found.verification.proven
    assert {one.keys[0] for one in found.verification.verdicts} == {one.keys[0] for one in verify(file).verdicts}
    assert len({one.keys[0] for one in found.verification.verdicts}) == 2


@pytest.mark.usefixtures("packages")
def test_a_table_with_runs_that_are_missing(store, tmp_path):
    shutil.rmtree(store / "L_reg-0")
    shutil.rmtree(store / "L_reg-1")
    file = tmp_path / "part.zip"
    found = dupl.export_evidence(FIXTURES / "plan.py", file, store, overrides=[]).verification
    assert found.proven and [one.empty for one in found.verdicts].count(True) == 2
    assert "4 of 4 cells proven, 2 without a number" in found.lines()[-2]


@pytest.mark.usefixtures("packages")
def test_a_table_with_printed_numbers(store, tmp_path):
    """A row of the paper's numbers has no runs, of no seed; there is nothing of it to prove."""
    plan = dupl.load_plan(FIXTURES / "plan.py")
    old = Row("old", "An older method", paper={"Seg": 60.0}, printed=True)
    plan = replace(plan, rows=(old, *plan.rows))
    found = dupl.export_evidence(plan, tmp_path / "printed.zip", store, overrides=[]).verification
    assert found.proven, found.lines()
    assert [one.keys for one in found.verdicts if one.empty] == [("old", "M"), ("old", "Seg")]


def test_nothing_to_archive(store, tmp_path):
    with pytest.raises(UserError, match=r"--out x.txt: end it with .zip"):
        dupl.export_evidence(FIXTURES / "plan.py", "x.txt", store, overrides=[])
    with pytest.raises(UserError, match="nothing to archive"):
        dupl.export_evidence(FIXTURES / "plan.py", tmp_path / "x.zip", store, overrides=[], seeds=[9])


WITHOUT = """
import sys
for name in ("torch", "torchvision", "timm", "mmengine", "rocrate", "mlcroissant", "optuna", "wandb"):
    sys.modules[name] = None
import socket
socket.socket = None
from dupl.cli import main
sys.exit(main(["verify", sys.argv[1]]))
"""


def test_it_needs_neither_torch_nor_the_network(archive, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(archive)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "6 of 6 cells proven" in done.stdout


def test_a_missing_package_is_named(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    with pytest.raises(UserError, match=r'pip install "\.\[evidence\]"'):
        dupl.export_evidence(FIXTURES / "plan.py", tmp_path / "x.zip", store, overrides=[])


def test_the_command_in_the_archive_says_what_was_chosen(monkeypatch, tmp_path):
    told = {}

    def export(*given: object, command: str, **more: object) -> None:
        told["command"] = command
        raise UserError("enough")

    monkeypatch.setattr(dupl.api, "export_evidence", export)
    choice = ["--rows", "baseline", "DS", "--masks", "other", "--seeds", "0", "1", "--set", "data.val.count=4"]
    assert main(["export", "demo_table4", *choice, "--call", "2", "--out", str(tmp_path / "x.zip")]) == 2
    words = "--rows baseline DS --seeds 0 1 --masks other --set data.val.count=4 --call 2 --out x.zip"
    assert told["command"] == f"dupl export demo_table4 {words}"
