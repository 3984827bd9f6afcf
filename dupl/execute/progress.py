"""How a job stands, as a scheduler sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dupl.execute.eta import iteration_now
from dupl.execute.job import Job
from dupl.execute.order import End
from dupl.runs.stored_run import StoredRun

JobState = Literal["waiting", "queued", "running", "elsewhere", "finished", "failed", "interrupted"]
SETTLED = ("finished", "failed", "interrupted")


@dataclass
class Progress:
    """How a job stands.

    Attributes:
        job: Which.
        state: waiting (to be started by this scheduler), queued (ordered, not begun), running (by this scheduler's
            order), elsewhere (by another scheduler's order, or started by hand), finished, failed (more often than it
            may), or interrupted (by the scheduler's end).
        folder: Of the run.
        ends: How attempts ended since the scheduler began, this one's and the failures of others.
        where: Who else is at work on it, or what it waits for, in words.
        begun: Whether anything had to be done since the scheduler began.
        run: As last read; None before it is created.
        over: Note of a holder that was found standing still; "" where none was.
        pause: When it may be ordered again, by the scheduler's clock.
        lost: Since when attempts were lost to the machine, by the scheduler's clock; None where the last one was not.
        failure: When the last failure that is known ended, by the status.
    """

    job: Job
    state: JobState = "waiting"
    folder: Path = Path()
    ends: list[End] = field(default_factory=list)
    where: str = ""
    begun: bool = False
    run: StoredRun | None = None
    over: str = ""
    pause: float = 0.0
    lost: float | None = None
    failure: str | None = None

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
        """Where another process executes the run, or why the last attempt failed; "" where there is nothing to say."""
        if self.state in ("elsewhere", "queued", "waiting") and self.where:
            return self.where
        failed = self.state != "finished" and self.errors
        return f"attempt {len(self.errors)} failed: {self.errors[-1]}" if failed else ""

    @property
    def errors(self) -> list[str]:
        """Why attempts failed, also those that were lost to the machine."""
        return [end.error for end in self.ends if end.error]

    @property
    def failures(self) -> int:
        """How many attempts failed by a fault of the run."""
        return sum(bool(end.error) and not end.lost for end in self.ends)

    @property
    def hopeless(self) -> bool:
        """Whether another attempt would fail in the same way."""
        return any(end.hopeless for end in self.ends)
