"""One process at a time on a run's folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dupl.errors import UserError
from dupl.runs import lock
from dupl.runs.lock import BUSY, FILE, Watch, hold

HOLDER = """
import sys, time
from dupl.runs.lock import hold
with hold(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()


def leave(folder: Path, **changes) -> None:
    """The lock file of a process that was killed on another host."""
    note = {"host": "elsewhere", "pid": 7, "since": "2026-01-01T00:00:00+00:00", "beat": 3, **changes}
    (folder / FILE).write_text(json.dumps(note))


def test_a_second_process_is_refused_in_one_line(holder, tmp_path):
    with pytest.raises(UserError, match=rf"process {holder.pid} on {socket.gethostname()}, since .* is at") as told:
        hold(tmp_path).__enter__()
    assert "\n" not in str(told.value)
    assert holder.poll() is None


def test_what_a_killed_process_held_is_free_at_once(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / FILE).exists()
    said = []
    with hold(tmp_path, said.append):
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()
    assert said == []


def test_a_stopped_process_is_not_taken_for_dead(holder, tmp_path):
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(UserError, match="is at work"):
        hold(tmp_path, ttl=0.1).__enter__()


def test_nothing_is_left_behind(tmp_path):
    folder = tmp_path / "new" / "run"
    for _ in range(2):
        with hold(folder):
            assert (folder / FILE).exists()
        assert list(folder.iterdir()) == []


def test_the_same_process_twice(tmp_path):
    with hold(tmp_path):
        with pytest.raises(UserError, match=f"process {os.getpid()} "):
            hold(tmp_path).__enter__()
        child = "import sys; from dupl.runs.lock import hold; hold(sys.argv[1]).__enter__()"
        done = subprocess.run([sys.executable, "-c", child, str(tmp_path)], capture_output=True, text=True)
        assert "is at work" in done.stderr, "the refusal did not give the lock away"


def test_a_folder_left_by_another_host_is_watched_then_taken(tmp_path):
    leave(tmp_path)
    said = []
    with hold(tmp_path, said.append, ttl=0.3):
        pass
    assert said == [
        f"{tmp_path} was left by process 7 on elsewhere, since 2026-01-01T00:00:00+00:00: "
        "looking for a sign of life for 0 s"
    ]


def test_another_host_at_work_is_left_alone(tmp_path):
    leave(tmp_path)
    beat = threading.Timer(0.2, lambda: leave(tmp_path, beat=4))
    beat.start()
    with pytest.raises(UserError, match="process 7 on elsewhere"):
        hold(tmp_path, lambda _: None, ttl=5.0).__enter__()
    beat.join()


def test_who_lost_the_run_is_told(tmp_path):
    lost = threading.Event()
    with hold(tmp_path, ttl=0.2, lost=lost.set):
        leave(tmp_path)
        assert lost.wait(5)
    assert json.loads((tmp_path / FILE).read_text())["host"] == "elsewhere", "the other's file stays"


def test_it_beats(tmp_path):
    with hold(tmp_path, ttl=0.2):
        end = time.monotonic() + 5
        while json.loads((tmp_path / FILE).read_text())["beat"] < 2:
            assert time.monotonic() < end


class TestWatch:
    def test_it_sees_the_holder_and_does_not_disturb_it(self, holder, tmp_path):
        watch = Watch()
        for _ in range(3):
            assert watch(tmp_path).startswith(f"process {holder.pid} on {socket.gethostname()}, since ")
        with pytest.raises(UserError, match="is at work"):
            hold(tmp_path).__enter__()
        os.kill(holder.pid, signal.SIGSTOP)
        assert watch(tmp_path) is not None
        holder.kill()
        holder.wait()
        assert (tmp_path / FILE).exists()
        assert watch(tmp_path) is None

    def test_nobody(self, tmp_path):
        assert Watch()(tmp_path) is None
        assert Watch()(tmp_path / "none") is None
        (tmp_path / FILE).write_text("")
        assert Watch()(tmp_path) is None

    def test_this_process_keeps_its_own_lock(self, tmp_path):
        child = "import sys; from dupl.runs.lock import hold; hold(sys.argv[1]).__enter__()"
        with hold(tmp_path):
            assert Watch()(tmp_path) == f"process {os.getpid()} on {socket.gethostname()}"
            done = subprocess.run([sys.executable, "-c", child, str(tmp_path)], capture_output=True, text=True)
            assert BUSY in done.stderr

    def test_a_killed_holder_whose_number_another_process_has_now(self, tmp_path):
        leave(tmp_path, host=socket.gethostname(), pid=os.getpid())
        assert Watch()(tmp_path) is None, "no lock is held, whoever has the number"

    def test_where_the_system_knows_no_locks_the_number_decides(self, tmp_path, monkeypatch):
        monkeypatch.setattr(lock, "_locked", lambda handle: None)
        leave(tmp_path, host=socket.gethostname())
        for alive in (True, False):
            monkeypatch.setattr(lock.process, "exists", lambda pid, alive=alive: alive)
            assert (Watch()(tmp_path) is not None) == alive

    def test_another_host_is_watched_by_ones_own_clock(self, tmp_path):
        now = [1e9]
        watch = Watch(ttl=60, clock=lambda: now[0])
        leave(tmp_path)
        assert watch(tmp_path) == "process 7 on elsewhere, since 2026-01-01T00:00:00+00:00"
        for beat in range(20):  # at work
            now[0] += 15
            leave(tmp_path, beat=beat)
            assert watch(tmp_path) is not None
        now[0] += 10_000  # the observer slept
        assert watch(tmp_path) is not None
        for _ in range(3):
            now[0] += 15
            seen = watch(tmp_path)
        assert seen is None


@pytest.mark.parametrize("left", ["", "{", "[" * 100_000, "[]", '{"host": 3}', "\xff"])
def test_a_damaged_file_stands_in_nobodys_way(tmp_path, left):
    (tmp_path / FILE).write_text(left)
    with hold(tmp_path, lambda _: None, ttl=0.1):
        pass


@pytest.mark.parametrize("alive", [True, False])
def test_without_locks_of_the_system(tmp_path, monkeypatch, alive):
    def unknown(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", unknown)
    monkeypatch.setattr(lock.process, "exists", lambda pid: alive)
    leave(tmp_path, host=socket.gethostname())
    if alive:
        with pytest.raises(UserError, match="is at work"):
            hold(tmp_path).__enter__()
    else:
        with hold(tmp_path):
            pass


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_takes_nothing(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open" if code != errno.ENOSPC else "pwrite", refuse)
    with pytest.raises(UserError, match=f"cannot be written: {os.strerror(code)}"):
        hold(tmp_path).__enter__()
