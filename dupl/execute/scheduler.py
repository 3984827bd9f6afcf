"""Bring jobs to their end: give orders, and read from run folders and answers what became of them.

Any number of schedulers, on any hosts, may share a store. A scheduler keeps nothing that matters: killed, it is started
again.
"""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from dupl.errors import Notice, RunError, UserError
from dupl.execute.eta import pace_now
from dupl.execute.executor import Away, Executor, Handle
from dupl.execute.job import Job
from dupl.execute.order import HANG, End, Order, stop_file
from dupl.execute.progress import SETTLED, JobState, Progress
from dupl.execute.run_folder import folder_of
from dupl.execute.signals import Signals
from dupl.execute.trunk import waits_for
from dupl.lock import BEATS, TTL, Sight, Watch
from dupl.runs.files import CorruptFile
from dupl.runs.process import at_work
from dupl.runs.status import ACTIVE
from dupl.runs.stored_run import StoredRun, open_run
from dupl.terminal import counted


@dataclass(frozen=True)
class Rules:
    """When to try again and when to stop.

    Attributes:
        retries: Attempts after the first that failed.
        max_failed: Share of the jobs, 0 to 1, that may fail; with more the loop ends.
        ttl: Seconds without a renewal of its lock after which a run's process counts as dead.
        grace: Seconds that a run has to save a checkpoint when it is told to stop.
        hang: Seconds without a heartbeat after which a run is killed, with the stacks of its threads in its log.
        poll: Seconds between looks.
        patience: Seconds for which attempts that are lost to the machine (a node, a cluster, a full disk) are repeated
            before the job counts as failed; they do not count as retries.
    """

    retries: int = 2
    max_failed: float = 0.3
    ttl: float = TTL
    grace: float = 600.0
    hang: float = HANG
    poll: float = 1.0
    patience: float = 600.0


AGAIN = 10.0  # seconds until a place that is away is asked again, and between two attempts that are lost
KILL = 15.0  # seconds that what was killed has to be gone


class Scheduler:
    """Jobs on their way to their end.

    Args:
        jobs: Of one store, each fingerprint once.
        executor: Where to run them.
        rules: When to try again and when to stop.
        show: Called with all progress after each look.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        executor: Executor,
        rules: Rules | None = None,
        show: Callable[[list[Progress]], None] = lambda _: None,
    ) -> None:
        self.executor, self.rules, self.show = executor, rules or Rules(), show
        self.progress = [Progress(job) for job in jobs]
        self.by_id = {p.job.fingerprint: p for p in self.progress}
        self.parents = {job.parent for job in jobs}
        self.handles: dict[str, tuple[str, Handle]] = {}
        self.killed: dict[str, End] = {}
        self.done: dict[str, float] = {}
        self.watch = Watch(self.rules.ttl)
        self.stopping: str | None = None
        self.away = float("-inf")  # until when the place is not asked for more
        self.refused: float | None = None  # since when it takes no order though no run is at work
        self.ends_by: float | None = None

    def run(self) -> str | None:
        """Work until every job is finished or has failed.

        The first SIGINT or SIGTERM asks the runs of this scheduler to save a checkpoint and stop, and waits for them;
        the second kills them, and ends the loop shortly after, also where their place does not answer.

        Returns:
            Why it ended before that: "interrupted", or a line on how many failed. None where it did not.

        Raises:
            RunError: The place has taken no order for longer than it should.
        """
        with Signals() as signals:
            try:
                while not self._over():
                    self._look()
                    failed = sum(p.state == "failed" for p in self.progress)
                    if signals.count:
                        self.stop("interrupted")
                    elif failed > self.rules.max_failed * len(self.progress):
                        self.stop(f"{failed} of {counted(len(self.progress), 'run')} failed")
                    if signals.count > 1:
                        self.kill()
                    self.show(self.progress)
                    if not self._over():
                        time.sleep(self.rules.poll)
            finally:
                self.executor.close()
        return self.stopping

    def _over(self) -> bool:
        return not self.handles and (self.stopping is not None or all(p.state in SETTLED for p in self.progress))

    def stop(self, why: str) -> None:
        """Start nothing more, and ask what was started to stop; take what still waits in a queue out of it."""
        if self.stopping is not None:
            return
        self.stopping = why
        for p in self.progress:
            if p.job.fingerprint not in self.handles:
                continue
            ticket, handle = self.handles[p.job.fingerprint]
            path = stop_file(p.job, ticket)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            if self.executor.queues and p.state == "queued":
                handle.kill()

    def kill(self) -> None:
        """Kill what was started, and forget what is not gone soon after."""
        now = time.monotonic()
        if self.ends_by is None:
            self.ends_by = now + KILL
            for _, handle in self.handles.values():
                handle.kill()
        if now < self.ends_by:
            return
        for p in self.progress:
            if self.handles.pop(p.job.fingerprint, None) is not None:
                p.state = "interrupted"

    def _look(self) -> None:
        for p in self.progress:
            if p.state not in SETTLED or p.job.fingerprint in self.handles:
                self._judge(p)
        if self.stopping is None:
            for p in sorted(self.progress, key=lambda p: p.job.fingerprint not in self.parents):
                if p.state == "waiting" and len(self.handles) < self.executor.slots:
                    parent = self.by_id.get(p.job.parent)
                    pace = self._pace() if parent is not None and parent.state == "elsewhere" else None
                    if waits := waits_for(p, parent, pace):
                        p.where = waits
                    else:
                        self._start(p)

    def _judge(self, p: Progress) -> None:
        """Read from the files, and from the answer of an order that ended, how a job stands."""
        job, first = p.job, p.folder == Path()
        end = self._collect(job)
        p.folder = folder_of(job)
        try:
            p.run = open_run(p.folder)
            todo = job.todo(p.folder)
        except CorruptFile:
            p.run, todo = None, job.steps[0]  # the command repairs it, or says why it cannot
        except UserError as error:
            p.state, p.ends = "failed", [End("failed", str(error))]
            return
        self._record(p, end, first)
        sight = self.watch(p.folder)
        ticket, handle = self.handles.get(job.fingerprint, ("", None))
        if handle is not None:
            self._prove_alive(p, ticket, handle, sight, todo is None)
            training = sight is not None and sight.holder is not None and sight.holder.mark == ticket
            evaluating = todo is not None and todo.protocol != "train" and not self.executor.queues
            p.state = "finished" if todo is None else "running" if training or evaluating else "queued"
            p.where = handle.waits_for() if p.state == "queued" else ""
        elif todo is None:
            p.state = "finished"
        else:
            p.state = self._without_order(p, sight)
        p.begun = p.begun or p.state not in ("waiting", "finished")

    def _without_order(self, p: Progress, sight: Sight | None) -> JobState:
        """Return the state of a job that is not done, and that this scheduler has not ordered."""
        p.over = sight.token if sight is not None and sight.stalled else ""
        who = (sight if sight is not None and not sight.stalled else None) or (None if p.over else named(p.run))
        if who is not None:
            p.where = f"is being trained by {who}"
            return "elsewhere"
        if p.pause > time.monotonic() and self.stopping is None:
            if p.lost is not None:
                p.where = f"{p.errors[-1]}: trying again until {self.rules.patience:.3g} s have passed"
                return "waiting"
            p.where = "is being trained by another process"
            return "elsewhere"
        if self.away < time.monotonic():
            p.where = ""
        if p.hopeless or p.failures > self.rules.retries:
            return "failed"
        if p.lost is not None and time.monotonic() - p.lost > self.rules.patience:
            return "failed"
        return "interrupted" if self.stopping is not None and p.begun else "waiting"

    def _collect(self, job: Job) -> End | None:
        """Forget an order that ended, and return how; None where none did."""
        ticket, handle = self.handles.get(job.fingerprint, ("", None))
        if handle is None or not handle.ended():
            return None
        del self.handles[job.fingerprint]
        stop_file(job, ticket).unlink(missing_ok=True)
        return self.killed.pop(job.fingerprint, None) or handle.end()

    def _record(self, p: Progress, end: End | None, first: bool) -> None:
        """Note how an attempt ended: this scheduler's own, or one that failed elsewhere."""
        failure = p.run.status.ended if p.run is not None and p.run.state == "failed" else None
        if end is not None:
            p.ends.append(End("interrupted") if end.broken and self.stopping is not None else end)
            now = time.monotonic()
            p.pause = now + self.rules.ttl / BEATS if end.outcome == "held" else now + AGAIN if end.lost else 0.0
            p.lost = (p.lost or now) if end.lost else None
        elif (
            not first
            and p.run is not None
            and failure not in (None, p.failure)
            and not self.handles.get(p.job.fingerprint)
        ):
            p.ends.append(End("failed", p.run.status.error or "it failed elsewhere"))
        p.failure = failure

    def _prove_alive(self, p: Progress, ticket: str, handle: Handle, sight: Sight | None, done: bool) -> None:
        """Kill an order whose training stands still, or whose worker does not end though all is done."""
        name, now = p.job.fingerprint, time.monotonic()
        if sight is not None and sight.stalled and sight.holder is not None and sight.holder.mark == ticket:
            self.killed[name] = End("failed", f"{sight} stood still for {self.rules.ttl:.3g} s and was killed")
            handle.kill()
        if done and now - self.done.setdefault(ticket, now) > self.rules.ttl:
            self.killed[name] = End("finished")
            handle.kill()

    def _start(self, p: Progress) -> None:
        """Order a job that nobody has, unless the place takes no order at the moment."""
        if max(p.pause, self.away) > time.monotonic():
            return
        order = Order(uuid.uuid4().hex, ttl=self.rules.ttl, over=p.over, grace=self.rules.grace, hang=self.rules.hang)
        try:
            handle = self.executor.submit(p.job, order)
        except Away as away:
            self._wait(p, away)
            return
        self.refused = None
        self.handles[p.job.fingerprint] = order.ticket, handle
        p.state, p.begun, p.where = "queued", True, ""

    def _pace(self) -> float | None:
        """Return the median seconds of an iteration of the runs that this scheduler ordered; None before one tells."""
        runs = (p.run for p in self.progress if p.job.fingerprint in self.handles and p.run is not None)
        paces = [seconds for run in runs if (seconds := pace_now(run)) is not None]
        return median(paces) if paces else None

    def _wait(self, p: Progress, away: Away) -> None:
        """Ask a place that takes no order again after a while.

        Raises:
            RunError: It has taken none for longer than it should, and no run is at work that could still finish.
        """
        now = time.monotonic()
        p.where, self.away = f"{away}: trying again every {AGAIN:g} s", now + AGAIN
        if away.limit is not None:
            p.where += f", for {away.limit:g} s while no run is at work"
            idle = not self.handles and all(one.state != "elsewhere" for one in self.progress)
            self.refused = (self.refused or now) if idle else None
            if self.refused is not None and now - self.refused >= away.limit:
                raise RunError(f"{away} for {away.limit:g} s, while no run was at work: {away.advice}")
        warnings.warn(Notice(p.where), stacklevel=1)


def named(run: StoredRun | None) -> str | None:
    """Name the process of this host that works on a run by its status; None where there is none."""
    if run is None or run.state not in ACTIVE or at_work(run.status, run.written) is not True:
        return None
    return f"process {run.status.pid} on {run.status.host}"
