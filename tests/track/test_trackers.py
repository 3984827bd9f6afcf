"""MLflow and Aim after a kill and a resume: one run, named, closed, every scalar once; read by their own readers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dupl import process
from dupl.cli import main
from dupl.engine.training.backends import build_backends
from dupl.runs.run import Run

SETS = ["schedule.iterations=12", "evaluation.interval=4", "evaluation.gallery=0", "runtime.checkpoint_interval=4"]
KILLED = """
import os, signal, sys, time
from dupl import process
from dupl.cli import main
from dupl.method.dupl import DuPL
forward, file = DuPL.loss, os.environ.get("WAIT")
def loss(self, **batch):
    if batch["clock"].t == 7:
        while file and '"iteration": 6' not in (open(file).read() if os.path.exists(file) else ""):
            time.sleep(0.1)  # until the process that writes to wandb has got so far
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, **batch)
DuPL.loss = loss
sys.exit(main(sys.argv[1:]))
"""


def train_in_two_stretches(tiny: str, folder: Path, backend: dict, monkeypatch) -> Run:
    """Train, killed after iteration 7 with a checkpoint of 4, then resumed to the end."""
    monkeypatch.setenv("DUPL_ROW", "full")
    sets = [*SETS, f"runtime.vis_backends=[{json.dumps(backend)}]"]
    command = ["train", tiny, "--work-dir", str(folder), "--set", *sets]
    done = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert main([*command, "--resume"]) == 0
    return Run(folder)


def logged(run: Run) -> dict[tuple[str, int], float]:
    """Return the scalars of a run's files, as trackers get them."""
    rows = run.scalars()
    return {(k, row["iter"]): v for row in rows for k, v in row.items() if k != "iter" and v is not None}


TIMES = {"seconds", "memory_GiB"}  # which differ where an iteration was repeated


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr("dupl.engine.pictures.draw", lambda *_: [])


@pytest.mark.parametrize("place", ["environment", "folder"])
def test_mlflow(tiny, tmp_path, monkeypatch, no_pictures, place, capsys):
    mlflow = pytest.importorskip("mlflow", reason='MLflow is not installed: pip install ".[mlflow]"')
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if place == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    else:
        uri = f"sqlite:///{tmp_path / 'run' / 'logs' / 'mlflow.db'}"
    monkeypatch.chdir(tmp_path)
    backend = {"type": "MLflowVisBackend", "exp_name": "mine", "tags": {"who": "me"}}
    run = train_in_two_stretches(tiny, tmp_path / "run", backend, monkeypatch)
    assert "training goes on" not in capsys.readouterr().err

    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("full, seed 0 (run)", "FINISHED")
    assert found.info.end_time is not None
    assert json.loads((run.path / "trackers.json").read_text()) == {"mlflow": found.info.run_id}
    assert found.data.tags["who"] == "me" and found.data.tags["dupl.fingerprint"] == run.status.fingerprint
    assert found.data.params["schedule.iterations"] == "12" and found.data.params["runtime.seed"] == "0"
    wanted = logged(run)
    for name in {name for name, _ in wanted}:
        history = client.get_metric_history(found.info.run_id, name)
        steps = [metric.step for metric in history]
        assert steps == sorted(set(steps)), name
        assert steps == sorted(step for key, step in wanted if key == name)
        if name not in TIMES:
            assert [metric.value for metric in history] == [wanted[name, step] for step in steps]
    if place == "folder":
        assert sorted(os.listdir(tmp_path)) == ["run"]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="there is no Aim for Python 3.13")
def test_aim(tiny, tmp_path, monkeypatch, no_pictures, capsys):
    aim = pytest.importorskip("aim", reason='Aim is not installed: pip install ".[aim]"')
    monkeypatch.setenv("AIM_REPO", str(tmp_path / "repository"))
    monkeypatch.chdir(tmp_path)
    run = train_in_two_stretches(tiny, tmp_path / "run", {"type": "AimVisBackend", "experiment": "mine"}, monkeypatch)
    assert "training goes on" not in capsys.readouterr().err

    repository = aim.Repo.from_path(str(tmp_path / "repository"))
    (found,) = repository.iter_runs()
    assert (found.name, found.experiment, found.active) == ("full, seed 0 (run)", "mine", False)
    assert found.end_time is not None and found["dupl", "state"] == "finished"
    assert json.loads((run.path / "trackers.json").read_text()) == {"aim": found.hash}
    assert found["hparams", "schedule", "iterations"] == 12
    wanted = logged(run)
    names = set()
    for metric in found.metrics():
        names.add(metric.name)
        table = metric.dataframe().sort_values("step")
        steps, values = table["step"], table["value"]
        assert list(steps) == sorted(step for key, step in wanted if key == metric.name)
        if metric.name not in TIMES:
            assert list(values) == pytest.approx([wanted[metric.name, step] for step in steps], rel=1e-6)
    assert names == {name for name, _ in wanted}


def test_wandb(tiny, tmp_path, monkeypatch, no_pictures):
    """Offline, killed and resumed: one run, whose steps go on and whose iterations are there once."""
    monkeypatch.setenv("DUPL_ROW", "full")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WAIT", str(tmp_path / "run" / "wandb" / "position.json"))
    command = ["train", tiny, "--work-dir", str(tmp_path / "run"), "--wandb", "offline", "--set", *SETS]
    done = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    end = time.monotonic() + 60
    while list(process.marked("WANDB_DATA_DIR", str((tmp_path / "run" / "wandb" / "data").resolve()))):
        assert time.monotonic() < end, "the process that writes to wandb did not end by itself"
        time.sleep(0.2)
    assert main([*command, "--resume"]) == 0
    records = []
    for log in sorted((tmp_path / "run").glob("wandb/offline-run-*/*.wandb")):
        words = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
        read = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        records.append([json.loads(line) for line in read.stdout.splitlines()])
    assert len(records) == 2
    runs = [next(r["run"] for r in part if r["type"] == "run") for part in records]
    assert len({run["run_id"] for run in runs}) == 1
    assert [run["display_name"] for run in runs] == ["full, seed 0 (run)"] * 2
    rows = [r["history"]["item"] for part in records for r in part if r["type"] == "history"]
    assert [row["_step"] for row in rows] == sorted({row["_step"] for row in rows})
    wanted = logged(Run(tmp_path / "run"))
    assert [row["iter"] for row in rows] == sorted({step for _, step in wanted})
    for row in rows:
        for name in set(row) & {name for name, _ in wanted} - TIMES:
            assert row[name] == pytest.approx(wanted[name, row["iter"]], rel=1e-12)
    assert [r["exit"]["exit_code"] for r in records[-1] if r["type"] == "exit"] == [0]


class TestFailures:
    """A tracker that fails is told once, and training goes on."""

    def test_a_server_that_does_not_answer(self, tmp_path, monkeypatch):
        pytest.importorskip("mlflow", reason='MLflow is not installed: pip install ".[mlflow]"')
        run = Run.create(tmp_path / "run", "a = 1\n", "abc", ["dupl"], 0)
        (tmp_path / "file").touch()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'file' / 'no.db'}")
        told: list[str] = []
        (backend,) = build_backends([dict(type="MLflowVisBackend")], run, told.append)
        backend.add_config({"a": 1})
        backend.add_scalars({"loss": 1.0}, step=1)
        backend.finish("finished")
        assert len(told) == 1 and told[0].startswith("mlflow: ") and told[0].endswith("(training goes on)")

    def test_an_id_of_another_run_is_not_resumed(self, tmp_path, monkeypatch):
        mlflow = pytest.importorskip("mlflow", reason='MLflow is not installed: pip install ".[mlflow]"')
        uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        client = mlflow.MlflowClient(uri)
        theirs = client.create_run(client.create_experiment("x", (tmp_path / "x").as_uri()), run_name="theirs").info
        run = Run.create(tmp_path / "run", "a = 1\n", "abc", ["dupl"], 0)
        run.write_json("trackers.json", {"mlflow": theirs.run_id, "aim": "../x", "other": 3})
        (backend,) = build_backends([dict(type="MLflowVisBackend", exp_name="x")], run, lambda _: None)
        backend.add_config({"a": 1})
        backend.add_scalars({"loss": 1.0, "nan": float("nan")}, step=1)
        backend.finish("interrupted")
        assert client.get_run(theirs.run_id).data.metrics == {}
        mine = client.get_run(json.loads((run.path / "trackers.json").read_text())["mlflow"])
        assert (mine.info.run_name, mine.info.status, mine.data.metrics) == ("run, seed 0", "KILLED", {"loss": 1.0})
