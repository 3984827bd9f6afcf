"""trackio beside wandb: the same groups, tables, pictures and resume, read back by trackio's own reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dupl.cli import main
from dupl.errors import UserError
from dupl.execute.tracking import tracking_variables
from dupl.runs.run import Run
from dupl.track import after_training, choice
from dupl.track.position import Position, read_position
from dupl.track.records import Files, Histogram, Picture, TrackedTable
from dupl.track.wandb_process import Tracker

READ = """
import json, sys
from trackio import Api
from trackio.sqlite_storage import SQLiteStorage
found = []
for run in Api().runs(sys.argv[1]):
    rows = SQLiteStorage.get_logs(sys.argv[1], run.name, run_id=run.id)
    found.append(dict(name=run.name, config=run.config, rows=rows))
print("READ" + json.dumps(found, default=str))
"""


def test_off_unless_it_is_asked_for(monkeypatch):
    assert choice.choose(None, {}).mode == "off"
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "\.\[trackio\]"'):
        choice.choose("trackio", {})
    with pytest.raises(UserError, match="DUPL_TRACK is wandb: choose trackio, or unset it"):
        choice.choose(None, {"DUPL_TRACK": "wandb"})


@pytest.mark.parametrize("mode", ["off", "offline", "online", "trackio"])
def test_what_a_command_chose_reaches_the_runs_that_it_starts(mode):
    pytest.importorskip("trackio")
    environ = {"DUPL_TRACK": "trackio", "WANDB_MODE": "online", "WANDB_API_KEY": "k" * 40, **tracking_variables(mode)}
    assert choice.choose(None, environ).mode == mode


class TestTrackio:
    @pytest.fixture(autouse=True)
    def place(self, tmp_path, monkeypatch):
        pytest.importorskip("trackio")
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
        for name in ("DUPL_PLAN", "DUPL_ROW", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
            monkeypatch.delenv(name, raising=False)

    def read(self, project="dupl"):
        """What trackio's reader finds, in a process of its own: the library looks up its folder once."""
        command = [sys.executable, "-c", READ, project]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return json.loads(said.split("READ")[1])

    def settings(self, **more):
        named = dict(project="dupl", group="table4", job_type="full", name="full, seed 0", tags=["DS"], id="abc-1")
        return {**named, "mode": "trackio", "config": {"schedule": {"lr": 0.5}}, "commit": "c0ffee", **more}

    def test_rows_tables_pictures_and_files(self, tmp_path):
        told = []
        tracker = Tracker(tmp_path / "run", self.settings(), told.append)
        picture = Picture(np.full((4, 6, 3), 200, np.uint8), "two cats", {"truth": np.zeros((4, 6), np.uint8)})
        tracker.log_iteration({"iter": 2, "loss": 1.5, "pictures/sheet": [picture], "pair": [picture, picture]})
        tracker.log_iteration(
            {"iter": 4, "loss": 1.25, "t": TrackedTable(["class", "IoU"], [["cat", 50.5], ["dog", None]])}
        )
        tracker.log({"iter": 4, "h": Histogram([1, 2], [0.0, 0.5, 1.0])})
        tracker.summary({"best/loss": 1.25})
        weights = tmp_path / "best.pth"
        weights.write_bytes(b"weights")
        tracker.keep(Files("weights-abc", "model", [str(weights)], ["best"]))
        tracker.close()
        assert told == []
        (run,) = self.read()
        assert run["name"] == "full, seed 0 [abc-1]"
        config = run["config"]
        assert config["schedule"] == {"lr": 0.5} and config["_Group"] == "table4"
        assert config["dupl"] == {"job_type": "full", "tags": ["DS"], "id": "abc-1", "commit": "c0ffee"}
        losses = [(row["step"], row["iter"], row["loss"]) for row in run["rows"] if "loss" in row]
        assert losses == [(0, 2, 1.5), (1, 4, 1.25)]
        rows = {name: value for row in run["rows"] for name, value in row.items()}
        assert rows["t"]["_value"] == [{"class": "cat", "IoU": 50.5}, {"class": "dog", "IoU": None}]
        assert (rows["h"]["values"], rows["h"]["bins"]) == ([1, 2], [0.0, 0.5, 1.0])
        assert rows["best/loss"] == 1.25
        assert rows["pictures/sheet"]["caption"] == "two cats" and len(rows["pair"]["_value"]) == 2
        assert (Path(os.environ["TRACKIO_DIR"]) / "media" / rows["pictures/sheet"]["file_path"]).is_file()

    def test_a_resumed_run_goes_on(self, tmp_path):
        folder = tmp_path / "run"
        for first, last in ((2, 6), (4, 10)):  # the second begins at an earlier checkpoint
            tracker = Tracker(folder, self.settings(), print)
            sent = read_position(folder, tracker="trackio").iteration
            for iteration in range(first, last, 2):
                if iteration > sent:
                    tracker.log_iteration({"iter": iteration, "loss": 1.0})
            tracker.close()
        assert read_position(folder, tracker="trackio") == Position(3, 8)
        (run,) = self.read()
        assert [(row["step"], row["iter"]) for row in run["rows"]] == [(0, 2), (1, 4), (2, 6), (3, 8)]

    def test_runs_of_one_name_stay_apart(self, tmp_path):
        for number in (1, 2):
            tracker = Tracker(tmp_path / str(number), self.settings(id=f"abc-{number}"), print)
            tracker.log_iteration({"iter": 1, "loss": float(number)})
            tracker.close()
        assert sorted(run["name"] for run in self.read()) == ["full, seed 0 [abc-1]", "full, seed 0 [abc-2]"]

    def test_a_failure_is_one_line(self, tmp_path):
        told = []
        settings = self.settings()
        del settings["project"]
        tracker = Tracker(tmp_path / "run", settings, told.append)
        tracker.log_iteration({"iter": 1, "loss": 1.0})
        tracker.close()
        assert len(told) == 1 and told[0].startswith("trackio: ") and told[0].endswith("(training goes on)")

    def test_a_training_and_its_evaluation(self, tmp_path, tiny, capsys, monkeypatch):
        monkeypatch.setenv("DUPL_PLAN", "table4")
        monkeypatch.setenv("DUPL_ROW", "full")
        folder = tmp_path / "run"
        assert main(["train", tiny, "--work-dir", str(folder), "--track", "trackio"]) == 0
        assert "trackio: dupl, full, seed 0" in capsys.readouterr().err
        (run,) = self.read()
        logged = {row["iter"]: row["loss"] for row in run["rows"] if "loss" in row and "iter" in row}
        assert logged == {row["iter"]: row["loss"] for row in Run(folder).scalars() if row.get("loss") is not None}
        names = {name for row in run["rows"] for name in row}
        assert {"classes/table", "pictures/sheet", "best/seg/best/mIoU", "tau_h"} <= names
        assert run["config"]["_Group"] == "table4" and run["config"]["dupl"]["job_type"] == "full"
        assert after_training.choose_later(None, folder, {}).mode == "trackio"
        assert main(["eval", str(folder), "--protocol", "cam"]) == 0
        (run,) = self.read()
        assert any(name.startswith("val/cam") for row in run["rows"] for name in row)
