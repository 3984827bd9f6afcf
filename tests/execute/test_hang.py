"""A run that hangs is told by its missing heartbeat, shows its stacks, is killed and goes on."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dupl.execute import heartbeat
from dupl.execute.hang import Pulse
from dupl.execute.job import Step
from dupl.execute.local import LocalExecutor
from dupl.execute.order import Order
from dupl.execute.scheduler import Rules, Scheduler
from dupl.execute.worker import work
from dupl.lock import FILE
from dupl.runs.layout import LOG
from dupl.runs.run import Run

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")


class TestPulse:
    @pytest.fixture
    def pulse(self, tmp_path):
        self.now, self.file = 0.0, tmp_path / "file"
        return Pulse([self.file], 60, lambda: self.now)

    def after(self, pulse, seconds, step=6.0):
        for _ in range(int(seconds / step)):
            self.now += step
            stopped = pulse.stopped()
        return stopped

    def test_nothing_for_the_whole_time(self, pulse):
        assert not self.after(pulse, 54)
        assert self.after(pulse, 6)

    def test_a_change_of_any_kind_begins_anew(self, pulse):
        for change in (
            lambda: self.file.touch(),
            lambda: self.file.write_text("x"),
            lambda: os.utime(self.file, (0, 0)),  # a clock that was set back
            lambda: self.file.unlink(),
        ):
            change()
            assert not self.after(pulse, 54)
        assert self.after(pulse, 12)

    def test_a_machine_that_slept_kills_nothing(self, pulse):
        self.now += 10_000
        assert not pulse.stopped()
        assert not self.after(pulse, 30)

    def test_no_limit(self, tmp_path):
        self.now = 0.0
        pulse = Pulse([tmp_path / "none"], 0, lambda: self.now)
        self.now = 1e9
        assert not pulse.stopped()


def test_heartbeats_are_given_once_a_second_and_only_where_they_are_wanted(tmp_path, monkeypatch):
    file = tmp_path / "heartbeat"
    file.touch()
    os.utime(file, (1, 1))
    now = [100.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(heartbeat, "_last", float("-inf"))
    monkeypatch.delenv(heartbeat.VARIABLE, raising=False)
    heartbeat.beat()
    assert file.stat().st_mtime == 1
    monkeypatch.setenv(heartbeat.VARIABLE, str(file))
    heartbeat.beat()
    assert file.stat().st_mtime > 1
    os.utime(file, (1, 1))
    now[0] += 0.9
    heartbeat.beat()
    assert file.stat().st_mtime == 1
    now[0] += 0.2
    heartbeat.beat()
    assert file.stat().st_mtime > 1
    monkeypatch.setenv(heartbeat.VARIABLE, str(tmp_path / "gone"))
    now[0] += 2
    heartbeat.beat()


@needs_proc
class TestHanging:
    def test_it_is_killed_with_its_stacks_in_the_log_and_goes_on(self, store, helpers):
        job = store.job("a", hang_at=2)
        rules = Rules(poll=0.05, retries=1, hang=3.0)
        orders = []
        scheduler = Scheduler([job], LocalExecutor(jobs=1), rules)
        scheduler.show = lambda _: orders.extend(ticket for ticket, _ in scheduler.handles.values())
        scheduler.run()
        assert scheduler.progress[0].state == "finished" and len(set(orders)) == 2
        error = f"no heartbeat for 0.05 min: killed at iteration 1; {LOG} has the stacks of its threads"
        assert scheduler.progress[0].errors == [error]
        assert [end.outcome for end in scheduler.progress[0].ends] == ["failed", "finished"]
        assert store.lines() == ["a 1", "a 2", "a hang", "a 2", "a 3"]
        log = Path(job.folder, LOG).read_text()
        assert "most recent call first" in log and 'toy.py", line' in log
        assert not any(helpers["marked"](ticket) for ticket in orders)

    def test_one_that_does_not_listen_is_killed_all_the_same(self, store):
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
        job = replace(store.job("a"), steps=(Step((sys.executable, "-c", deaf)),))
        end = work(job, Order("t", hang=2.0))
        assert end.outcome == "failed" and end.error.startswith("no heartbeat") and not end.hopeless

    @pytest.mark.parametrize("how", ["print('.', flush=True)", "beat()"])
    def test_one_that_is_slow_but_says_so_is_left_alone(self, store, how):
        slow = f"import time; from dupl.execute.heartbeat import beat\nfor _ in range(4): time.sleep(1); {how}"
        job = replace(store.job("a"), steps=(Step((sys.executable, "-c", slow)),))
        assert "left no finished run" in work(job, Order("t", hang=2.5)).error


@needs_proc
class TestByHand:
    HAND = (
        "import sys, time; from dupl.lock import hold; from dupl.runs.run import Run\n"
        "with hold(sys.argv[1]):\n"
        "    print('held', flush=True); sys.stdin.readline()\n"
        "    run = Run.create(sys.argv[1], '', 'a', [], 0); run.update(state='finished')\n"
    )

    def hand(self, job) -> subprocess.Popen:
        """A process that holds a run's folder until it is told to finish."""
        words = [sys.executable, "-c", self.HAND, job.folder]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "held\n"
        return process

    def test_a_row_waits_for_who_holds_the_folder(self, store):
        job = store.job("a")
        hand = self.hand(job)
        seen = []

        def show(progress):
            seen.append((progress[0].state, progress[0].where.partition(" on ")[0]))
            if len(seen) == 5:
                hand.stdin.write("\n")
                hand.stdin.flush()

        scheduler = Scheduler([job], LocalExecutor(jobs=1), Rules(poll=0.05, retries=0), show)
        assert scheduler.run() is None
        hand.communicate()
        assert set(seen[:5]) == {("elsewhere", f"is being trained by process {hand.pid}")}
        assert scheduler.progress[0].errors == []
        assert seen[-1][0] == "finished"
        assert scheduler.progress[0].ends == []

    def test_a_command_that_is_refused_for_it_has_not_failed(self, store):
        hold = "import sys; from dupl.lock import hold; from dupl.errors import UserError\n"
        hold += (
            "try:\n    hold(sys.argv[1]).__enter__()\nexcept UserError as e: print(f'dupl: {e}'); sys.exit(e.code)\n"
        )
        job = replace(store.job("a"), steps=(Step((sys.executable, "-c", hold, "{folder}")),))
        hand = self.hand(job)
        end = work(job, Order("t"))
        assert (end.outcome, end.error, end.hopeless) == ("held", None, False)
        assert not Run(job.folder).exists()
        os.kill(hand.pid, signal.SIGKILL)
        hand.communicate()
        assert Path(job.folder, FILE).exists()
        assert "left no finished run" in work(job, Order("u")).error, "the killed one is in nobody's way"
