"""What fails without a fault of the run: a place that is away, a lost node, a full disk, a folder that moves."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dupl.errors import DiskError, Notice, RunError
from dupl.execute import scheduler as loops
from dupl.execute.executor import Away
from dupl.execute.job import Step
from dupl.execute.local import LocalExecutor
from dupl.execute.order import End, Order, decode_end, encode_end
from dupl.execute.scheduler import Rules, Scheduler
from dupl.execute.worker import work

FAST = Rules(poll=0.05, retries=0, patience=1.0)


class Unsteady(LocalExecutor):
    """A place that does not answer for a while, and loses the first attempts.

    Args:
        away: Orders that it does not take.
        lost: Orders that are lost.
    """

    def __init__(self, away: int = 0, lost: int = 0) -> None:
        super().__init__(jobs=1)
        self.away, self.lost, self.orders = away, lost, 0

    def submit(self, job, order):
        if self.away:
            self.away -= 1
            raise Away("nobody answers")
        self.orders += 1
        handle = super().submit(job, order)
        if self.lost:
            self.lost -= 1
            handle.kill()
            handle.end = lambda: End("failed", "the node is gone", lost=True)
        return handle


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(loops, "AGAIN", 0.1)


def run(store, place, rules=FAST, **job):
    scheduler = Scheduler([store.job("a", **job)], place, rules)
    scheduler.run()
    return scheduler.progress[0]


def test_a_place_that_is_away_is_asked_again_with_a_line(store, at_once):
    place = Unsteady(away=3)
    with pytest.warns(Notice, match=r"nobody answers: trying again every 0\.1 s"):
        progress = run(store, place)
    assert (progress.state, place.orders, progress.errors) == ("finished", 1, [])


class Full(LocalExecutor):
    """A place that takes one order at a time, as a submit limit makes it, and at the end none."""

    def __init__(self, orders: int) -> None:
        super().__init__(jobs=9)
        self.left, self.given, self.refusals = orders, [], []

    def submit(self, job, order):
        busy = any(not handle.ended() for handle in self.given)
        if busy or not self.left:
            self.refusals.append(busy)
            raise Away("no more jobs (AssocMaxSubmitJobLimit)", 0.5, "look at the queue")
        self.left -= 1
        self.given.append(super().submit(job, order))
        return self.given[-1]


def test_a_limit_of_submitted_jobs_is_waited_for_while_runs_are_at_work(store, at_once):
    jobs = [store.job("a", iterations=20, pace=0.05), store.job("b"), store.job("c")]
    place = Full(3)
    scheduler = Scheduler(jobs, place, FAST)
    with pytest.warns(
        Notice, match=r"AssocMaxSubmitJobLimit\): trying again every 0\.1 s, for 0\.5 s while no run"
    ) as told:
        assert scheduler.run() is None
    assert [p.state for p in scheduler.progress] == ["finished"] * 3
    assert len(place.refusals) > 5 and len({str(one.message) for one in told}) == 1


def test_but_a_limit_that_never_ends_is_named(store, at_once):
    jobs = [store.job("a", iterations=20, pace=0.05), store.job("b")]
    place = Full(1)
    scheduler = Scheduler(jobs, place, FAST)
    cause = r"no more jobs \(AssocMaxSubmitJobLimit\) for 0\.5 s, while no run was at work: look at the queue"
    with pytest.warns(Notice), pytest.raises(RunError, match=cause):
        scheduler.run()
    assert scheduler.progress[0].state == "finished", "what could finish has finished"


def test_what_the_machine_loses_is_no_failure_of_the_run(store, at_once):
    progress = run(store, Unsteady(lost=3), replace(FAST, patience=60))
    assert (progress.state, len(progress.errors), progress.failures) == ("finished", 3, 0)


def test_while_it_waits_for_another_attempt_it_says_why(store, monkeypatch):
    monkeypatch.setattr(loops, "AGAIN", 0.5)
    notes = set()
    place, rules = Unsteady(lost=1), replace(FAST, patience=60)
    Scheduler([store.job("a")], place, rules, lambda progress: notes.add((progress[0].state, progress[0].note))).run()
    assert ("waiting", "the node is gone: trying again until 60 s have passed") in notes


def test_but_not_for_ever(store, at_once):
    progress = run(store, Unsteady(lost=10**6))
    assert progress.state == "failed"
    assert progress.errors[-1] == "the node is gone" and progress.failures == 0 and len(progress.errors) > 1


def test_a_full_disk_is_the_machines_fault_and_bad_input_is_not(store):
    for code, lost, hopeless in ((DiskError.code, True, False), (2, False, True), (1, False, False)):
        job = replace(store.job("a"), steps=(Step((sys.executable, "-c", f"import sys; sys.exit({code})")),))
        end = work(job, Order("code"))
        assert (end.outcome, end.lost, end.hopeless) == ("failed", lost, hopeless)
        assert decode_end(encode_end(end)) == end


def test_a_folder_that_is_moved_while_its_run_is_at_work_is_named(store):
    move = "import os, sys; os.rename(sys.argv[1], sys.argv[1] + '-moved'); sys.exit(2)"
    job = replace(store.job("a"), steps=(Step((sys.executable, "-c", move, "{folder}")),))
    end = work(job, Order("moved"))
    assert end == End("failed", f"{Path(job.folder)} was moved or removed while its run was at work")


def test_the_second_signal_ends_the_loop_although_the_place_does_not(store, monkeypatch):
    monkeypatch.setattr(loops, "KILL", 0.3)
    scheduler = Scheduler([store.job("a", iterations=1)], LocalExecutor(jobs=1), FAST)

    class Deaf:
        def ended(self):
            return False

        def waits_for(self):
            return "nobody knows"

        def kill(self):
            pass

    class Nowhere:
        slots, queues, gpus = 1, True, 0

        def submit(self, job, order):
            return Deaf()

        def close(self):
            pass

    scheduler.executor = Nowhere()

    def show(progress):
        assert progress[0].note in ("nobody knows", "")
        scheduler.stop("interrupted")
        scheduler.kill()

    scheduler.show = show
    assert scheduler.run() == "interrupted"
    assert scheduler.progress[0].state == "interrupted"
