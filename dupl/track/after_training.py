"""Log to wandb or trackio after training: evaluations of a run, the table of a plan. A failure is only a warning."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.runs import layout
from dupl.runs.process import at_work
from dupl.runs.run import Run
from dupl.runs.status import written_at
from dupl.track.choice import PROJECT, RunNames, TrackingChoice, choose, identity, names
from dupl.track.records import TrackedTable
from dupl.track.run_files import evaluation_row, settings, summary
from dupl.track.wandb_like import TRACKIO, of_mode
from dupl.track.wandb_process import Tracker

if TYPE_CHECKING:
    from pandas import DataFrame


def choose_later(flag: str | None, folder: Path, environ: Mapping[str, str] = os.environ) -> TrackingChoice:
    """Choose the mode for logging after training: as `choose`, but off for an untracked run without a flag.

    Args:
        flag: Of the command line; None where it was not given.
        folder: Of the run.
        environ: The environment.

    Raises:
        UserError: As `choose`.
    """
    if flag is None and (folder / layout.TRACKIO).is_file() and not (folder / layout.TRACKER).is_file():
        return choose(TRACKIO.name, environ)
    if flag is None and not (folder / layout.TRACKER).is_file():
        return TrackingChoice("off", "the run was not tracked")
    return choose(flag, environ)


def log_evaluations(run: Run, folders: Sequence[Path], mode: str, warn: Callable[[str], None]) -> None:
    """Log evaluations to the tracked run of their run, at the iteration of their weights.

    The summary of the run is sent again, so that this record is complete by itself.

    Args:
        run: Which was evaluated; a run that is training is skipped.
        folders: What ``dupl eval`` wrote.
        mode: "off", "offline", "online" or "trackio".
        warn: Receives the one warning.
    """
    if mode == "off":
        return
    try:
        status = run.status
        if status.state == "running" and at_work(status, written_at(run.path)) is not False:
            return warn(f"{of_mode(mode).name}: the run is still at work: its evaluation is not logged")
        known = settings(run, names(run.path.name, status.seed, ()), mode)
        rows = [evaluation_row(folder) for folder in folders]
        tracker = Tracker(run.path, known, warn, "the evaluation is written")
        for row in rows:
            tracker.log(row)
        tracker.summary(summary(run.scalars()))
        tracker.close(0 if status.state == "finished" else 1)
    except Exception as error:
        warn(f"{of_mode(mode).name}: {type(error).__name__}: {error} (the evaluation is written)")


def log_table(
    frame: DataFrame,
    plan: str,
    folder: Path,
    mode: str,
    warn: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Log the table of a plan to a tracker, as a run of job type "table" in the plan's group.

    A further call for the same folder resumes that run.

    Args:
        frame: The table; its index is left out.
        plan: Name of the plan.
        folder: Where the run keeps its log and its id.
        mode: "off", "offline", "online" or "trackio", as `dupl.track.choice.choose` says.
        warn: Receives the one warning.
        environ: The environment.
    """
    if mode == "off":
        return
    stem = re.sub("[^A-Za-z0-9_.-]+", "-", plan)
    called = RunNames(environ.get("WANDB_PROJECT") or PROJECT, plan, "table", f"{plan}, table", ())
    try:
        known = identity(folder, f"{stem}-table", called, of_mode(mode).record)
        tracker = Tracker(folder, {**known, "mode": mode}, warn, "the table is in dupl report")
        plain = frame.astype(object).where(frame.notna(), None)
        tracker.log({"table": TrackedTable([str(c) for c in frame.columns], plain.to_numpy().tolist())})
        tracker.close()
    except Exception as error:
        warn(f"{of_mode(mode).name}: the table was not logged: {type(error).__name__}: {error}")
