"""dupl report: from a plan and a store of runs to a table, and to a run's page."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dupl.cli import main
from dupl.config.catalogue import to_text
from dupl.plans import paper
from dupl.plans.paper import comparable, of_papers_size
from dupl.plans.plan import Plan, PlannedRun, load
from dupl.runs import failures
from dupl.runs.metrics import summarise
from dupl.runs.run import Run
from dupl.runs.tallies import Tally

CLASSES = ("background", "cat", "cow", "dog")
IMAGES = 40


def photos() -> list[np.ndarray]:
    """Masks of 40 photos of one animal each, (24, 24)."""
    rng = np.random.default_rng(7)
    masks = []
    for _ in range(IMAGES):
        mask = np.zeros((24, 24), np.uint8)
        top, left, height, width = rng.integers(2, 10, 4)
        mask[top : top + height + 3, left : left + width + 3] = rng.integers(1, 4)
        masks.append(mask)
    return masks


def evaluate(run: Run, quality: float, seed: int, folder: str = "evaluation/iter_000420", **facts: object) -> None:
    """Write what an evaluation writes, of two students that find a share of the pixels."""
    rng = np.random.default_rng(seed)
    tallies = {f"{kind}/{student}": Tally(len(CLASSES)) for kind in ("cam", "seg") for student in (1, 2)}
    for i, mask in enumerate(photos()):
        hardness = rng.normal(0, 0.05)
        for name, tally in tallies.items():
            found = rng.random(mask.shape) < quality + hardness - 0.05 * (name[-1] == "2")
            tally.add(i, mask, np.where(found, mask, rng.integers(0, 4, mask.shape)))
    facts = {"protocol": "squashed, no CRF", "iter": 420, "data": {"split": "val"}, "seconds": 1.0, **facts}
    run.write_json(f"{folder}/metrics.json", {**facts, "metrics": summarise(tallies)})
    images = [
        (name, f"photo{i:03}", CLASSES[c], tp, fp, fn)
        for name, tally in tallies.items()
        for i, c, tp, fp, fn in np.concatenate(tally.per_image).tolist()
    ]
    run.write_csv(f"{folder}/per_image.csv", ["map", "image", "class", "TP", "FP", "FN"], images)
    rows = [(n, CLASSES[c], *row) for n, t in tallies.items() for c, row in enumerate(t.matrix.tolist())]
    run.write_csv(f"{folder}/confusion.csv", ["map", "truth", *CLASSES], rows)


def begin(root: Path, planned: PlannedRun) -> Run:
    folder = root / f"{planned.recipe.replace('/', '-')}-{planned.fingerprint}"
    return Run.create(folder, to_text(planned.config), planned.fingerprint, ["dupl", "ablate"], planned.seed)


def fill(root: Path, plan: Plan) -> dict[tuple[str, int], Run]:
    """Runs of a plan, all finished, each row 5 points better than the one before."""
    runs = {}
    for planned in plan.expand():
        place = [row.key for row in plan.rows].index(planned.row)
        run = runs[planned.row, planned.seed] = begin(root, planned)
        evaluate(run, 0.5 + 0.05 * place, 10 * place + planned.seed)
        run.update(state="finished", iteration=420, iterations=420, seconds=30.0)
    return runs


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Path:
    """A plan of three rows and two seeds."""
    path = tmp_path_factory.mktemp("plans") / "small.py"
    path.write_text(
        '"""Small: one component after the other."""\n'
        'base = "demo/toy"\n'
        "seeds = [0, 1]\n"
        'columns = dict(M=dict(metric="cam/best/mIoU"), Seg=dict(label="Seg.", metric="seg/best/mIoU"))\n'
        "factors = dict(\n"
        '    ANF=dict(label="ANF", without={"model.noise_filter": dict(type="TrustAll")}),\n'
        '    L_reg=dict(label="L_reg", without={"model.consistency": dict(type="NoConsistency")}),\n'
        ")\n"
        'rows = dict(base=dict(has=[], paper=dict(M=60.0)), ANF=dict(has=["ANF"], paper=dict(M=62.5)),\n'
        '    both=dict(has=["ANF", "L_reg"]))\n'
    )
    return path


@pytest.fixture(scope="module")
def store(plan, tmp_path_factory) -> Path:
    """Every run of the plan."""
    root = tmp_path_factory.mktemp("store")
    fill(root, load(plan))
    return root


def report(capsys, *arguments: object) -> str:
    assert main(["report", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def cells(capsys, *arguments: object) -> dict[tuple[str, str], dict[str, str]]:
    text = report(capsys, *arguments, "--format", "csv")
    return {(line["row"], line["column"]): line for line in csv.DictReader(io.StringIO(text))}


def refused(capsys, *arguments: object) -> str:
    assert main(["report", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


class TestTerminal:
    def test_a_table_for_people_and_markdown_for_files(self, capsys, plan, store, monkeypatch):
        redirected = report(capsys, plan, "--root", store)
        assert redirected.startswith("## Small")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        shown = report(capsys, plan, "--root", store)
        assert shown.startswith("Small: one component") and "|" not in shown.split("dupl report")[0]
        assert "ours: mean ± standard deviation" in shown
        assert report(capsys, plan, "--root", store, "--format", "md").startswith("## Small")


class TestPaper:
    def test_other_data_has_no_number_of_the_paper(self, plan):
        made = load(plan)
        assert comparable(made, {}) is made
        assert comparable(made, {"schedule.lr": 1e-4}) is made
        other = comparable(made, {"data.val.count": 4})
        assert [row.paper for row in other.rows] == [{}, {}, {}]
        assert "data.val differ from those of demo/toy" in other.reference

    def test_where_the_data_lie_makes_no_difference(self):
        made = load("table4_components")
        assert comparable(made, {"data.train.root": "elsewhere", "data.val.root": "elsewhere"}) is made

    def test_another_number_of_images_has_no_number_of_the_paper(self):
        made = load("table4_components")
        data = made.expand(rows=["baseline"], seeds=[0])[0].values["data"]
        whole = {"train": {"images": 10_582}, "val": {"images": 1_449}}
        assert of_papers_size(made, data, [whole]) is made
        assert of_papers_size(made, data, [{}, {"val": {"missing": "no masks"}}]) is made, "nothing is known of them"
        other = of_papers_size(made, data, [whole, {**whole, "val": {"images": 100}}])
        assert not any(row.paper for row in other.rows)
        assert "the paper's numbers are left out: data.val has 100 or 1449 images, not 1449" in other.reference
        assert of_papers_size(made, {"val": {"type": "TaggedFolder"}}, [{"val": {"images": 3}}]) is made

    def test_the_record_of_a_stored_run_is_read(self, capsys, plan, store, tmp_path, monkeypatch):
        monkeypatch.setitem(paper.SIZES, ("Toy", "val"), 4)
        assert "62.5" in report(capsys, plan, "--root", store)
        root = tmp_path / "store"
        shutil.copytree(store, root)
        for folder in root.glob("demo-toy-*"):
            (folder / "data.json").write_text(json.dumps({"val": {"images": 5}}))
        out = report(capsys, plan, "--root", root)
        assert "data.val has 5 images, not 4" in out and "62.5" not in out


def test_a_run_that_could_not_begin_is_footnoted_with_its_error(capsys, plan, tmp_path):
    first = load(plan).expand()[0]
    failures.note(tmp_path, first.fingerprint, "no such weights")
    line = cells(capsys, plan, "--root", tmp_path)["base", "M"]
    assert "seed 0: failed before training: no such weights" in line["notes"]
    assert "seed 1: not run" in line["notes"]
    failures.note(tmp_path, first.fingerprint, None)
    assert cells(capsys, plan, "--root", tmp_path)["base", "M"]["notes"].startswith("not run")


class TestTable:
    def test_figures_are_those_of_the_runs(self, capsys, plan, store):
        found = cells(capsys, plan, "--root", store)
        assert set(found) == {(row, column) for row in ("base", "ANF", "both") for column in ("M", "Seg")}
        for (row, column), line in found.items():
            metric = {"M": "cam/best/mIoU", "Seg": "seg/best/mIoU"}[column]
            told = []
            for planned in load(plan).expand(rows=[row]):
                folder = store / f"demo-toy-{planned.fingerprint}" / "evaluation" / "iter_000420"
                told.append(json.loads((folder / "metrics.json").read_text())["metrics"][metric])
            assert [float(value) for value in line["values"].split()] == told
            assert float(line["mean"]) == pytest.approx(sum(told) / 2)
            assert float(line["std"]) == pytest.approx(abs(told[0] - told[1]) / 2**0.5)
            assert (line["n"], line["seeds"], line["protocol"]) == ("2", "0 1", "train")
            assert line["how"] == "val, squashed, no CRF"

    def test_steps_have_intervals_over_seeds_and_images(self, capsys, plan, store):
        found = cells(capsys, plan, "--root", store)
        first, step = found["base", "M"], found["ANF", "M"]
        assert first["change"] == first["p"] == ""
        assert step["change"] == "'+ ANF", "no formula for a spreadsheet"
        assert (step["against"], step["ci_over"]) == ("base", "seeds x images")
        gap = float(step["mean"]) - float(first["mean"])
        assert float(step["change_value"]) == pytest.approx(gap)
        assert float(step["ci_low"]) < gap < float(step["ci_high"])
        assert step["p_holm"] == step["p"] == "", "two seeds"
        assert float(step["paper_change"]) == pytest.approx(2.5)
        assert found["both", "M"]["paper_change"] == ""

    def test_one_seed_has_intervals_over_images(self, capsys, plan, store):
        step = cells(capsys, plan, "--root", store, "--seeds", 1)["ANF", "Seg"]
        assert (step["n"], step["std"], step["ci_over"]) == ("1", "", "images")
        assert 0 < float(step["ci_low"]) < float(step["change_value"]) < 10
        assert "says nothing about other seeds" in report(capsys, plan, "--root", store, "--seeds", 1)

    def test_rows_can_be_chosen(self, capsys, plan, store):
        assert {row for row, _ in cells(capsys, plan, "--root", store, "--rows", "ANF", "both")} == {"ANF", "both"}
        assert "no row 'anf'" in refused(capsys, plan, "--root", store, "--rows", "anf")

    def test_other_settings_are_other_runs(self, capsys, plan, store):
        changed = cells(capsys, plan, "--root", store, "--set", "schedule.iterations=7")
        assert {line["notes"] for line in changed.values()} == {"not run"}

    def test_same_store_same_text(self, capsys, plan, store):
        assert report(capsys, plan, "--root", store) == report(capsys, plan, "--root", store)

    def test_command_makes_it_again(self, capsys, plan, store):
        text = report(capsys, plan, "--root", store, "--seeds", 0, "--set", "runtime.log_interval=3")
        (line,) = [line for line in text.splitlines() if line.startswith("- command: dupl report ")]
        again = line.removeprefix("- command: dupl ").replace("\\", "").split()
        assert again[2:] == ["--format", "md", "--root", str(store), "--seeds", "0", "--set", "runtime.log_interval=3"]
        assert main(again) == 0
        assert capsys.readouterr().out == text


class TestMissing:
    def test_every_reason_is_told(self, capsys, plan, tmp_path):
        base, anf, both = (load(plan).expand(rows=[row]) for row in ("base", "ANF", "both"))
        begin(tmp_path, base[0]).update(state="failed", iteration=30, iterations=420, error="the loss is NaN")
        at_work = begin(tmp_path, base[1])
        at_work.update(state="running", iteration=70, iterations=420)
        evaluate(at_work, 0.9, 0, "evaluation/iter_000070", iter=70)  # is no result yet
        begin(tmp_path, anf[0]).update(state="finished", iteration=420, iterations=420)
        other = begin(tmp_path, anf[1])
        facts = {"name": "final-1", "split": "val", "checkpoint": "best.pth", "students": "all"}
        evaluate(other, 0.9, 0, "evaluation/val_final-1_best", **facts)
        other.update(state="finished", iteration=420, iterations=420)
        found = cells(capsys, plan, "--root", tmp_path)
        assert {line["n"] for line in found.values()} == {"0"}
        assert found["base", "M"]["notes"] == (
            "seed 0: failed at iteration 30 of 420: the loss is NaN; seed 1: running at iteration 70 of 420"
        )
        assert f"{other.path} --protocol train" in found["ANF", "Seg"]["notes"]
        assert "seed 1: evaluated by final-no-crf, not by train: dupl eval" in found["ANF", "Seg"]["notes"]
        assert "seed 0: finished, but no evaluation of it was found" in found["ANF", "Seg"]["notes"]
        assert found["both", "M"]["notes"] == "not run"
        assert found["both", "M"]["fingerprints"] == "" and len(both) == 2

    def test_an_empty_cell_is_a_dash_with_a_footnote(self, capsys, plan, tmp_path):
        lines = report(capsys, plan, "--root", tmp_path).splitlines()
        (row,) = [line for line in lines if line.startswith("| + ANF") and "✓" in line]
        assert row.count("–<sup>a</sup>") == 4
        assert "<sup>a</sup> not run  " in lines

    def test_nothing_finished_is_told_with_the_command(self, capsys, plan, store, tmp_path):
        assert main(["report", str(plan), "--root", str(tmp_path)]) == 0
        told = capsys.readouterr().err
        assert (
            told
            == f"no run of this table has finished in {tmp_path}: dupl ablate {plan} --root {tmp_path} trains them\n"
        )
        assert main(["report", str(plan), "--root", str(store), "--rows", "ANF", "--set", "schedule.lr=0.5"]) == 0
        assert f"dupl ablate {plan} --root {store} --rows ANF --set schedule.lr=0.5 trains" in capsys.readouterr().err
        assert main(["report", str(plan), "--root", str(store)]) == 0
        assert "has finished" not in capsys.readouterr().err

    def test_damaged_counts_leave_the_mean(self, capsys, plan, store, tmp_path):
        runs = fill(tmp_path, load(plan))
        for seed in (0, 1):
            (runs["ANF", seed].path / "evaluation" / "iter_000420" / "per_image.csv").unlink()
        assert main(["report", str(plan), "--root", str(tmp_path), "--format", "csv"]) == 0
        out, err = capsys.readouterr()
        assert err.count("per_image.csv: it is missing") == 2
        lines = {(line["row"], line["column"]): line for line in csv.DictReader(io.StringIO(out))}
        assert lines["ANF", "M"]["mean"] and lines["ANF", "M"]["ci_over"] == "seeds"
        assert "has no pixels per image" in lines["ANF", "M"]["notes"]

    def test_mixed_commits_and_versions_are_told(self, capsys, plan, tmp_path):
        runs = fill(tmp_path, load(plan))
        runs["base", 0].update(commit="0123456789abcdef0123456789abcdef01234567", dirty=False)
        runs["ANF", 0].update(versions={"python": "3.11.1", "torch": "1.0"})
        text = report(capsys, plan, "--root", tmp_path)
        assert "- mixed: different commits: " in text
        assert "- mixed: different versions of torch: " in text
        assert "0123456789ab" in cells(capsys, plan, "--root", tmp_path)["base", "M"]["commits"]


class TestOutput:
    @pytest.mark.parametrize(
        ("name", "begins"), [("t.md", "## Small"), ("t.tex", "% needs"), ("t.csv", "plan,row"), ("t.html", "<!doctype")]
    )
    def test_format_follows_the_name(self, capsys, plan, store, tmp_path, name, begins):
        assert report(capsys, plan, "--root", store, "--out", tmp_path / name) == ""
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)

    def test_a_terminal_without_check_marks(self, plan, store):
        """What it cannot show is written as its escape."""
        argv = [sys.executable, "-m", "dupl", "report", plan, "--root", store, "--format", "md"]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "latin-1"}
        done = subprocess.run(list(map(str, argv)), env=env, capture_output=True)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
        assert b"\\u2713" in done.stdout and "±".encode("latin-1") in done.stdout

    def test_mistakes_are_told_in_one_line(self, capsys, plan, store, tmp_path):
        assert "end it with .md, .tex, .csv, .html" in refused(capsys, plan, "--root", store, "--out", "table.pdf")
        assert "there is no folder" in refused(capsys, plan, "--root", tmp_path / "nowhere")
        assert "is a folder without a run" in refused(capsys, tmp_path, "--root", store)
        assert "no_such_plan" in refused(capsys, "no_such_plan", "--root", store)


class TestPage:
    def test_a_run_is_a_page_of_its_own(self, monkeypatch, capsys, plan, store, tmp_path):
        import dupl.report.pages.run

        asked = []
        monkeypatch.setattr(
            dupl.report.pages.run, "write", lambda folder, out=None: asked.append((folder, out)) or "page"
        )
        run = next(store.iterdir())
        assert report(capsys, run, "--out", tmp_path / "page.html") == "page\n"
        assert asked == [(run, tmp_path / "page.html")]

    def test_what_belongs_to_plans_is_refused(self, capsys, store):
        run = next(store.iterdir())
        assert "--format csv is for plans" in refused(capsys, run, "--format", "csv")
        for option, value in (
            ("--seeds", 1),
            ("--set", "a=1"),
            ("--data", "d"),
            ("--interval", "bca"),
            ("--masks", "m"),
        ):
            assert f"{option}: these are for plans" in refused(capsys, run, option, value)


def test_a_folder_that_is_called_like_a_plan_hides_it_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo_table4").mkdir()
    (tmp_path / "runs").mkdir()
    assert main(["report", "demo_table4"]) == 0
    assert "demo_table4" in capsys.readouterr().out
    (tmp_path / "nothing").mkdir()
    assert main(["report", "nothing"]) == 2
    assert "nothing is a folder without a run" in capsys.readouterr().err
