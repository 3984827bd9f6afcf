"""Carry out one order: run the commands of a job, in whatever process an executor provides.

The worker holds nothing. The training that it starts holds the run (`dupl.lock`); where another process holds it, the
training ends with the exit code of `Held`, and the worker says so.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any

from dupl import process
from dupl.atomic import atomic_write, utf8
from dupl.errors import FULL, FULL_TEXT, DiskError, Held, UserError
from dupl.execute.hang import Hung, Pulse, dump_stacks
from dupl.execute.heartbeat import VARIABLE
from dupl.execute.job import PLACE, TETHER, Job, Step
from dupl.execute.order import End, Order, decode, encode_end, stop_file
from dupl.execute.outcome import COMMAND, iteration_of, settle, what_happened
from dupl.execute.run_folder import take_folder
from dupl.lock import LEASE, MARK, Watch, kill_stalled
from dupl.runs import failures, layout

TICK = 0.25  # seconds between looks at the command and at the wish to stop


class Stop:
    """Whether an order is to be stopped: by its stop file, by a signal, or because its parent is gone."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # the last is Slurm's, before the time limit

    def __init__(self, job: Job, order: Order) -> None:
        self.file, self.parent = stop_file(job, order.ticket), order.parent
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Tell whether it is to be stopped."""
        return self.received is not None or self.asked()

    def asked(self) -> bool:
        """Tell whether those who gave the order want it, who will know when to go on."""
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


def work(job: Job, order: Order) -> End:
    """Bring a run as far as it goes, and return how that ended; the rest stands in the run's folder."""
    with Stop(job, order) as stop:
        if stop():
            return End("interrupted")
        try:
            folder = take_folder(job)
            if order.over and (killed := kill_stalled(folder, order.over)) is not None:
                kill_marked(killed.mark)
            return _bring_on(job, order, folder, stop)
        except OSError as error:
            return End("failed", str(error), lost=error.errno in FULL)
        except UserError as error:
            return End("failed", str(error))


def work_by_text(text: str, answer: str = "") -> str:
    """Carry out an order that was sent as text, as executors of other machines do; see `work`.

    Args:
        text: What `dupl.execute.order.encode` wrote.
        answer: File that the answer is written to as well; "" for none.

    Returns:
        How it ended, as `dupl.execute.order.encode_end` writes it.
    """
    if answer:  # of an attempt before, where Slurm has queued the same job again
        Path(answer).unlink(missing_ok=True)
    end = encode_end(work(*decode(text)))
    if answer:
        atomic_write(answer, end)
    return end


def _bring_on(job: Job, order: Order, folder: Path, stop: Stop) -> End:
    """Carry out the steps that are not done, one after the other."""
    began = iteration_of(folder)
    while (step := job.todo(folder)) is not None:
        before = _bytes(folder / layout.STATUS)
        try:
            code = _execute(step, job, order, folder, stop)
        except Hung as hung:
            settle(folder, "failed", str(hung))
            return End("failed", str(hung))
        if job.todo(folder) != step:
            continue
        if code == Held.code or (code != 0 and Watch()(folder) is not None):  # torchrun has no exit code of ours
            return End("held")
        if not folder.is_dir():
            gone = f"{folder} was moved or removed while its run was at work"
            failures.note(job.root, job.fingerprint, gone)
            return End("failed", gone)
        state, error = what_happened(folder, step, code, spoke=_bytes(folder / layout.STATUS) != before)
        if stop() or state == "interrupted":
            settle(folder, "interrupted")
            idle = not stop.asked() and iteration_of(folder) <= began
            return End("interrupted", "stopped by a signal before it got any further" if idle else None)
        settle(folder, "failed", error)
        failures.note(job.root, job.fingerprint, error)
        return End("failed", error, hopeless=code == UserError.code, lost=code == DiskError.code or FULL_TEXT in error)
    failures.note(job.root, job.fingerprint, None)
    return End("finished")


def _execute(step: Step, job: Job, order: Order, folder: Path, stop: Stop) -> int:
    """Run one command to its end, its output to the run's log, and return its exit code.

    Raises:
        Hung: It gave no heartbeat for too long, and was killed.
    """
    words = [word.replace(PLACE, str(folder)) for word in step.command]
    env = {**process.environment(), **job.env, **order.env, MARK: order.ticket, LEASE: str(order.ttl)}
    told = None
    (folder / layout.LOG).parent.mkdir(parents=True, exist_ok=True)
    with open(folder / layout.LOG, "ab") as log, tempfile.NamedTemporaryFile(prefix="dupl-heartbeat-") as heartbeat:
        env[VARIABLE] = heartbeat.name
        watched = [Path(heartbeat.name), *(folder / name for name in (layout.LOG, layout.SCALARS, layout.STATUS))]
        pulse = Pulse(watched, order.hang)
        log.write(utf8(f"{COMMAND}{datetime.now(timezone.utc).isoformat(timespec='seconds')} {shlex.join(words)}\n"))
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
            while True:
                if stop() and told is None:
                    ask_to_stop(child, order.ticket)
                    told = time.monotonic()
                if told is not None and time.monotonic() - told > order.grace:
                    child.kill()
                if pulse.stopped():
                    dump_stacks(order.ticket, folder / layout.LOG)
                    raise Hung(
                        f"no heartbeat for {order.hang / 60:.3g} min: killed at iteration {iteration_of(folder)}; "
                        f"{layout.LOG} has the stacks of its threads"
                    )
                with suppress(subprocess.TimeoutExpired):
                    return child.wait(TICK)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            kill_marked(order.ticket)


def ask_to_stop(child: subprocess.Popen[bytes], ticket: str) -> None:
    """Ask a command to save and end: the processes of a distributed training themselves, where there are any.

    Their launcher would kill them 30 seconds after a signal of its own, which may be less than an iteration takes.
    """
    ranks = process.ranks(MARK, ticket)
    for pid in ranks:
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    if not ranks:
        child.terminate()


def kill_marked(ticket: str) -> None:
    """Kill what is left on this host of the processes of an order."""
    for pid in process.marked(MARK, ticket):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _bytes(file: Path) -> bytes | None:
    with suppress(OSError):
        return file.read_bytes()
    return None


def main() -> None:
    """Carry out ``python -m dupl.execute.worker ORDER``, and print how it ended."""
    job, order = decode(sys.argv[1])
    if order.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cores)
    print(encode_end(work(job, order)), flush=True)


if __name__ == "__main__":
    main()
