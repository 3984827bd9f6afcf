"""Tracking without torch: which mode, which names, what is uploaded, and a wandb that fails in every way."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dupl.cli import main
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.track import after_training, backends, choice, run_files, sync, wandb_process, wandb_writer
from dupl.track.position import Position, read_position
from dupl.track.records import Histogram, Picture, TrackedTable
from dupl.track.wandb_process import Tracker

KEY = "k" * 40


@pytest.fixture
def nobody(tmp_path):
    """An environment without an account."""
    return {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}


def login(environ, host="api.wandb.ai"):
    with open(environ["NETRC"], "w") as file:
        file.write(f"machine {host}\n  login user\n  password {KEY}\n")
    os.chmod(environ["NETRC"], stat.S_IRUSR | stat.S_IWUSR)
    return environ


class TestMode:
    @pytest.mark.parametrize(
        ("flag", "variable", "account", "mode"),
        [
            (None, None, False, "off"),
            (None, None, True, "off"),
            (None, "disabled", True, "off"),
            (None, "offline", True, "offline"),
            (None, "dryrun", True, "offline"),
            (None, "online", True, "online"),
            (None, "online", False, "offline"),
            ("off", "online", True, "off"),
            ("offline", "online", True, "offline"),
            ("online", "disabled", True, "online"),
        ],
    )
    def test_flag_then_variable_then_off(self, nobody, flag, variable, account, mode):
        environ = {**nobody, **({"WANDB_MODE": variable} if variable else {})}
        environ |= {"WANDB_API_KEY": KEY} if account else {}
        assert choice.choose(flag, environ).mode == mode

    def test_a_mode_nobody_chose_says_how_to_switch_it_on(self, nobody):
        assert "--wandb online" in choice.choose(None, nobody).hint
        assert choice.choose("off", nobody).hint == ""
        assert choice.choose(None, {**nobody, "WANDB_MODE": "disabled"}).hint == ""

    def test_what_cannot_be_is_said(self, nobody):
        with pytest.raises(UserError, match="no account is set up"):
            choice.choose("online", nobody)
        with pytest.raises(UserError, match="WANDB_MODE is perhaps"):
            choice.choose(None, {**nobody, "WANDB_MODE": "perhaps"})
        assert choice.choose("off", nobody).mode == "off"

    def test_an_entry_of_another_server_is_no_account(self, nobody):
        assert choice.account(nobody) is None
        login(nobody, "my.server:8080")
        assert choice.account(nobody) is None
        assert choice.account({**nobody, "WANDB_BASE_URL": "http://my.server:8080/"}) == nobody["NETRC"]
        login(nobody)
        assert choice.account(nobody) == nobody["NETRC"]
        with open(nobody["NETRC"], "w") as file:
            file.write("machine")
        assert choice.account(nobody) is None


def test_a_backend_whose_package_is_missing(tmp_path, monkeypatch, capsys):
    found = backends.importlib.util.find_spec
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None if name == "aim" else found(name))
    backends.check_backends([])
    backends.check_backends([{"type": "LocalVisBackend"}])
    sets = ["--set", 'runtime.vis_backends=[{"type": "AimVisBackend"}]']
    assert main(["train", "demo/toy", "--work-dir", str(tmp_path / "run"), *sets]) == 2
    assert 'pip install ".[aim]"' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


class TestNames:
    def test_of_a_plan(self):
        environ = {"DUPL_PLAN": "table4", "DUPL_ROW": "ds+dta", "WANDB_PROJECT": "mine"}
        found = choice.names("voc-dupl-0123", 2, ["DS", "DTA"], environ)
        assert found == choice.RunNames("mine", "table4", "ds+dta", "ds+dta, seed 2 (voc-dupl-0123)", ("DS", "DTA"))

    def test_of_a_run_by_itself(self):
        assert choice.names("voc-dupl-0123", 0, [], {}) == choice.RunNames(
            "dupl", None, "train", "voc-dupl-0123, seed 0", ()
        )
        environ = {"WANDB_RUN_GROUP": "g", "WANDB_JOB_TYPE": "j", "WANDB_NAME": "n"}
        assert choice.names("f", 0, [], environ) == choice.RunNames("dupl", "g", "j", "n", ())

    def test_id_and_names_stay(self, tmp_path):
        called = choice.names("folder", 0, ["DS"], {"DUPL_PLAN": "table4", "DUPL_ROW": "full"})
        first = choice.identity(tmp_path, "abc", called)
        assert first["id"].startswith("abc-")
        assert (first["group"], first["job_type"], first["name"], first["tags"]) == (
            *("table4", "full", "full, seed 0 (folder)"),
            ["DS"],
        )
        by_hand = choice.names("folder", 0, [], {"WANDB_PROJECT": "other"})
        assert choice.identity(tmp_path, "abc", by_hand) == first, "it stays in its plan, whoever goes on with it"
        (tmp_path / layout.TRACKER).write_text("{}")
        assert choice.identity(tmp_path, "abc", by_hand)["project"] == "other"

    def test_of_a_record_nothing_else_is_taken(self, tmp_path):
        """It may lie in a folder that somebody else made, and what it says becomes arguments of wandb.init."""
        record = {"id": "x", "project": "p", "code": "/home", "dir": "/", "entity": "other"}
        (tmp_path / layout.TRACKER).write_text(json.dumps(record))
        found = choice.identity(tmp_path, "abc", choice.names("f", 0, [], {}))
        assert found == {"id": "x", "project": "p", "group": None, "job_type": "train", "name": "f, seed 0", "tags": []}


@pytest.mark.parametrize("asked", [False, True])
def test_code_and_diff_are_sent_only_where_asked_for(tmp_path, asked):
    recipe = f"runtime = dict(track=dict(code={asked}))" if asked else "runtime = dict()"
    run = Run.create(tmp_path / "run", recipe, "abc", [], 0)
    found = run_files.settings(run, choice.names("run", 0, [], {}), "offline")
    assert (found["code"] is not None) == asked
    assert (str(run.path / layout.CHANGES) in found["files"]) == asked
    assert str(run.path / layout.CONFIG) in found["files"]


def stretch(run, time="20260101_000000", name="abc", online=False, done=False):
    """What wandb leaves of a stretch of a run."""
    folder = run / "wandb" / f"{'' if online else 'offline-'}run-{time}-{name}"
    folder.mkdir(parents=True)
    log = folder / f"run-{name}.wandb"
    log.write_bytes(b"")
    if done:
        log.with_name(f"{log.name}.synced").touch()
    return folder


class TestUploads:
    def test_in_the_order_of_recording(self, tmp_path):
        later = stretch(tmp_path / "a", "20260102_000000")
        first = stretch(tmp_path / "a", "20260101_000000", online=True)
        sent = stretch(tmp_path / "b", "20260103_000000", name="x-y_z", done=True)
        (tmp_path / "a" / "wandb" / "latest-run").symlink_to(later)
        found = sync.find([tmp_path, tmp_path / "a"])
        assert [(u.path, u.id, u.online, u.done) for u in found] == [
            (first, "abc", True, False),
            (later, "abc", False, False),
            (sent, "x-y_z", False, True),
        ]
        (first / sync.COMPLETE).touch()
        assert sync.find([tmp_path / "a"])[0].done

    def test_a_run_at_work_is_left_alone(self, tmp_path, capsys):
        run = Run.create(tmp_path / "run", "", "abc", [], 0)
        run.update(state="running")
        stretch(run.path)
        (found,) = sync.find([tmp_path])
        assert found.busy
        assert main(["sync", str(tmp_path)]) == 0
        out, err = capsys.readouterr()
        assert (out, "still training" in err) == ("nothing to upload\n", True)
        run.update(pid=None)  # nobody can tell
        assert sync.find([tmp_path])[0].busy
        log = next(run.path.rglob("*.wandb"))
        os.utime(log, (time.time() - 2 * sync.LATELY,) * 2)
        assert not sync.find([tmp_path])[0].busy
        run.update(state="finished")
        assert not sync.find([tmp_path])[0].busy

    def fake(self, tmp_path, monkeypatch, script):
        """A `wandb` of ours for the processes that are started."""
        package = tmp_path / "fake" / "wandb"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text("import pathlib, sys\npaths = sys.argv[3:]\n" + script)
        monkeypatch.setenv("PYTHONPATH", str(package.parent))
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setattr(choice, "unreachable", lambda: None)

    MARK = "for p in paths: log = next(pathlib.Path(p).glob('*.wandb')); log.with_name(log.name + '.synced').touch()\n"

    def test_stretches_of_a_run_go_together(self, tmp_path, monkeypatch, capsys):
        asked = tmp_path / "asked"
        tell = f"open({str(asked)!r}, 'a').write(' '.join(pathlib.Path(p).name[12:16] for p in paths) + chr(10))\n"
        self.fake(tmp_path, monkeypatch, tell + self.MARK)
        for day in ("20260102", "20260101"):
            stretch(tmp_path / "runs" / "a", f"{day}_000000")
        stretch(tmp_path / "runs" / "b", "20260103_000000", name="other")
        stretch(tmp_path / "runs" / "c", "20260104_000000", name="sent", done=True)
        assert main(["sync", "--dry-run", str(tmp_path / "runs")]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3
        assert main(["sync", str(tmp_path / "runs")]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["abc", "other"]
        assert asked.read_text().split("\n")[:2] == ["2026 2026", "2026"]
        assert main(["sync", str(tmp_path / "runs")]) == 0
        assert capsys.readouterr().out == "nothing to upload\n"

    def test_one_that_fails_does_not_stop_the_others(self, tmp_path, monkeypatch, capsys):
        script = f"if 'abc' in paths[0]: print('wandb: ERROR no space'); sys.exit(0)\n{self.MARK}"
        self.fake(tmp_path, monkeypatch, script)
        stretch(tmp_path / "runs" / "a", "20260101_000000", name="abc")
        stretch(tmp_path / "runs" / "b", "20260102_000000", name="other")
        assert main(["sync", str(tmp_path / "runs")]) == 1
        out, err = capsys.readouterr()
        assert out.startswith("other ")
        assert "no space" in err
        assert err.splitlines()[-1].startswith("dupl: 1 of 2 runs were not uploaded")

    def test_before_it_starts(self, tmp_path, monkeypatch, capsys, nobody):
        stretch(tmp_path / "runs" / "a")
        for name, value in nobody.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("WANDB_API_KEY", raising=False)
        assert main(["sync", str(tmp_path / "runs")]) == 2
        assert "no wandb account is set up" in capsys.readouterr().err
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
        assert main(["sync", str(tmp_path / "runs")]) == 1
        assert "cannot be reached" in capsys.readouterr().err
        assert main(["sync", str(tmp_path / "nowhere")]) == 2
        assert "is no folder" in capsys.readouterr().err


class FakeRun:
    """What the writer asks of a run of wandb."""

    def __init__(self, offline, folder):
        self.offline, self.dir = offline, str(folder / "run" / "files")
        self.rows, self.steps, self.summary, self.metrics, self.code = [], [], {}, [], None

    def log(self, row, step):
        if "bad" in row:
            raise ValueError("bad row")
        self.rows.append(row)
        self.steps.append(step)

    def define_metric(self, *arguments, **options):
        self.metrics.append((arguments, options))

    def finish(self, exit_code):
        self.code = exit_code


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """A wandb that answers online only where `module.reachable`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "files").mkdir(parents=True)
    module = SimpleNamespace(reachable=True, runs=[])

    def init(**arguments):
        if arguments["mode"] == "online" and not module.reachable:
            stretch(tmp_path, "20260102_000000", online=True)
            raise ConnectionError("no route")
        module.runs.append(FakeRun(arguments["mode"] == "offline", tmp_path))
        return module.runs[-1]

    module.init = init
    module.Settings = lambda **options: options
    module.Table = lambda columns, data: ("table", columns, data)
    module.Histogram = lambda np_histogram: ("histogram", *(part.tolist() for part in np_histogram))
    module.Image = lambda image, caption, masks: ("image", image.shape, caption, masks)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def served(*records, mode="offline", settings=None, end=True, cut=0):
    """What the writer says of records that arrive."""
    first = ("start", settings or {"mode": mode, "dir": "place"})
    records = [first, *records, *([("end", 0)] if end else [])]
    data = b"".join(pickle.dumps(record) for record in records)
    said = []
    wandb_writer.serve(io.BytesIO(data[: len(data) - cut]), said.append)
    return said


class TestWriter:
    def test_what_is_sent_arrives_dressed(self, wandb):
        mask = np.zeros((2, 3), np.uint8)
        picture = Picture(np.zeros((2, 3, 3), np.uint8), "cat", {"truth": mask}, {0: "background"})
        row = {"iter": 3, "t": TrackedTable(["a"], [[1], [None]]), "h": Histogram([1], [0.0, 1.0]), "p": [picture]}
        assert served(("log", row), ("summary", {"best/x": 1.0})) == []
        (run,) = wandb.runs
        (found,) = run.rows
        assert (found["iter"], found["t"], found["h"]) == (
            3,
            ("table", ["a"], [[1], [None]]),
            ("histogram", [1], [0.0, 1.0]),
        )
        assert found["p"][0][1:3] == ((2, 3, 3), "cat")
        assert found["p"][0][3]["truth"]["class_labels"] == {0: "background"}
        assert (run.summary, run.code) == ({"best/x": 1.0}, 0)
        assert run.metrics[1] == (("*",), {"step_metric": "iter"})

    def test_code_that_cannot_be_kept_costs_no_row(self, wandb, tmp_path):
        settings = {
            "mode": "offline",
            "dir": str(tmp_path),
            "code": str(tmp_path),
            "files": [str(tmp_path / "missing")],
        }
        (line,) = served(("log", {"iter": 1}), settings=settings)  # this wandb keeps no code
        assert line.startswith("AttributeError")
        assert wandb.runs[0].rows == [{"iter": 1}]

    def test_a_bad_record_is_told_and_passed_over(self, wandb):
        said = served(("log", {"bad": 1}), ("nonsense", 1), ("log", {"iter": 1}))
        assert [line.split(":")[0] for line in said] == ["ValueError", "ValueError"]
        assert wandb.runs[0].rows == [{"iter": 1}]

    def test_steps_go_on_over_stretches(self, wandb, tmp_path):
        rows = [("iteration", {"iter": 2}), ("iteration", {"iter": 4})]
        served(*rows, end=False)
        assert read_position(Path("place")) == Position(1, 4)
        served(("iteration", {"iter": 6}), ("iteration", {"iter": 8, "bad": 1}), ("log", {"iter": 4, "val/x": 1}))
        assert [run.steps for run in wandb.runs] == [[0, 1], [2, 4]]
        assert read_position(Path("place")) == Position(4, 6)  # an evaluation is no iteration of training

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": "a", "iteration": 1}', '{"step": 1, "iteration": -1}'])
    def test_a_position_that_cannot_be(self, tmp_path, text):
        (tmp_path / "wandb").mkdir()
        (tmp_path / "wandb" / "position.json").write_text(text)
        assert read_position(tmp_path, 30) == Position()
        stretch(tmp_path)  # recorded by an earlier version, which kept no position
        assert read_position(tmp_path, 30) == Position(30)

    @pytest.mark.parametrize(("end", "cut"), [(False, 0), (True, 3)])
    def test_a_killed_training_ends_as_failed(self, wandb, end, cut):
        assert served(("log", {"iter": 1}), end=end, cut=cut) == []
        assert (wandb.runs[0].rows, wandb.runs[0].code) == ([{"iter": 1}], 1)

    def test_offline_where_online_fails(self, wandb, tmp_path):
        wandb.reachable = False
        cut_off = stretch(tmp_path, online=True)  # of an earlier attempt, which is still to be uploaded
        settings = {"mode": "online", "dir": str(tmp_path), "id": "abc"}
        (line,) = served(("log", {"iter": 1}), settings=settings)
        assert line.startswith("no connection, offline instead")
        assert wandb.runs[0].offline and wandb.runs[0].rows == [{"iter": 1}]
        assert [(u.path, u.done) for u in sync.find([tmp_path])][0] == (cut_off, False)
        assert sync.find([tmp_path])[1].done, "the attempt that failed has nothing to upload"
        assert not (tmp_path / "run" / sync.COMPLETE).exists()
        wandb.reachable = True
        served(mode="online")
        assert (tmp_path / "run" / sync.COMPLETE).exists()


def begun(tmp_path, monkeypatch, work, patience=20.0):
    """A tracker whose process runs `work` instead of wandb."""
    monkeypatch.setattr(wandb_process, "START", work)
    monkeypatch.setattr(wandb_process, "PATIENCE", {"offline": patience})
    told = []
    return Tracker(tmp_path, {"mode": "offline"}, told.append), told


PATHS = "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
READ = "import pickle, sys\nr = sys.stdin.buffer\nwhile pickle.load(r)[0] != 'end': pass\n"


class TestFailures:
    """The tracker returns at once, raises nothing and warns once, whatever its process does."""

    def test_none(self, tmp_path, monkeypatch):
        one, told = begun(tmp_path, monkeypatch, PATHS + READ)
        for i in range(3):
            one.log({"iter": i})
        one.close()
        one.close()
        assert told == []

    def test_it_dies(self, tmp_path, monkeypatch):
        one, told = begun(tmp_path, monkeypatch, "import time; time.sleep(60)")
        one.process.send_signal(signal.SIGKILL)
        for i in range(5):
            one.log({"iter": i, "picture": np.zeros((300, 300, 3))})
            time.sleep(0.02)
        one.close()
        (line,) = told
        assert line.startswith("wandb: its process ") and line.endswith("(training goes on)")

    def test_it_hangs(self, tmp_path, monkeypatch):
        monkeypatch.setattr(wandb_process, "ROOM", 5)
        one, told = begun(tmp_path, monkeypatch, "import time; time.sleep(600)", patience=0.3)
        process, started = one.process, time.monotonic()
        for i in range(20):
            one.log({"iter": i, "picture": np.zeros((300, 300, 3))})  # more than a pipe takes
        assert time.monotonic() - started < 5
        one.close()
        assert time.monotonic() - started < 15
        (line,) = told
        assert "does not keep up" in line
        assert process.wait(10) == -signal.SIGKILL

    def test_it_complains(self, tmp_path, monkeypatch):
        says = "print('no space left on device', flush=True); print('again', flush=True)\n"
        one, told = begun(tmp_path, monkeypatch, PATHS + says + READ)
        one.close()
        end = time.monotonic() + 10
        while not told and time.monotonic() < end:
            time.sleep(0.01)
        assert told == ["wandb: no space left on device (training goes on)"]

    def test_it_cannot_start(self, tmp_path):
        (tmp_path / "wandb").write_text("a file in the way")
        told = []
        one = Tracker(tmp_path, {"mode": "offline"}, told.append)
        one.log({"iter": 1})
        one.close()
        (line,) = told
        assert "FileExistsError" in line


def test_a_plans_table(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(
        after_training,
        "Tracker",
        lambda folder, settings, warn, consolation: (
            sent.append(settings) or SimpleNamespace(log=sent.append, close=lambda: sent.append("end"))
        ),
    )
    frame = pd.DataFrame({"row": ["full"], "M": [1.5], "CAM": [np.nan]}, index=[7])
    for _ in range(2):
        after_training.log_table(frame, "my plan", tmp_path, "offline", sent.append, {"WANDB_PROJECT": "p"})
    after_training.log_table(frame, "my plan", tmp_path, "off", sent.append)
    first, row, end, again = sent[:4]
    assert (first["group"], first["job_type"], first["project"]) == ("my plan", "table", "p")
    assert first["id"].startswith("my-plan-table-") and again["id"] == first["id"]
    assert (row, end) == ({"table": TrackedTable(["row", "M", "CAM"], [["full", 1.5, None]])}, "end")
    assert len(sent) == 6


class TestLater:
    """Evaluations after training."""

    def test_only_where_it_was_tracked_unless_asked_for(self, nobody, tmp_path):
        assert after_training.choose_later(None, tmp_path, {**nobody, "WANDB_MODE": "online"}).mode == "off"
        assert after_training.choose_later("offline", tmp_path, nobody).mode == "offline"
        (tmp_path / layout.TRACKER).write_text("{}")
        assert after_training.choose_later(None, tmp_path, nobody).mode == "off"
        assert after_training.choose_later(None, tmp_path, {**nobody, "WANDB_MODE": "offline"}).mode == "offline"
        assert after_training.choose_later(None, tmp_path, {**nobody, "WANDB_MODE": "disabled"}).mode == "off"

    def test_a_row_is_named_by_split_and_protocol(self, tmp_path):
        run = Run(tmp_path)
        facts = {"split": "val", "name": "cam-1-1.5-t0.4", "protocol": "CAMs", "iter": 30}
        metrics = {"cam/1/mIoU": 50.5, "cam/1/OA": None}
        run.write_json("metrics.json", {**facts, "metrics": metrics, "best_threshold": {"cam/1": {"threshold": 0.3}}})
        run.write_csv("per_class.csv", ["map", "class", "IoU"], [("cam/1", "=cat", 1.5), ("cam/1", "dog", None)])
        row = run_files.evaluation_row(tmp_path)
        assert row == {
            "iter": 30,
            "val/cam-1-1_5-t0_4/iter": 30,
            "val/cam-1-1_5-t0_4/cam/1/mIoU": 50.5,
            "val/cam-1-1_5-t0_4/cam/1/best_threshold": 0.3,
            "val/cam-1-1_5-t0_4/classes": TrackedTable(
                ["map", "class", "IoU"], [["cam/1", "=cat", 1.5], ["cam/1", "dog", None]]
            ),
        }

    def test_a_run_at_work_is_left_alone(self, tmp_path):
        run, told = Run.create(tmp_path / "run", "", "abc", [], 0), []
        run.update(state="running")
        after_training.log_evaluations(run, [], "offline", told.append)
        assert told == ["wandb: the run is still at work: its evaluation is not logged"]
        assert not (run.path / layout.TRACKER).exists()

    def test_nothing_raises(self, tmp_path):
        told = []
        run = Run.create(tmp_path / "run", "model = dict()", "abc", [], 0)
        run.update(state="finished")
        after_training.log_evaluations(run, [tmp_path / "none"], "offline", told.append)
        (line,) = told
        assert "holds no metrics.json" in line and line.endswith("(the evaluation is written)")
        (tmp_path / "file").write_text("")
        after_training.log_table(pd.DataFrame({"a": [1]}), "plan", tmp_path / "file", "offline", told.append, {})
        assert told[1].startswith("wandb: the table was not logged: ")


def test_last_and_best():
    rows = [{"iter": 1, "loss": 3.0, "L_seg": 0.0, "lr": 1.0}, {"iter": 2, "loss": 4.0, "L_seg": 2.0, "x": None}]
    assert run_files.summary(rows) == {
        **{"iter": 2, "loss": 4.0, "L_seg": 2.0, "lr": 1.0},
        **{"best/loss": 3.0, "best/L_seg": 2.0},
    }
