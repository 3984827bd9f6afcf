"""Carries out a job under a lease, in whatever process an executor gives it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any

from dupl.atomic import utf8
from dupl.errors import UserError
from dupl.execute.heartbeat import VARIABLE
from dupl.execute.job import PLACE, TETHER, Job, Step
from dupl.runs import layout
from dupl.runs.files import CorruptFile
from dupl.runs.lease import FOLDER, TTL, Claim, Lease, Leases, Outcome
from dupl.runs.lock import BUSY
from dupl.runs.run import Run

TICKET = "DUPL_TICKET"  # environment variable by which the processes of an order are known
TICK = 0.25  # seconds between looks at the command, the lease and the wish to stop
HANG = 1800.0  # seconds without a sign of life after which a command hangs
DUMP = 10.0  # seconds that it then has to write the stacks of its threads
BAD_INPUT = 2  # exit code of `dupl` where the user has to mend something


@dataclass(frozen=True)
class Order:
    """One attempt at a job.

    Attributes:
        ticket: Its id.
        ttl: Of its lease, in seconds.
        over: Digest of a stale claim that it may take over.
        parent: Process with which it ends, because nobody would look after it any more; 0 where there is none.
        cores: That it may use; all where empty.
        env: Environment variables for the commands.
        grace: Seconds that a command has to stop when asked to.
        hang: Seconds without a sign of life after which a command is killed.
    """

    ticket: str
    ttl: float = TTL
    over: str = ""
    parent: int = 0
    cores: tuple[int, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    grace: float = 600.0
    hang: float = HANG


@dataclass(frozen=True)
class End:
    """How an attempt ended."""

    outcome: Outcome
    error: str | None = None
    hopeless: bool = False


class Stop:
    """Whether an order is to be stopped: by its stop file, by a signal, or because its parent is gone."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # the last is Slurm's, before the time limit

    def __init__(self, job: Job, order: Order) -> None:
        self.file, self.parent = stop_file(job, order.ticket), order.parent
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether it is."""
        return self.received is not None or self.asked()

    def asked(self) -> bool:
        """Whether by those who gave the order, who will know when to go on."""
        return self.file.exists() or (self.parent != 0 and os.getppid() != self.parent)

    def __enter__(self) -> Stop:
        def note(number: int, _: FrameType | None) -> None:
            self.received = number

        with suppress(ValueError):  # not in the main thread: files alone must do
            for number in self.SIGNALS:
                self.before[number] = signal.signal(number, note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.file.unlink(missing_ok=True)


def stop_file(job: Job, ticket: str) -> Path:
    """The file whose being there asks the holder of a ticket to stop."""
    return Path(job.root) / FOLDER / job.fingerprint / f"{ticket}.stop"


def work(job: Job, order: Order) -> None:
    """Takes the run and brings it as far as it goes; what came of it stands in the claim and in the run's folder.

    It does nothing where somebody else has the run.
    """
    with Stop(job, order) as stop:
        leases = Leases(job.root)
        before = leases.last(job.fingerprint)
        folder = place_of(job, before)
        if stop() or (lease := leases.take(job.fingerprint, order.ticket, folder, order.ttl, order.over)) is None:
            return
        if before is not None and before.held:
            kill_marked(before.ticket)
        end = End("failed", "its worker broke")
        try:
            end = _bring_on(job, order, folder, lease, stop)
        except (OSError, UserError) as error:
            end = End("failed", str(error))
        finally:
            lease.end(end.outcome, end.error, end.hopeless)


def place_of(job: Job, claim: Claim | None) -> Path:
    """The run's folder: that of the last claim, which another plan may have made, if a run is there; or a finished one.

    A claim of a store that was copied or moved names a folder of the old place, which is left alone.
    """
    there = Path(claim.folder) if claim is not None and claim.folder else None
    own = Path(job.folder)
    if there and Run(there).exists() and there.resolve().is_relative_to(Path(job.root).resolve()):
        return own if _trained(own) and not _trained(there) else there
    return own


def _trained(folder: Path) -> bool:
    run = Run(folder)
    with suppress(UserError):
        return run.exists() and run.status.state == "finished"
    return False


def _bring_on(job: Job, order: Order, folder: Path, lease: Lease, stop: Stop) -> End:
    """Carries out the steps that are not done, one after the other."""
    began = iteration_of(folder)
    while (step := job.todo(folder)) is not None:
        before = _bytes(folder / layout.STATUS)
        try:
            code = _execute(step, job, order, folder, lease, stop)
        except Hung as hung:
            _settle(folder, "failed", str(hung))
            return End("failed", str(hung))
        if code is None or not lease.keep():
            return End("interrupted")  # the run is somebody else's now, who may be writing its status
        if code == BAD_INPUT and any(BUSY in line for line in _said(folder)):
            return End("interrupted")  # somebody trains it by hand, which is no failure
        if job.todo(folder) != step:
            continue
        state, error = _what_happened(folder, step, code, spoke=_bytes(folder / layout.STATUS) != before)
        if stop() or state == "interrupted":
            _settle(folder, "interrupted")
            idle = not stop.asked() and iteration_of(folder) <= began
            return End("interrupted", "stopped by a signal before it got any further" if idle else None)
        _settle(folder, "failed", error)
        return End("failed", error, hopeless=code == BAD_INPUT)
    return End("finished")


def _execute(step: Step, job: Job, order: Order, folder: Path, lease: Lease, stop: Stop) -> int | None:
    """Runs one command to its end, its output to the run's log; None where the lease was lost, and it was killed."""
    words = [word.replace(PLACE, str(folder)) for word in step.command]
    env = {**os.environ, **job.env, **order.env, TICKET: order.ticket}
    told = None
    (folder / layout.LOG).parent.mkdir(parents=True, exist_ok=True)
    with open(folder / layout.LOG, "ab") as log, tempfile.NamedTemporaryFile(prefix="dupl-signs-") as signs:
        env[VARIABLE] = signs.name
        watched = [Path(signs.name), *(folder / name for name in (layout.LOG, layout.SCALARS, layout.STATUS))]
        pulse = Pulse(watched, order.hang)
        log.write(utf8(f"== {datetime.now(timezone.utc).isoformat(timespec='seconds')} {shlex.join(words)}\n"))
        log.flush()
        child = subprocess.Popen(
            [*TETHER, *words],
            cwd=job.cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while lease.keep():
                if stop() and told is None:
                    child.terminate()
                    told = lease.clock()
                if told is not None and lease.clock() - told > order.grace:
                    child.kill()
                if pulse.stopped():
                    _dump(order.ticket, folder / layout.LOG)
                    raise Hung(
                        f"no sign of life for {order.hang / 60:.3g} min: killed at iteration {iteration_of(folder)}; "
                        f"{layout.LOG} has the stacks of its threads"
                    )
                with suppress(subprocess.TimeoutExpired):
                    return child.wait(TICK)
            return None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            kill_marked(order.ticket)


class Hung(Exception):
    """A command gave no sign of life for too long."""


class Pulse:
    """Whether a command still gets on: whether one of some files still changes.

    Args:
        files: Which; they need not be there.
        limit: Seconds without a change that are too many; 0 is no limit.
        clock: In seconds.
    """

    def __init__(self, files: Sequence[Path], limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.files, self.limit, self.clock = files, limit, clock
        self.every = min(5.0, limit / 10)
        self.seen, self.looked, self.age = self._look(), clock(), 0.0

    def stopped(self) -> bool:
        """Whether it does not. Time between two looks counts as a little at most, lest a machine that slept kills."""
        now = self.clock()
        if self.limit <= 0 or now - self.looked < self.every:
            return False
        found = self._look()
        self.age = self.age + min(now - self.looked, 4 * self.every) if found == self.seen else 0.0
        self.seen, self.looked = found, now
        return self.age >= self.limit

    def _look(self) -> list[tuple[int, int]]:
        found = []
        for file in self.files:
            with suppress(OSError):
                stat = file.stat()
                found.append((stat.st_mtime_ns, stat.st_size))
        return found


def _dump(ticket: str, log: Path) -> None:
    """Has the processes of an order write the stacks of their threads, as far as they listen to SIGUSR1."""
    with suppress(OSError):
        begun = size = log.stat().st_size
        asked = [pid for pid in marked(ticket) if _catches(pid, signal.SIGUSR1)]
        for pid in asked:
            os.kill(pid, signal.SIGUSR1)
        end, still = time.monotonic() + DUMP, 0
        while asked and time.monotonic() < end and (still < 4 or size == begun):
            time.sleep(TICK)
            before, size = size, log.stat().st_size
            still = still + 1 if before == size else 0


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal, that would end it else."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (number - 1) & 1)
    return False


def marked(ticket: str) -> Iterator[int]:
    """The processes of an order on this host, where /proc tells which they are."""
    mark = f"{TICKET}={ticket}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if ticket and mark in environment.read_bytes().split(b"\0"):
                yield int(environment.parent.name)


def kill_marked(ticket: str) -> None:
    """Kills what is left on this host of the processes of an order."""
    for pid in marked(ticket):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def iteration_of(folder: Path) -> int:
    """Iterations that a run has behind it and would not repeat."""
    run = Run(folder)
    with suppress(CorruptFile):
        return run.status.iteration if run.exists() else 0
    return 0


def _settle(folder: Path, state: str, error: str | None = None) -> None:
    """Says in the status what became of a run whose process could not say so itself."""
    run = Run(folder)
    with suppress(CorruptFile):
        if run.exists() and run.status.state in ("created", "running"):
            run.update(state=state, error=error)


def _bytes(file: Path) -> bytes | None:
    with suppress(OSError):
        return file.read_bytes()
    return None


def _what_happened(folder: Path, step: Step, code: int, spoke: bool) -> tuple[str, str]:
    """The state of a run whose command left its step undone, and why it did, in one line.

    Args:
        folder: Of the run.
        step: What was undone.
        code: The command's.
        spoke: Whether it changed the status, which else is that of an attempt before.
    """
    run, status = Run(folder), None
    with suppress(CorruptFile):
        status = run.status if spoke and run.exists() else None
    state = status.state if status else "created"
    if status and state == "failed" and status.error:
        return state, status.error
    if code == 0:
        lacking = "no finished run" if step.protocol == "train" else f"no {', '.join(step.metrics)} ({step.protocol})"
        return state, f"the command ended without an error, but left {lacking}"
    if code < 0:
        name = signal.Signals(-code).name
        return state, f"killed by {name}" + (": out of memory?" if name == "SIGKILL" else "")
    said = _said(folder)[-1:] or ["nothing said"]
    return state, f"{said[0].removeprefix('dupl: ')} (exit code {code})"


def _said(folder: Path) -> list[str]:
    """The last lines that the last command wrote to the run's log."""
    lines = (folder / layout.LOG).read_text(errors="replace").splitlines()[-50:]
    begun = max((i for i, line in enumerate(lines) if line.startswith("== ")), default=-1)
    return [line.strip() for line in lines[begun + 1 :] if line.strip()]


def encode(job: Job, order: Order) -> str:
    """Job and order as one word of a command line."""
    return json.dumps([asdict(job), asdict(order)])


def main() -> None:
    """``python -m dupl.execute.worker ORDER``."""
    job, order = json.loads(sys.argv[1])
    if order["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order["cores"])
    work(Job.of(job), Order(**order))


if __name__ == "__main__":
    main()
