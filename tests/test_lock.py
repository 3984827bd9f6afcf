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

from dupl import process
from dupl.errors import Held, UserError
from dupl.lock import FILE, Holder, Watch, hold, kill_stalled, watch

HOLDER = """
import sys, time
from dupl.lock import hold
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
        child = "import sys; from dupl.lock import hold; hold(sys.argv[1]).__enter__()"
        done = subprocess.run([sys.executable, "-c", child, str(tmp_path)], capture_output=True, text=True)
        assert "is at work" in done.stderr, "the refusal did not give the lock away"


def test_a_folder_left_by_another_host_is_watched_then_taken(tmp_path):
    leave(tmp_path)
    said = []
    with hold(tmp_path, said.append, ttl=0.3):
        pass
    assert said == [
        f"{tmp_path} was left by process 7 on elsewhere, since 2026-01-01T00:00:00+00:00: "
        "waiting 0 s for a sign of life"
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


def test_it_beats_four_times_in_its_time_to_live(tmp_path):
    with hold(tmp_path, ttl=0.8):
        time.sleep(2.1)
        assert 8 <= json.loads((tmp_path / FILE).read_text())["beat"] <= 10


def test_it_beats(tmp_path):
    with hold(tmp_path, ttl=0.2):
        end = time.monotonic() + 5
        while json.loads((tmp_path / FILE).read_text())["beat"] < 2:
            assert time.monotonic() < end


class TestWatch:
    def test_it_sees_the_holder_and_does_not_disturb_it(self, holder, tmp_path):
        watch = Watch()
        for _ in range(3):
            assert str(watch(tmp_path)).startswith(f"process {holder.pid} on {socket.gethostname()}, since ")
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
        child = "import sys; from dupl.lock import hold; hold(sys.argv[1]).__enter__()"
        with hold(tmp_path):
            assert str(Watch()(tmp_path)) == f"process {os.getpid()} on {socket.gethostname()}"
            done = subprocess.run([sys.executable, "-c", child, str(tmp_path)], capture_output=True, text=True)
            assert "is at work on this run" in done.stderr

    def test_a_killed_holder_whose_number_another_process_has_now(self, tmp_path):
        leave(tmp_path, host=socket.gethostname(), pid=os.getpid())
        assert Watch()(tmp_path) is None, "no lock is held, whoever has the number"

    def test_where_the_system_knows_no_locks_the_number_decides(self, tmp_path, monkeypatch):
        monkeypatch.setattr(watch, "locker", lambda handle: None)
        leave(tmp_path, host=socket.gethostname())
        for alive in (True, False):
            monkeypatch.setattr(process, "exists", lambda pid, alive=alive: alive)
            assert (Watch()(tmp_path) is not None) == alive

    def test_another_host_is_watched_by_ones_own_clock(self, tmp_path):
        now = [1e9]
        watch = Watch(ttl=60, clock=lambda: now[0])
        leave(tmp_path)
        assert str(watch(tmp_path)) == "process 7 on elsewhere, since 2026-01-01T00:00:00+00:00"
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
    monkeypatch.setattr(process, "exists", lambda pid: alive)
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


class TestManyAtOnce:
    def test_of_many_threads_one_holds(self, tmp_path):
        for round in range(5):
            barrier, results = threading.Barrier(16), []

            def attempt(barrier=barrier, results=results, folder=tmp_path / str(round)):
                barrier.wait()
                try:
                    with hold(folder):
                        results.append("held")
                        time.sleep(0.2)
                except Held:
                    results.append("refused")

            threads = [threading.Thread(target=attempt) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(results) == ["held"] + ["refused"] * 15

    @pytest.mark.parametrize("left", [None, "killed here", ""])
    def test_of_many_processes_one_holds_or_takes_over(self, tmp_path, left):
        if left is not None:
            leave(tmp_path, host=socket.gethostname())
            if not left:
                (tmp_path / FILE).write_text("")
        script = (
            "import sys, time; from dupl.lock import hold; sys.stdin.readline()\n"
            "with hold(sys.argv[1]):\n    print('held', flush=True); time.sleep(2)\n"
        )
        words = [sys.executable, "-c", script, str(tmp_path)]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        children = [subprocess.Popen(words, **pipes) for _ in range(4)]
        time.sleep(1)  # all have imported what they need
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        said = [child.communicate(timeout=60) for child in children]
        assert [out for out, _ in said].count("held\n") == 1
        assert sum("is at work" in err for _, err in said) == 3


class TestTheHolder:
    def test_its_own_time_to_live_counts(self, tmp_path):
        now = [0.0]
        watch = Watch(ttl=60, clock=lambda: now[0])
        leave(tmp_path, ttl=100)
        assert watch(tmp_path) is not None
        for _ in range(19):
            now[0] += 5
            assert watch(tmp_path) is not None
        now[0] += 5
        assert watch(tmp_path) is None

    def test_the_environment_may_say_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DUPL_LEASE", "7")
        monkeypatch.setenv("DUPL_TICKET", "abc")
        with hold(tmp_path):
            note = json.loads((tmp_path / FILE).read_text())
        assert (note["ttl"], note["mark"]) == (7.0, "abc")

    def test_the_refusal_has_an_exit_code_of_its_own(self, holder, tmp_path):
        with pytest.raises(Held) as told:
            hold(tmp_path).__enter__()
        assert told.value.code == 75 == os.EX_TEMPFAIL

    def test_a_disk_that_fails_is_borne(self, tmp_path, monkeypatch):
        lost = threading.Event()
        with hold(tmp_path, ttl=0.2, lost=lost.set):
            with monkeypatch.context() as patch:
                patch.setattr(Holder, "write", lambda *_: (_ for _ in ()).throw(OSError("stale file handle")))
                time.sleep(0.3)
            assert not lost.is_set()
            end = time.monotonic() + 5
            while json.loads((tmp_path / FILE).read_text())["beat"] < 1:
                assert time.monotonic() < end

    def test_two_names_are_two_locks(self, tmp_path):
        other = dict(name=".other.lock", what="this trial")
        with hold(tmp_path), hold(tmp_path, **other), pytest.raises(Held, match="at work on this trial"):
            hold(tmp_path, **other).__enter__()


class TestStanding:
    """A holder of this host that stands still is seen as such, and killed before others take over."""

    def stalled(self, tmp_path, holder):
        os.kill(holder.pid, signal.SIGSTOP)
        now = [0.0]
        watch = Watch(clock=lambda: now[0])
        for _ in range(9):
            sight = watch(tmp_path)
            now[0] += 7.5
        return sight

    def test_it_is_killed(self, holder, tmp_path):
        sight = self.stalled(tmp_path, holder)
        assert sight.stalled and sight.holder.pid == holder.pid
        assert kill_stalled(tmp_path, sight.token).pid == holder.pid
        assert holder.wait(5) == -signal.SIGKILL
        with hold(tmp_path):
            pass

    def test_not_one_that_moved_meanwhile(self, holder, tmp_path):
        sight = self.stalled(tmp_path, holder)
        note = json.loads((tmp_path / FILE).read_text())
        (tmp_path / FILE).write_text(json.dumps({**note, "beat": 9}))
        assert kill_stalled(tmp_path, sight.token) is None
        assert holder.poll() is None

    def test_not_another_process_that_has_its_number(self, tmp_path, monkeypatch):
        child = subprocess.Popen(["sleep", "60"])
        leave(tmp_path, host=socket.gethostname(), pid=child.pid, start=1.0)
        token = f"{socket.gethostname()}/{child.pid}/2026-01-01T00:00:00+00:00/3"
        assert kill_stalled(tmp_path, token) is None, "it holds no lock"
        monkeypatch.setattr(watch, "locker", lambda handle: None)
        assert kill_stalled(tmp_path, token) is None, "it started at another time"
        leave(tmp_path, host=socket.gethostname(), pid=child.pid, start=process.start_of(child.pid))
        assert kill_stalled(tmp_path, token).pid == child.pid
        assert child.wait(5) == -signal.SIGKILL

    def test_not_one_on_another_host(self, tmp_path):
        leave(tmp_path)
        assert kill_stalled(tmp_path, "elsewhere/7/2026-01-01T00:00:00+00:00/3") is None
