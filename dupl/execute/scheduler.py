"""The loop that brings jobs to their end: it gives orders, and reads off claims and run folders what became of them.

Any number of these loops, on any hosts, may share a store. A loop keeps nothing that matters: killed, it is started
again.
"""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from dupl.errors import UserError
from dupl.execute.eta import iteration_now
from dupl.execute.executor import Executor, Handle
from dupl.execute.job import Job
from dupl.execute.worker import HANG, Order, place_of, stop_file
from dupl.runs.files import CorruptFile
from dupl.runs.lease import TTL, Claim, Leases
from dupl.runs.lock import Watch
from dupl.runs.process import at_work
from dupl.runs.status import ACTIVE
from dupl.runs.stored_run import StoredRun, open_run

JobState = Literal["waiting", "queued", "running", "elsewhere", "finished", "failed", "interrupted"]
SETTLED = ("finished", "failed", "interrupted")


@dataclass
class Progress:
    """How a job stands.

    Attributes:
        job: Which.
        state: waiting (to be started by this loop), queued (ordered, not begun), running (by this loop's order),
            elsewhere (by somebody else's, or by hand), finished, failed (more often than it may), or interrupted (by
            the loop's end).
        folder: Of the run.
        errors: Why attempts failed since the loop began, everybody's.
        where: Who else is at work on it, in words.
        begun: Whether anything had to be done since the loop began.
        run: As last read, None before it is created.
        over: Digest of the claim that was found stale; "" where none was.
    """

    job: Job
    state: JobState = "waiting"
    folder: Path = Path()
    errors: list[str] = field(default_factory=list)
    where: str = ""
    begun: bool = False
    run: StoredRun | None = None
    over: str = ""

    @property
    def settled(self) -> bool:
        """Whether the job has ended, one way or another."""
        return self.state in SETTLED

    @property
    def iterations(self) -> str:
        """How far the run is, as "120/420"; "" before it is created."""
        return f"{iteration_now(self.run)}/{self.run.status.iterations or '?'}" if self.run is not None else ""

    @property
    def note(self) -> str:
        """Where somebody else's run is executed, or why the last attempt failed; "" where there is nothing to say."""
        if self.state == "elsewhere":
            return self.where
        failed = self.state != "finished" and self.errors
        return f"attempt {len(self.errors)} failed: {self.errors[-1]}" if failed else ""


@dataclass(frozen=True)
class Rules:
    """When to try again and when to stop.

    Attributes:
        retries: Attempts after the first that failed.
        max_failed: Share of the jobs, 0 to 1, that may fail; with more the loop ends.
        ttl: Seconds after which the lease of a dead worker ends.
        grace: Seconds that a run has to save a checkpoint when it is told to stop.
        hang: Seconds without a sign of life after which a run is killed, with the stacks of its threads in its log.
        poll: Seconds between looks.
    """

    retries: int = 2
    max_failed: float = 0.3
    ttl: float = TTL
    grace: float = 600.0
    hang: float = HANG
    poll: float = 1.0


class Schedule:
    """Jobs on their way.

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
        self.leases = {job.root: Leases(job.root) for job in jobs}
        self.first = {job.fingerprint: len(self.leases[job.root].claims(job.fingerprint)) for job in jobs}
        self.handles: dict[str, tuple[str, Handle]] = {}
        self.broken: dict[str, list[str]] = {}
        self.by_hand = Watch()
        self.stopping: str | None = None

    def run(self) -> str | None:
        """Works until every job is finished or has failed.

        The first SIGINT or SIGTERM asks the runs of this loop to save a checkpoint and stop, and waits for them; the
        second kills them.

        Returns:
            Why it ended before that: "interrupted", or a line on how many failed. None where it did not.
        """
        with Signals() as signals:
            try:
                while not self._over():
                    self._look()
                    failed = sum(p.state == "failed" for p in self.progress)
                    if signals.count:
                        self.stop("interrupted")
                    elif failed > self.rules.max_failed * len(self.progress):
                        self.stop(f"{failed} of {len(self.progress)} runs failed")
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
        """Starts nothing more, and asks what was started to stop; what still waits in a queue is taken out of it."""
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
        """Kills what was started."""
        for _, handle in self.handles.values():
            handle.kill()

    def _look(self) -> None:
        for p in self.progress:
            if p.state not in SETTLED or p.job.fingerprint in self.handles:
                self._judge(p)
        for p in self.progress:
            if p.state == "waiting" and self.stopping is None and len(self.handles) < self.executor.slots:
                self._start(p)

    def _judge(self, p: Progress) -> None:
        """Reads off the files how a job stands."""
        job, leases = p.job, self.leases[p.job.root]
        ended = self._bury(job)  # before the claims are read, among which its own then is
        claims = leases.claims(job.fingerprint)
        last = claims[-1] if claims else None
        stale = last is not None and last.held and leases.stale(job.fingerprint, last)
        if ended and ended[1] and self.stopping is None and all(claim.ticket != ended[0] for claim in claims):
            self.broken.setdefault(job.fingerprint, []).append(ended[1])
        ticket, handle = self.handles.get(job.fingerprint, (None, None))
        p.folder, p.where = place_of(job, last), f"on {last.host}" if last and last.host else ""
        p.over = last.digest if last is not None and stale else ""
        try:
            p.run = open_run(p.folder)
            done = job.todo(p.folder) is None
        except CorruptFile:
            p.run, done = None, False  # the command mends it, or says why it cannot
        except UserError as error:
            p.state, p.errors = "failed", [str(error)]
            return
        p.errors, hopeless = self._failures(job, claims, stale)
        if done:
            p.state = "finished"
        elif last is not None and last.held and not stale:
            p.state = "running" if last.ticket == ticket else "elsewhere"
        elif handle is not None:
            p.state = "queued"
            if stale and last is not None and last.ticket == ticket:  # its worker hangs
                handle.kill()
        elif not stale and (who := self.by_hand(p.folder) or named(p.run)):
            p.state, p.where = "elsewhere", f"is being trained by {who}"
        elif hopeless or len(p.errors) > self.rules.retries:
            p.state = "failed"
        else:
            p.state = "interrupted" if self.stopping is not None and p.begun else "waiting"
        p.begun = p.begun or p.state not in ("waiting", "finished")

    def _bury(self, job: Job) -> tuple[str, str | None] | None:
        """Forgets an order that ended; its ticket, and what broke its worker. None where none did."""
        ticket, handle = self.handles.get(job.fingerprint, (None, None))
        if ticket is None or handle is None or not handle.ended():
            return None
        del self.handles[job.fingerprint]
        stop_file(job, ticket).unlink(missing_ok=True)
        return ticket, handle.error()

    def _failures(self, job: Job, claims: list[Claim], stale: bool) -> tuple[list[str], bool]:
        """Why attempts failed since the loop began, and whether another one is hopeless."""
        errors, hopeless = list(self.broken.get(job.fingerprint, ())), False
        for claim in claims[self.first[job.fingerprint] :]:
            if claim.held and (stale or claim.number < len(claims)):
                errors.append(f"its worker on {claim.host or 'some host'} vanished")
            elif claim.error:
                errors.append(claim.error)
            hopeless = hopeless or claim.hopeless
        return errors, hopeless

    def _start(self, p: Progress) -> None:
        """Orders a job that nobody has."""
        order = Order(uuid.uuid4().hex, ttl=self.rules.ttl, over=p.over, grace=self.rules.grace, hang=self.rules.hang)
        self.handles[p.job.fingerprint] = order.ticket, self.executor.submit(p.job, order)
        p.state, p.begun = "queued", True


def named(run: StoredRun | None) -> str | None:
    """The process of this host that is at work on a run by its status; None where there is none."""
    if run is None or run.state not in ACTIVE or at_work(run.status, run.written) is not True:
        return None
    return f"process {run.status.pid} on {run.status.host}"


class Signals:
    """Counts SIGINT and SIGTERM instead of dying of them; in the main thread only."""

    def __init__(self) -> None:
        self.count = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        def note(number: int, _: FrameType | None) -> None:
            self.count += 1

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
