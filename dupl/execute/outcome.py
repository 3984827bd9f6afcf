"""What became of a run whose command ended before its step was done."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

from dupl.execute.job import Step
from dupl.runs import layout
from dupl.runs.files import CorruptFile
from dupl.runs.run import Run

COMMAND = "== "  # begins the line of a run's log that names a command


def what_happened(folder: Path, step: Step, code: int, spoke: bool) -> tuple[str, str]:
    """Return the state of a run whose command left its step undone, and the reason, in one line.

    Args:
        folder: Of the run.
        step: What was left undone.
        code: The command's exit code.
        spoke: Whether the command changed the status; otherwise the status is that of an earlier attempt.
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
    said = last_words(folder)[-1:] or ["nothing said"]
    return state, f"{said[0].removeprefix('dupl: ')} (exit code {code})"


def last_words(folder: Path) -> list[str]:
    """Return the last lines that the last command wrote to the run's log."""
    lines = (folder / layout.LOG).read_text(errors="replace").splitlines()[-50:]
    begun = max((i for i, line in enumerate(lines) if line.startswith(COMMAND)), default=-1)
    return [line.strip() for line in lines[begun + 1 :] if line.strip()]


def settle(folder: Path, state: str, error: str | None = None) -> None:
    """Write into the status what became of a run whose process could not do so itself."""
    run = Run(folder)
    with suppress(CorruptFile):
        if run.exists() and run.status.state in ("created", "running"):
            run.update(state=state, error=error)


def iteration_of(folder: Path) -> int:
    """Return how many iterations of a run are saved, which it would not repeat."""
    run = Run(folder)
    with suppress(CorruptFile):
        return run.status.iteration if run.exists() else 0
    return 0
