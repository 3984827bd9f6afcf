"""Ask Slurm in which state jobs are, by ``squeue``, which needs no accounting."""

from __future__ import annotations

import getpass
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

EVERY = 5.0  # seconds between two questions
PATIENCE = 15.0  # seconds for an answer
# Of a job that is not over; squeue lists the others for a while, and then forgets them.
LIVE = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING"}
LIVE |= {"RESV_DEL_HOLD", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED"}
ORDINARY = ("", "None", "Priority", "Resources", "BeginTime", "Prolog")  # why a job waits, where that needs no word


@dataclass(frozen=True)
class Entry:
    """A job in the queue.

    Attributes:
        state: In Slurm's words, such as "PENDING".
        reason: Why it waits, or ended.
    """

    state: str
    reason: str

    @property
    def live(self) -> bool:
        """Whether the job is not over."""
        return self.state in LIVE


GONE = Entry("GONE", "")  # of a job that Slurm does not list any more


class Queue:
    """The jobs of this user, asked for at most every few seconds; while Slurm does not answer, as they were.

    Args:
        ask: Runs a command and returns what it printed.
        clock: In seconds.
        every: Seconds between two questions.

    Attributes:
        away: What Slurm said instead of an answer; "" where it answered.
    """

    def __init__(
        self,
        ask: Callable[[list[str]], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        every: float = EVERY,
    ) -> None:
        self.ask, self.clock, self.every = ask or output_of, clock, every
        self.known: dict[str, Entry] = {}
        self.asked = float("-inf")
        self.away = ""

    def entry(self, job: str) -> Entry | None:
        """Return a job as it stands; None where Slurm has not said anything of it yet."""
        if self.clock() - self.asked >= self.every:
            self._look()
        return self.known.get(job)

    def submitted(self, job: str) -> None:
        """Note a job that was taken, which the next answer may not have yet."""
        self.known[job] = Entry("PENDING", "")
        self.asked = self.clock()

    def cancel(self, job: str) -> None:
        """Cancel a job; without effect while Slurm does not answer."""
        if self.away and self.clock() - self.asked < PATIENCE:
            return
        try:
            self.ask(["scancel", job])
        except (OSError, subprocess.SubprocessError) as error:
            self.away, self.asked = said_by(error), self.clock()

    def _look(self) -> None:
        try:
            lines = self.ask(["squeue", "--noheader", "--user", getpass.getuser(), "--states=all", "--format=%i|%T|%r"])
            self.away = ""
        except (OSError, subprocess.SubprocessError) as error:
            self.away = said_by(error)
        else:
            now = {}
            for line in lines.splitlines():
                job, _, rest = line.strip().partition("|")
                state, _, reason = rest.partition("|")
                now[job] = Entry(state, reason)
            ended = {job: entry if not entry.live else GONE for job, entry in self.known.items() if job not in now}
            self.known = ended | now
        self.asked = self.clock()


def output_of(command: list[str]) -> str:
    """Return what a command of Slurm prints.

    Raises:
        OSError: There is no such command.
        SubprocessError: It failed, or took too long.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return done.stdout


def said_by(error: Exception) -> str:
    """Return the last line that a failed command printed."""
    text = getattr(error, "stderr", None) or str(error)
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
