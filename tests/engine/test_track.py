"""A tracked training: all it shows is in the .wandb file, and it trains to the very same numbers as one untracked."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.cli import main
from dupl.config import catalogue
from dupl.engine.training import tracked_pictures, tracking
from dupl.method.dupl import DuPL
from dupl.report.figures.image_row import ImageRow
from dupl.runs.run import Run
from dupl.track import wandb_process
from dupl.track.run_files import better

MAPS = ("cam/1", "cam/2", "seg/1", "seg/2")


@pytest.fixture(scope="module")
def tracked(tiny, tmp_path_factory):
    """Folder of a run of ``tiny`` tracked offline, interrupted after iteration 13 and resumed."""
    folder, forward = tmp_path_factory.mktemp("tracked") / "run", DuPL.loss

    def loss(self, **batch):
        if batch["clock"].t == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return forward(self, **batch)

    command = ["train", tiny, "--work-dir", str(folder), "--wandb", "offline"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dupl.engine.pictures.draw", lambda *_: [])
        patch.setenv("DUPL_PLAN", "table4")
        patch.setenv("DUPL_ROW", "full")
        patch.setattr(DuPL, "loss", loss)
        assert main([*command, "--set", "runtime.track.checkpoints=True", "runtime.track.code=True"]) == 1
        patch.setattr(DuPL, "loss", forward)
        assert main([*command, "--resume", "--set", "runtime.track.checkpoints=True", "runtime.track.code=True"]) == 0
    return folder


def read(log: Path, *options: str) -> list[dict]:
    """What wandb's own reader finds in a .wandb file."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(log)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return [json.loads(done.stdout)] if options else [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def stretches(tracked):
    """Records of both stretches, first the one that was interrupted."""
    return [read(log) for log in sorted(tracked.glob("wandb/offline-run-*/*.wandb"))]


@pytest.fixture(scope="module")
def history(stretches):
    """Rows of both stretches, later ones winning, by iteration."""
    rows = {}
    for record in (r for records in stretches for r in records):
        if record["type"] == "history":
            rows.setdefault(record["history"]["item"]["iter"], {}).update(record["history"]["item"])
    return rows


class TestFile:
    def test_both_stretches_are_one_run(self, tracked, stretches):
        runs = [next(r["run"] for r in records if r["type"] == "run") for records in stretches]
        assert len(runs) == 2
        (name,) = {r["run_id"] for r in runs}
        assert name == json.loads((tracked / "wandb.json").read_text())["id"]
        assert name.startswith(Run(tracked).status.fingerprint)
        for run in runs:
            assert (run["project"], run["run_group"], run["job_type"], run["display_name"], run["resume"]) == (
                "dupl",
                "table4",
                "full",
                "full, seed 0 (run)",
                True,
            )
            assert run["tags"] == ["DS", "L_dis", "DTA", "ANF", "L_reg"]
        ends = [next(r["exit"] for r in records if r["type"] == "exit") for records in stretches]
        assert [end["exit_code"] for end in ends] == [130, 0]

    def test_steps_go_on_and_no_iteration_is_there_twice(self, stretches):
        rows = [r["history"]["item"] for records in stretches for r in records if r["type"] == "history"]
        steps = [row["_step"] for row in rows]
        assert steps == list(range(len(rows)))
        iterations = [row["iter"] for row in rows]
        assert iterations == sorted(set(iterations)) and iterations[-1] == 24

    def test_the_config_is_the_resolved_recipe(self, tracked, stretches):
        run = next(r["run"] for r in stretches[-1] if r["type"] == "run")
        config = {k: v for k, v in run["config"]["update"].items() if k != "_wandb"}
        said = config.pop("run")
        assert said["fingerprint"] == Run(tracked).status.fingerprint
        assert config == json.loads(json.dumps(catalogue.plain(catalogue.load(tracked / "config.py"))))

    def test_every_scalar_of_the_run_is_there(self, tracked, history):
        rows = Run(tracked).scalars()
        assert len(rows) > 12
        for row in rows:
            for name, value in row.items():
                if value is not None:
                    assert history[row["iter"]][name] == pytest.approx(value, rel=1e-12), (row["iter"], name)
        names = {name for row in rows for name in row}
        wanted = {"loss", "L_cls", "L_ptc", "L_dis", "L_seg", "L_reg", "tau_h", "lr", "noise/share"}
        wanted |= {f"pixels/{kind}" for kind in ("supervised", "filtered", "undecided")}
        wanted |= {f"noise/{s}/{what}" for s in (1, 2) for what in ("mean_clean", "mean_noisy", "apart")}
        wanted |= {f"{of}/{what}" for of in MAPS for what in ("mIoU", "OA")} | {"cls/1/mAP", "seg/best/mIoU"}
        assert wanted <= names

    def test_the_iteration_is_the_x_axis_of_all(self, stretches):
        metrics = [r["metric"] for records in stretches for r in records if r["type"] == "metric"]
        assert {"glob_name": "*", "options": {"defined": True, "step_sync": True}, "step_metric": "iter"} in metrics

    def test_the_summary_has_last_and_best(self, tracked):
        log = sorted(tracked.glob("wandb/offline-run-*/*.wandb"))[-1]
        (found,) = read(log, "--summary")
        rows, summary = Run(tracked).scalars(), found["summary"]
        assert found["state"] == "finished"
        for name in {name for row in rows for name in row} - {"iter"}:
            values = [row[name] for row in rows if row.get(name) is not None]
            assert summary[name] == pytest.approx(values[-1], rel=1e-12), name
            if (choice := better(name)) is not None:
                begun = [value for value in values if value != 0 or not name.startswith("L_")]
                assert summary[f"best/{name}"] == pytest.approx(reduce(choice, begun), rel=1e-12), name

    def test_the_table_per_class_holds_every_evaluation(self, tracked, history):
        file = next(tracked.glob(f"wandb/*/files/{history[24]['classes/table.path']}"))
        found = json.loads(file.read_text())
        wanted = []
        for done in (8, 16, 24):
            with open(tracked / "evaluation" / f"iter_{done:06d}" / "per_class.csv", newline="") as text:
                columns, *rows = csv.reader(text)
            wanted += [[done, *row[:2], float(row[2]) if row[2] else None] for row in rows]
        assert found["columns"] == ["iter", *columns]
        assert {"IoU", "OA"} <= set(columns)
        assert [row[:4] for row in found["data"]] == wanted

    def test_a_sheet_of_pictures_per_evaluation(self, tracked, history):
        for done in (8, 16, 24):
            item = history[done]
            assert item["pictures/sheet.count"] == 1
            (photo,) = item["pictures/sheet.filenames"]
            assert min(Image.open(next(tracked.glob(f"wandb/*/files/{photo}"))).size) > 300
            assert not any(key.startswith(("pictures/cam", "noise/mixtures")) for key in item)

    def test_losses_with_the_mixtures(self, history):
        for s in (1, 2):
            assert history[24][f"noise/{s}/losses._type"] == "histogram"
            bins, values = (history[24][f"noise/{s}/losses.{part}"] for part in ("bins", "values"))
            assert len(bins) == len(values) + 1 and sum(values) > 0
        assert "noise/1/losses._type" not in history[2], "the filter had not started"

    def test_code_files_and_weights_are_kept(self, tracked, stretches):
        artifacts = [r["artifact"] for r in stretches[-1] if r["type"] == "artifact"]
        code = next(a for a in artifacts if a["type"] == "code")
        assert "method/equations.py" in {entry["path"] for entry in code["manifest"]["contents"]}
        weights = {tuple(a["aliases"]): a for a in artifacts if a["type"] == "model"}
        assert {alias for aliases in weights for alias in aliases} >= {"last", "best"}
        paths = {entry["path"] for a in weights.values() for entry in a["manifest"]["contents"]}
        assert paths == {"best.pth", "iter_000024.pth"}
        for entry in (e for a in artifacts for e in a["manifest"]["contents"] if "local_path" in e):
            assert Path(entry["local_path"]).is_relative_to(tracked.resolve()), "what is to be uploaded lies in the run"
        files = {f["path"] for r in stretches[-1] if r["type"] == "files" for f in r["files"]["files"]}
        assert {"config.py", "status.json", "requirements.txt"} <= files
        assert any(r["type"] == "environment" for r in stretches[-1])


class TestTraining:
    def test_its_numbers_are_those_of_an_untracked_run(self, tracked, trained, helpers):
        helpers.assert_same_run(tracked, trained)

    def test_nor_does_a_wandb_that_dies_touch_it(self, tiny, trained, tmp_path, monkeypatch, capsys, helpers):
        log = wandb_process.Tracker.log_iteration

        def kill(self, row):
            if self.process is not None and row["iter"] >= 8:
                self.process.kill()
            log(self, row)

        monkeypatch.setattr(wandb_process.Tracker, "log_iteration", kill)
        assert main(["train", tiny, "--work-dir", str(tmp_path / "run"), "--wandb", "offline"]) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wandb:")]
        assert len(told) == 1 and told[0].endswith("(training goes on)")
        helpers.assert_same_run(tmp_path / "run", trained)

    def test_nor_pictures_that_fail(self, tiny, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(tracking, "sheet", lambda *_: 1 / 0)
        sets = ["--set", "schedule.iterations=4", "evaluation.interval=2"]
        assert main(["train", tiny, "--work-dir", str(tmp_path / "run"), "--wandb", "offline", *sets]) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wandb:")]
        assert told == ["wandb: ZeroDivisionError: division by zero (training goes on)"]

    def test_other_backends_get_the_resolved_recipe(self, tiny, tmp_path):
        sets = ["schedule.iterations=2", "evaluation.gallery=0", 'runtime.vis_backends=[{"type": "LocalVisBackend"}]']
        assert main(["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", *sets]) == 0
        (told,) = (tmp_path / "run" / "logs").rglob("vis_data/config.py")
        config = catalogue.plain(catalogue.load(tmp_path / "run" / "config.py"))
        assert catalogue.plain(catalogue.load(told)) == config

    def test_off_leaves_no_trace(self, trained):
        assert not (trained / "wandb").exists() and not (trained / "wandb.json").exists()


class TestEvaluation:
    """``dupl eval`` of a tracked run goes on with its wandb run, in a stretch of its own."""

    @pytest.fixture
    def copy(self, tracked, tmp_path, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "offline")
        shutil.copytree(tracked, tmp_path / "run", ignore=shutil.ignore_patterns("offline-run-*"))
        return tmp_path / "run"

    def test_figures_carry_the_protocol(self, copy):
        assert main(["eval", str(copy), "--protocol", "final", "--no-crf"]) == 0
        assert main(["eval", str(copy), "--protocol", "cam", "--wandb", "offline"]) == 0
        logs = sorted(copy.glob("wandb/offline-run-*/*.wandb"), key=lambda log: log.stat().st_mtime)
        assert len(logs) == 2
        for log, protocol in zip(logs, ("final", "cam"), strict=True):
            records = read(log)
            run = next(r["run"] for r in records if r["type"] == "run")
            known = json.loads((copy / "wandb.json").read_text())
            assert (run["run_id"], run["run_group"], run["job_type"], run["resume"]) == (
                *(known["id"], "table4", "full"),
                True,
            )
            assert run["tags"] == ["DS", "L_dis", "DTA", "ANF", "L_reg"]
            (folder,) = (copy / "evaluation").glob(f"val_{protocol}*_iter_000024")
            facts = json.loads((folder / "metrics.json").read_text())
            lead = f"val/{facts['name'].replace('.', '_')}"
            (item,) = (r["history"]["item"] for r in records if r["type"] == "history")
            assert item["iter"] == facts["iter"]
            for name, value in facts["metrics"].items():
                assert value is None or item[f"{lead}/{name}"] == pytest.approx(value, rel=1e-12)
            table = json.loads(next(copy.glob(f"wandb/*/files/{item[f'{lead}/classes.path']}")).read_text())
            assert len(table["data"]) == len((folder / "per_class.csv").read_text().splitlines()) - 1
            assert item[f"{lead}/pictures.count"] == 1
            (found,) = read(log, "--summary")
            last = [row for row in Run(copy).scalars() if "loss" in row][-1]
            assert found["summary"]["loss"] == pytest.approx(last["loss"]), "a stretch is whole by itself"
            assert found["summary"][f"{lead}/{'seg' if protocol == 'final' else 'cam'}/best/mIoU"] > 0
        assert f"{lead}/cam/1/best_threshold" in item and f"{lead}/thresholds.path" in item

    def test_a_wandb_that_dies_costs_nothing(self, copy, monkeypatch, capsys):
        monkeypatch.setattr(wandb_process, "START", "import sys; sys.exit(3)")
        assert main(["eval", str(copy)]) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wandb:")]
        assert len(told) == 1 and told[0].endswith("(the evaluation is written)")
        assert list((copy / "evaluation").glob("val_train*_iter_000024/metrics.json"))

    def test_off_and_runs_that_were_not_tracked(self, copy, capsys):
        assert main(["eval", str(copy), "--wandb", "off"]) == 0
        (copy / "wandb.json").unlink()
        assert main(["eval", str(copy)]) == 0
        assert not list(copy.glob("wandb/offline-run-*"))
        assert main(["eval", "demo/toy", "--checkpoint", "x.pth", "--wandb", "offline"]) == 2
        assert "wandb offline is for runs" in capsys.readouterr().err


class TestBest:
    @pytest.mark.parametrize(
        ("name", "choice"),
        [
            ("loss", min),
            ("L_seg", min),
            ("cam/1/OA", min),
            ("quality/disagreement", min),
            ("seg/best/mIoU", max),
            ("seg/1/mIoU-7", max),
            ("quality/1/precision", max),
            ("cls/2/mAP", max),
            ("lr", None),
            ("tau_h", None),
            ("pixels/filtered", None),
            ("noise/1/mean_clean", None),
        ],
    )
    def test_which_way_is_better(self, name, choice):
        assert better(name) is choice


def test_what_is_not_finite_is_left_out():
    rows = tracking.RowBackend()
    rows.add_scalars({"a": math.nan, "b": math.inf, "c": 1})
    rows.add_scalars({"d": np.float32(2)})
    assert rows.take() == {"c": 1.0, "d": 2.0}
    assert rows.take() == {}


def test_pictures_of_one_student_without_labels():
    photo = np.zeros((4, 6, 3), np.uint8)
    labels = np.zeros((4, 6), np.uint8)
    panel = ImageRow("x", photo, None, [labels.astype(np.float32)], None, [], [], [labels], ("cat",))
    found = tracked_pictures.pictures([panel], ["background", "cat"])
    assert set(found) == {"pictures/cam/1", "pictures/prediction/1"}
    assert found["pictures/cam/1"][0].masks == {}
    assert set(found["pictures/prediction/1"][0].masks) == {"prediction"}
