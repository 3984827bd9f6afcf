"""The hook that shows the progress of training."""

from __future__ import annotations

import time
from typing import Any

from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dupl.engine.training.scalar_hook import ScalarHook

SHOWN = ("loss", "L_cls", "L_ptc", "L_ctc", "L_dis", "L_seg", "L_reg", "L_l2c", "L_abs", "L_energy", "tau_h")
SHARES = {"pixels/supervised": "sup", "pixels/filtered": "noise", "pixels/undecided": "undecided"}


class ProgressHook(Hook):
    """Show a progress bar on a terminal, and one line per logging interval elsewhere.

    Args:
        scalars: The hook whose latest row is shown.
        console: The console to write to.
    """

    priority = "LOW"

    def __init__(self, scalars: ScalarHook, console: Console) -> None:
        self.scalars, self.console = scalars, console
        self.bar: Progress | None = None
        self.begun = (0, 0.0)

    def before_train(self, runner: Any) -> None:
        """Start the bar at the iteration that training starts from."""
        self.begun = (runner.iter, time.monotonic())
        if runner.rank == 0 and self.console.is_terminal:
            columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), "eta", TimeRemainingColumn())
            self.bar = Progress("train", *columns, TextColumn("{task.fields[figures]}"), console=self.console)
            self.bar.add_task("train", total=runner.max_iters, completed=runner.iter, figures="")
            self.bar.start()

    def after_iteration(self, runner: Any) -> None:
        """Update the bar, or print a line at the end of an interval."""
        if runner.rank != 0:
            return
        done = runner.iter
        logged = done % self.scalars.interval == 0 or done == runner.max_iters
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done, figures=figures(self.scalars.last))
        elif logged:
            spent = time.monotonic() - self.begun[1]
            left = spent / max(done - self.begun[0], 1) * (runner.max_iters - done)
            self.console.print(
                f"{done}/{runner.max_iters}  eta {clock(left)}  {figures(self.scalars.last)}", soft_wrap=True
            )

    def after_train(self, runner: Any) -> None:
        """Stop the bar."""
        self.close()

    def close(self) -> None:
        """Remove the bar from the terminal; a second call does nothing."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def figures(scalars: dict[str, float]) -> str:
    """Format the most important scalars on one line, without loss terms that have not started."""
    parts = [f"{n} {scalars[n]:.3f}" for n in SHOWN if scalars.get(n, 0.0) != 0.0]
    parts += [f"{label} {100 * scalars[n]:.0f}%" for n, label in SHARES.items() if n in scalars]
    if "seconds" in scalars:
        parts.append(f"{scalars['seconds']:.2f} s/it")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Format seconds as h:mm:ss."""
    minutes, s = divmod(round(seconds), 60)
    h, m = divmod(minutes, 60)
    return f"{h}:{m:02d}:{s:02d}"
