"""A clock that is set back by years, or forward, while a run is at work."""

from __future__ import annotations

import itertools
import json
import os
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from dupl import process
from dupl.cli import main
from dupl.lock import Watch
from dupl.lock import holding as lock
from dupl.runs import status
from dupl.runs.run import Run
from dupl.runs.store import RunStore
from dupl.track import sync

JUMPS = {"back": -40 * 86400.0, "forward": 90 * 86400.0}


@pytest.fixture(params=JUMPS)
def jumping(request, monkeypatch):
    """Every look at the clock finds it set by weeks, back or forward; files get its times too."""
    looks, start, step = itertools.count(), time.time(), JUMPS[request.param]
    monkeypatch.setattr(time, "time", lambda: start + next(looks) * step)

    def now() -> str:
        moment = datetime.fromtimestamp(start, timezone.utc) + timedelta(seconds=next(looks) * step / 100)
        return moment.isoformat(timespec="seconds")

    monkeypatch.setattr(status, "now", now)
    monkeypatch.setattr(lock, "_now", now)
    replace = os.replace

    def dated(source, target):
        replace(source, target)
        stamp = max(0.0, start + next(looks) * step / 100)
        os.utime(target, (stamp, stamp))

    monkeypatch.setattr(os, "replace", dated)
    return request.param


def test_training_is_the_same_and_no_duration_is_negative(tiny, trained, tmp_path, helpers, jumping, capsys):
    folder = tmp_path / "runs" / "run"
    assert main(["train", tiny, "--work-dir", str(folder)]) == 0
    said = capsys.readouterr().err
    helpers.assert_same_run(folder, trained)
    assert all(row["seconds"] >= 0 for row in Run(folder).scalars() if "seconds" in row)
    assert 0 < Run(folder).status.seconds < 600
    etas = re.findall(r"eta (\S+)", said)
    assert len(etas) == 12 and all(re.fullmatch(r"0:0\d:\d\d", eta) for eta in etas)
    for file in folder.glob("evaluation/iter_*/metrics.json"):
        assert 0 <= json.loads(file.read_text())["seconds"] < 600
    assert main(["runs", "--root", str(tmp_path / "runs")]) == 0
    shown = capsys.readouterr().out
    assert "finished" in shown and not re.search(r"(?<![\w-])-\d", shown)
    assert main(["report", str(folder)]) == 0


def test_a_run_at_work_is_seen_as_such_whatever_its_files_are_dated(tmp_path, monkeypatch):
    """Of this very process, which began before or after its status was written, by the clock that was set."""
    command = process.command_of(os.getpid())
    made = Run.create(tmp_path / "a", "a = 1\n", "0123456789ab", command, seed=0)
    made.update(state="running")
    for stamp in (time.time() - 3e8, time.time() + 3e8):
        os.utime(made.path / "status.json", (stamp, stamp))
        store = RunStore(tmp_path)
        (stored,) = store.runs()
        assert stored.state == "running"
        assert "at work" in store.kept(stored)


def test_no_lock_is_lost_by_the_clock(tmp_path, jumping):
    """Locks go by a clock that nobody sets: the holder's beats and the observer's patience are seconds that passed.

    As on another host, whose processes nobody here can see, and without locks of the system.
    """
    host, lost, watch = process.host(), [], Watch(ttl=0.6)
    with lock.hold(tmp_path, ttl=0.6, lost=lambda: lost.append(True)):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            elsewhere = json.loads((tmp_path / lock.FILE).read_text() or "{}") | {"host": f"not-{host}"}
            (tmp_path / "seen").mkdir(exist_ok=True)
            (tmp_path / "seen" / lock.FILE).write_text(json.dumps(elsewhere))
            assert watch(tmp_path / "seen") is not None
            time.sleep(0.05)
    assert not lost


def test_the_lock_beats_and_nobody_is_let_in(tmp_path, jumping):
    watch = Watch(ttl=0.4)
    with lock.hold(tmp_path, ttl=0.4):
        first = json.loads((tmp_path / lock.FILE).read_text())["beat"]
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert watch(tmp_path) is not None
            time.sleep(0.05)
        assert json.loads((tmp_path / lock.FILE).read_text())["beat"] > first


def test_an_upload_is_not_held_up_by_a_log_of_the_future(tmp_path):
    log = tmp_path / "run-x.wandb"
    log.touch()
    made = Run.create(tmp_path / "a", "a = 1\n", "0123456789ab", [], seed=0)
    made.update(state="running", host="elsewhere")
    assert sync._busy(made, log)
    for stamp in (time.time() + 3e7, time.time() - 3e7):
        os.utime(log, (stamp, stamp))
        assert not sync._busy(made, log)
