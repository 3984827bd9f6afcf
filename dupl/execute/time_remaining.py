"""The time remaining of all runs of a plan, while they run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from dupl.execute.eta import Course, Observed
from dupl.execute.progress import Progress

EVERY = 5.0  # seconds between two estimates
ORDER = ("running", "queued", "elsewhere", "failed", "interrupted", "waiting", "finished")  # as they are shown


class TimeRemaining:
    """Estimate the time that runs will still take, anew every few seconds.

    Args:
        courses: What each run has to go through, by fingerprint.
        slots: Runs at once.
        clock: In seconds.

    Attributes:
        eta: Seconds remaining by fingerprint; None where they are not known.
    """

    def __init__(self, courses: Mapping[str, Course], slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.courses, self.slots, self.clock = courses, slots, clock
        self.eta: dict[str, float | None] = {}
        self.made = float("-inf")

    def update(self, progress: Sequence[Progress]) -> None:
        """Estimate anew, if the last estimates are old."""
        if self.clock() - self.made > EVERY:
            self.made = self.clock()
            observed = Observed.of(p.run for p in progress if p.run is not None and p.begun)
            self.eta = {p.job.fingerprint: self._seconds(p, observed) for p in progress if not p.settled}

    def _seconds(self, p: Progress, observed: Observed) -> float | None:
        course = self.courses.get(p.job.fingerprint)
        return course.seconds(p.job, p.folder, p.run, observed) if course is not None else None

    @staticmethod
    def ordered(progress: Sequence[Progress]) -> list[Progress]:
        """Return runs in the order in which they are shown: first what runs, last what is finished."""
        return sorted(progress, key=lambda p: ORDER.index(p.state))

    def of(self, p: Progress) -> str:
        """Return the time remaining of a run as text; "" where it has ended or nothing is known."""
        seconds = self.eta.get(p.job.fingerprint)
        return clock(seconds) if seconds is not None and not p.settled else ""

    def summary(self, progress: Sequence[Progress]) -> str:
        """Return one line on all runs: how many are in which state, and when all are done.

        The time is that of the work shared out over the slots, and never below that of the longest run.
        """
        counts = Counter[str](p.state for p in progress)
        parts = [f"{counts['finished']}/{len(progress)} finished"]
        parts += [f"{counts[state]} {state}" for state in ORDER if counts[state] and state != "finished"]
        times = [self.eta.get(p.job.fingerprint) for p in progress if not p.settled]
        if known := [seconds for seconds in times if seconds is not None]:
            least = "" if len(known) == len(times) else "at least "
            parts.append(f"eta {least}{clock(max(max(known), sum(known) / min(self.slots, len(times))))}")
        elif times:
            parts.append("eta unknown")
        return ", ".join(parts)


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss, with days where there are any."""
    return str(timedelta(seconds=round(seconds)))
