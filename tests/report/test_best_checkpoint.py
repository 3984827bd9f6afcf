"""Columns that report the best checkpoint of each run, beside columns of the last weights."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import dupl
from dupl.board.progress import _value
from dupl.cli import main
from dupl.config.catalogue import to_text
from dupl.errors import UserError
from dupl.evidence import container
from dupl.evidence.verify import verify
from dupl.execute.job import AGAIN, plan_jobs
from dupl.plans.plan import load
from dupl.runs import layout
from dupl.runs.best_weights import BestWeights, record_best
from dupl.runs.evaluation import read_evaluations
from dupl.runs.evaluation_files import write_evaluation
from dupl.runs.metrics import summarise
from dupl.runs.run import Run
from dupl.runs.store import RunStore
from dupl.runs.tallies import Tally

CLASSES = ("background", "cat")
IMAGES = 6
HITS = {10: (2, 8), 20: (8, 5), 30: (5, 2)}  # of 10 pixels of the cat, by iteration: segmentation, CAM
BEST = "best checkpoint, selected on val"
BY_CAM = {**HITS, 20: (5, 8), 10: (8, 2)}  # the best CAM and the best segmentation at other iterations
PLAN = '''"""A plan."""

base = "demo/ablation"
seeds = [0, 1]
set = {{"evaluation.best": "seg/1/mIoU"}}
columns = dict({columns})
rows = dict(one=dict(label="One", set={{"schedule.lr": 1e-3}}), two=dict(label="Two", set={{"schedule.lr": 2e-3}}))
compare = "one"
'''
COLUMNS = (
    'Seg=dict(metric="seg/1/mIoU"), Seg_best=dict(label="Seg", metric="seg/1/mIoU", report="best"), '
    'M_best=dict(label="M", metric="cam/1/mIoU", report="best")'
)


def miou(hit: int) -> float:
    """Of 20 pixels per image, 10 of them a cat of which some are found, and nothing else is."""
    return 100 * (hit / 10 + 10 / (20 - hit)) / 2


def tally(hit: int) -> Tally:
    truth, made = np.repeat([0, 1], 10)[None], Tally(len(CLASSES))
    for image in range(IMAGES):
        found = min(10, max(0, hit + (-1) ** image))  # so that images differ; their sum is the hit
        made.add(image, truth, np.r_[np.zeros(10), np.ones(found), np.zeros(10 - found)][None].astype(int))
    return made


def tally_value(hit: int) -> float:
    """As an evaluation computes it, to the last bit."""
    return summarise({"seg/1": tally(hit)})["seg/1/mIoU"]


def evaluate(folder: Path, hits: tuple[int, int], **facts: object) -> dict[str, float]:
    tallies = {"seg/1": tally(hits[0]), "cam/1": tally(hits[1])}
    metrics = summarise(tallies)
    given = {"protocol": "squashed, no CRF", "data": {"type": "Toy", "split": "val"}, "seconds": 1.0}
    given |= {"made": "2026-01-01T00:00:00+00:00"}
    write_evaluation(folder, given | facts, metrics, tallies, CLASSES, [f"image{i}" for i in range(IMAGES)])
    return metrics


def train(folder: Path, planned: object, hits: dict[int, tuple[int, int]] = HITS, best: int | None = 20) -> Run:
    """Write what a training leaves; `best` is the iteration of the best weights, None where they are not recorded."""
    run = Run.create(folder, to_text(planned.values), planned.fingerprint, ["dupl"], planned.seed)
    made = {i: evaluate(run.path / layout.evaluation(i), pair, iter=i) for i, pair in hits.items()}
    for iteration, metrics in made.items():
        run.append_scalars({"iter": iteration, **metrics})
    (run.path / layout.CHECKPOINTS).mkdir()
    (run.path / layout.BEST).touch()
    if best is not None:
        record_best(run.path, BestWeights(best, "seg/1/mIoU", made[best]["seg/1/mIoU"]))
    run.update(state="finished", iteration=30, iterations=30)
    return run


class Made:
    """A plan and its store; the second row is one pixel better everywhere."""

    def __init__(self, folder: Path, columns: str = COLUMNS) -> None:
        self.plan, self.root = folder / "plan.py", folder / "runs"
        self.plan.write_text(PLAN.format(columns=columns))
        self.planned = {(run.row, run.seed): run for run in load(self.plan).expand()}
        for (row, seed), run in self.planned.items():
            better = {i: (a + (row == "two"), b + (row == "two")) for i, (a, b) in HITS.items()}
            train(self.root / f"{row}-{seed}", run, better)

    def table(self, **options: object):
        return dupl.ablation_table(self.plan, self.root, **options).table

    def again(self, row: str, seed: int, **facts: object) -> Path:
        """Write the training of a run anew, otherwise."""
        folder = self.root / f"{row}-{seed}"
        shutil.rmtree(folder)
        train(folder, self.planned[row, seed], **facts)
        return folder


@pytest.fixture
def made(tmp_path) -> Made:
    return Made(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Made:
    """A store that no test changes."""
    return Made(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def table(whole):
    """Its table."""
    return dupl.ablation_table(whole.plan, whole.root)


class TestValues:
    def test_the_best_iteration_beside_the_last_one(self, table):
        cells = table.table.cells
        assert miou(8) == pytest.approx(81.6667, abs=1e-4) and miou(5) == pytest.approx(58.3333, abs=1e-4)
        for row, more in (("one", 0), ("two", 1)):
            for column, hit in (("Seg", 5), ("Seg_best", 8), ("M_best", 5)):
                assert list(cells[row, column].values.values()) == pytest.approx([miou(hit + more)] * 2), column

    def test_all_metrics_are_of_the_iteration_that_was_kept(self, tmp_path):
        """The CAM is best at iteration 20, and the weights are kept by the segmentation, at iteration 10."""
        made = Made(tmp_path)
        for seed in (0, 1):
            made.again("one", seed, hits=BY_CAM, best=10)
        cells = made.table().cells
        assert cells["one", "Seg_best"].summary.mean == pytest.approx(miou(8))
        assert cells["one", "M_best"].summary.mean == pytest.approx(miou(2)), "not that of iteration 20"

    def test_paired_intervals_are_of_the_same_evaluations(self, table):
        for column, hit in (("Seg", 5), ("Seg_best", 8)):
            step = table.table.cells["two", column].step
            assert step.change == pytest.approx(miou(hit + 1) - miou(hit)) and step.note == ""
            assert step.estimate.over == "images", "the seeds are alike here"
            assert step.estimate.low <= step.change <= step.estimate.high

    def test_nothing_is_called_mixed(self, made):
        made.again("one", 1, hits=BY_CAM, best=10)
        assert not [note for note in made.table().notes if "evaluated by" in note]

    def test_the_board_shows_the_column(self, tmp_path):
        made = Made(tmp_path, 'Seg_best=dict(metric="seg/1/mIoU", report="best")')
        (stored,) = [run for run in RunStore(made.root).best() if run.path.name == "one-0"]
        assert _value(load(made.plan), stored) == pytest.approx(miou(8))
        assert load(made.plan).columns[0].heading == f"Seg_best, {BEST}"


class TestOutputs:
    def test_every_form_says_it(self, table):
        for form, style in (("md", "full"), ("latex", "full"), ("html", "full"), ("latex", "paper"), ("csv", "full")):
            assert BEST in table.render(form, style), (form, style)
        text = table.render("md")
        how = "seg/1/mIoU in percent, protocol train: val, squashed, no CRF"
        assert f"- Seg, {BEST}: {how}" in text and f"- Seg: {how}" in text
        assert f"selected: each run's {BEST}, the reported split, by the recipe's evaluation.best" in text

    def test_csv_says_it_in_the_protocol(self, table):
        rows = csv.DictReader(io.StringIO(table.render("csv")))
        told = {row["column"]: (row["metric"], row["protocol"]) for row in rows}
        assert told["Seg"] == ("seg/1/mIoU", "train") and told["Seg_best"] == ("seg/1/mIoU", f"train, {BEST}")

    def test_the_terminal_and_show(self, table, whole, capsys):
        lines = io.StringIO()
        Console(file=lines, width=200).print(*table.rich())
        assert f"Seg, {BEST}" in lines.getvalue()
        assert main(["show", "--plan", str(whole.plan)]) == 0
        out = capsys.readouterr().out
        assert f"Seg: seg/1/mIoU, protocol train, {BEST}" in out and "Seg: seg/1/mIoU, protocol train\n" in out

    def test_before_there_is_a_run(self, made):
        shutil.rmtree(made.root)
        made.root.mkdir()
        text = dupl.ablation_table(made.plan, made.root).render("md")
        assert f"- Seg, {BEST}: seg/1/mIoU in percent, protocol train\n" in text and text.count("not run") == 1

    def test_a_wrong_word_is_one_line(self, made, capsys):
        made.plan.write_text(PLAN.format(columns='Seg=dict(metric="seg/1/mIoU", report="newest")'))
        assert main(["report", str(made.plan), "--root", str(made.root)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "columns.Seg.report" in error and "newest" in error and "plan.py" in error


class TestFair:
    def test_the_choice_is_left_out(self, made):
        table = made.table(selection="fair")
        assert [column.key for column in table.plan.columns] == ["Seg", "Seg_best", "M_best", "M_best_fair"]
        fair = table.plan.columns[-1]
        assert (fair.report, fair.metric, fair.heading) == ("last", "cam/1/mIoU", "M, fair")
        assert table.cells["one", "M_best_fair"].summary.mean == pytest.approx(miou(2)), "of the last weights"
        assert "M_best_fair" not in table.selection
        assert "fair: the last iteration in the place of the best checkpoint" in dupl.ablation_table(
            made.plan, made.root, selection="fair"
        ).render("md")

    def test_both_choices_at_once(self, tmp_path):
        made = Made(tmp_path, 'B=dict(metric="seg/best/mIoU", report="best"), L=dict(metric="seg/best/mIoU")')
        table = made.table(selection="fair")
        assert [(one.key, one.metric, one.report) for one in table.plan.columns] == [
            ("B", "seg/best/mIoU", "best"),
            ("B_fair", "seg/fair/mIoU", "last"),
            ("L", "seg/best/mIoU", "last"),
        ]
        assert table.cells["one", "B_fair"].summary.mean == pytest.approx(miou(5))


class TestMissing:
    def reason(self, made: Made) -> str:
        made.plan.write_text(PLAN.format(columns='Seg_best=dict(metric="seg/1/mIoU", report="best")'))
        table = dupl.ablation_table(made.plan, made.root, rows=["one"])
        cell = table.table.cells["one", "Seg_best"]
        assert list(cell.values) == [1], "no other evaluation takes its place"
        (note,) = cell.notes
        assert table.render("md").count("seed 0: ") == 1, "one footnote"
        return note

    def test_no_best_checkpoint(self, made):
        for name in (layout.BEST, layout.BEST_RECORD):
            (made.root / "one-0" / name).unlink()
        assert self.reason(made) == "seed 0: it has no best checkpoint: training kept none, or it was removed"

    def test_a_run_of_a_version_that_did_not_record_it(self, made):
        folder = made.again("one", 0, best=None)
        command = f"dupl eval {folder} --protocol train --checkpoint best"
        assert self.reason(made) == f"seed 0: finished, but no evaluation of its best checkpoint was found: {command}"
        place = folder / layout.EVALUATIONS / "val_train-64_best"
        evaluate(place, (9, 9), name="train-64", checkpoint="runs/one-0/checkpoints/best.pth", iter=10, split="val")
        assert made.table().cells["one", "Seg_best"].values[0] == pytest.approx(miou(9))
        unlike = made.table().cells["one", "Seg_best"].notes
        facts = dict(name="train-64", checkpoint="runs/one-0/checkpoints/best.pth", iter=10, split="val")
        evaluate(place, (9, 9), **facts, as_in_training=True)
        (found,) = [one for one in read_evaluations(folder)[0] if one.checkpoint]
        assert (found.name, found.title, found.best) == ("train", "squashed, no CRF", True), "as training names it"
        cell = made.table().cells["one", "Seg_best"]
        assert cell.values[0] == pytest.approx(miou(9)) and len(cell.notes) <= len(unlike)

    def test_an_evaluation_that_was_made_again_with_another_value(self, made):
        """An attempt kept weights at iteration 20, was interrupted, and the next one had another value there."""
        record_best(made.root / "one-0", BestWeights(20, "seg/1/mIoU", 99.0))
        assert "no evaluation of its best checkpoint was found" in self.reason(made)

    @pytest.mark.parametrize("record", ["{}", "[1]", '{"iter": "x", "metric": 1, "value": null}', "{", '{"iter": -1}'])
    def test_a_record_that_cannot_be_read_is_none(self, made, record):
        (made.root / "one-0" / layout.BEST_RECORD).write_text(record)
        assert "no evaluation of its best checkpoint was found" in self.reason(made)

    def test_a_corrupt_evaluation_has_no_substitute(self, made):
        (made.root / "one-0" / layout.evaluation(20) / layout.METRICS).write_text("{")
        self.reason(made)

    def test_label_maps_have_no_checkpoint(self, tmp_path):
        made = Made(tmp_path)
        text = made.plan.read_text().replace("rows = dict(", 'rows = dict(other=dict(masks="other"), ')
        made.plan.write_text(text)
        cell = made.table().cells["other", "Seg_best"]
        assert not cell.values and cell.notes


class TestJobs:
    def steps(self, made: Made):
        plan = load(made.plan)
        jobs = plan_jobs(plan.expand(), made.root, evaluations=plan.evaluations(), best=plan.evaluations("best"))
        return jobs[0].steps

    def test_what_is_evaluated_after_training(self, tmp_path):
        columns = COLUMNS + ', F=dict(metric="seg/1/mIoU", protocol="final", report="best")'
        made = Made(tmp_path, columns)
        plan = load(made.plan)
        assert plan.evaluations() == {}
        assert plan.evaluations("best") == {
            ("train", "val"): ("seg/1/mIoU", "cam/1/mIoU"),
            ("final", "val"): ("seg/1/mIoU",),
        }
        _, again, final = self.steps(made)
        assert again.command[-2:] == final.command[-2:] == ("--checkpoint", "best")
        assert (again.protocol, final.protocol) == (AGAIN, "final")
        assert again.done(made.root / "one-0") and not final.done(made.root / "one-0")
        place = made.root / "one-0" / layout.EVALUATIONS / "val_final-1-crf-torch_best"
        facts = dict(name="final-1-crf-torch", crf={}, checkpoint="checkpoints/best.pth", split="val", students="all")
        evaluate(place, (9, 9), iter=10, **facts)
        assert not final.done(made.root / "one-0"), "of weights that were the best ones earlier in training"
        evaluate(place, (9, 9), iter=20, **facts)
        assert final.done(made.root / "one-0")
        cell = made.table().cells["one", "F"]
        assert cell.values == {0: pytest.approx(miou(9))}

    def test_only_what_is_not_recorded_is_evaluated_as_in_training(self, made):
        step = self.steps(made)[1]
        folder = made.again("one", 0, best=None)
        assert not step.done(folder)
        (folder / layout.BEST).unlink()
        assert step.done(folder), "there is nothing to evaluate"


@pytest.fixture(scope="module")
def archive(whole, tmp_path_factory) -> Path:
    """The archive of the store that no test changes."""
    for package in ("rocrate", "mlcroissant"):
        pytest.importorskip(package, reason=f'{package} is not installed: pip install ".[evidence]"')
    file = tmp_path_factory.mktemp("evidence") / "plan.zip"
    dupl.export_evidence(whole.plan, file, whole.root, command="dupl export plan.py")
    return file


class TestEvidence:
    def test_every_cell_is_proven(self, archive, whole):
        found = verify(archive)
        assert found.proven, found.lines()
        assert {one.column for one in found.verdicts} == {"Seg", f"Seg, {BEST}", f"M, {BEST}"}
        names = container.read(archive).members
        run = whole.planned["one", 0].fingerprint
        kept = {name.split("/")[3] for name in names if name.startswith(f"runs/{run}/{layout.EVALUATIONS}/")}
        assert kept == {"iter_000020", "iter_000030"} and f"runs/{run}/{layout.BEST_RECORD}" in names
        cells = list(csv.DictReader(io.StringIO(names["cells.csv"].decode())))
        (cell,) = [one for one in cells if (one["row"], one["column"]) == ("one", "Seg_best")]
        assert float(cell["mean"]) == pytest.approx(miou(8)) and cell["protocol"] == f"train, {BEST}"

    def changed(self, archive: Path, change) -> list[str]:
        members = dict(container.read(archive).members)
        del members[container.MANIFEST]
        change(members)
        file = archive.with_name("changed.zip")
        container.write(file, members)
        found = verify(file)
        assert not found.proven
        return found.lines()

    def test_another_iteration_is_not_the_best(self, archive, whole):
        """The record names the last iteration, whose counts are in the archive too."""
        name = f"runs/{whole.planned['one', 0].fingerprint}/{layout.BEST_RECORD}"

        def change(members: dict[str, bytes]) -> None:
            members[name] = json.dumps({"iter": 30, "metric": "seg/1/mIoU", "value": tally_value(5)}).encode()

        lines = [line for line in self.changed(archive, change) if line.startswith("NOT PROVEN")]
        assert any("its best checkpoint is of iteration 30, the highest seg/1/mIoU" in line for line in lines)
        assert not any("One / Seg  " in line for line in lines), "the last weights are still proven"

    def test_a_column_of_neither(self, archive):
        def change(members: dict[str, bytes]) -> None:
            members["plan.json"] = members["plan.json"].replace(b'"report": "best"', b'"report": "top"')

        with pytest.raises(UserError, match="plan.json is corrupt: a column reports neither"):
            self.changed(archive, change)

    def test_a_run_without_a_record_is_proven_by_its_scalars(self, made, tmp_path):
        pytest.importorskip("rocrate"), pytest.importorskip("mlcroissant")
        for seed in (0, 1):
            folder = made.again("one", seed, best=None)
            facts = dict(name="train-64", checkpoint="checkpoints/best.pth", split="val")
            evaluate(folder / layout.EVALUATIONS / "val_train-64_best", HITS[20], iter=20, **facts)
        file = tmp_path / "plan.zip"
        found = dupl.export_evidence(made.plan, file, made.root, command="dupl export plan.py").verification
        assert found.proven, found.lines()

    def test_plans_without_such_a_column_archive_no_more(self, made, tmp_path):
        pytest.importorskip("rocrate"), pytest.importorskip("mlcroissant")
        made.plan.write_text(PLAN.format(columns='Seg=dict(metric="seg/1/mIoU")'))
        file = tmp_path / "plan.zip"
        dupl.export_evidence(made.plan, file, made.root, command="dupl export plan.py")
        names = [name for name in container.read(file).members if layout.BEST_RECORD in name or "iter_000020" in name]
        assert names == []
