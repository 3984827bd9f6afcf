"""The hook that writes a run of wandb or trackio beside training: scalars, tables per class, pictures, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.visualization import BaseVisBackend
from rich.console import Console

from dupl.config.slots import switches
from dupl.engine.checkpoints import newest_valid
from dupl.engine.training.tracked_pictures import mixtures, pictures, sheet
from dupl.engine.training.viewer import Viewer
from dupl.method.base import Method
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.track.choice import names
from dupl.track.position import read_position
from dupl.track.records import Files
from dupl.track.run_files import class_history, class_table, improve, named_best, settings
from dupl.track.wandb_like import of_mode
from dupl.track.wandb_process import Tracker


class RowBackend(BaseVisBackend):
    """A backend of mmengine's visualizer that collects the scalars of an iteration in one row."""

    def __init__(self) -> None:
        self.row: dict[str, float] = {}

    experiment = None

    def _init_env(self) -> None:
        """Set up nothing."""

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: Any) -> None:
        """Add scalars to the row, without NaN and infinities."""
        self.row.update({k: float(v) for k, v in scalar_dict.items() if math.isfinite(float(v))})

    def take(self) -> dict[str, float]:
        """Return the row, and start a new one."""
        row, self.row = self.row, {}
        return row


class TrackHook(Hook):
    """Write a run of wandb or trackio beside training. An error in it is printed once, and training continues.

    Args:
        run: The run's folder.
        config: The resolved recipe.
        model: The model in training.
        viewer: Views the images of the pictures.
        mode: "offline", "online" or "trackio", which is recorded as an offline run is.
        console: Console for one warning.
    """

    priority = "VERY_LOW"  # after whatever writes scalars and evaluations

    def __init__(self, run: Run, config: Config, model: Method, viewer: Viewer, mode: str, console: Console) -> None:
        self.run, self.config, self.model, self.viewer, self.mode = run, config, model, viewer, mode
        self.console, self.rows = console, RowBackend()
        self.tracker: Tracker | None = None
        self.best: dict[str, float] = {}
        self.warned, self.sent = False, 0

    def before_train(self, runner: Any) -> None:
        """Start the tracked run, or resume it under the same id, with the best values in the run's files."""
        self._guard(self._begin)

    def _begin(self) -> None:
        for row in self.run.scalars():
            improve(self.best, row)
        switched_on = [part.slot.mark for part in switches(self.config.model) if part.on]
        called = names(self.run.path.name, self.run.status.seed, switched_on)
        known = settings(self.run, called, self.mode)
        self.sent = read_position(self.run.path, self.run.status.iteration, of_mode(self.mode).name).iteration
        self.tracker = Tracker(self.run.path, known, self._warn)
        if self.best:
            self.tracker.summary(named_best(self.best))
        line = f"{self._named()}: {known['project']}, {known['name']}, id {known['id']}"
        self.console.print(line, soft_wrap=True, markup=False)

    def after_checkpoint(self, runner: Any) -> None:
        """Send the scalars of this iteration, and the table and pictures of an evaluation."""
        self._guard(lambda: self._send(runner.iter, runner.max_iters))

    def _send(self, done: int, last: int) -> None:
        if self.tracker is None:
            return
        row: dict[str, Any] = dict(self.rows.take())
        improved = improve(self.best, row)
        if done <= self.sent:  # before the interruption
            return
        if done % self.config.evaluation.interval == 0 or done == last:
            row |= self._table(done, last) | self._pictures(done, last)
        if row:
            self.tracker.log_iteration({"iter": done, **row})
        if improved:
            self.tracker.summary(named_best(improved))

    def _table(self, done: int, last: int) -> dict[str, Any]:
        """Return the table per class: of this evaluation where online, else of all of them at the last iteration."""
        if self.mode != "online":
            table = class_history(self.run.path) if done == last else None
        else:
            table = class_table(self.run.path / layout.evaluation(done))
        return {} if table is None else {"classes/table": table}

    def _pictures(self, done: int, last: int) -> dict[str, Any]:
        """Return pictures with label maps to overlay, many files; unless online one sheet of them all."""
        rows, losses = self.viewer.view(self._setting("pictures", 4), done, last)
        classes = self.viewer.source.classes
        if self.mode != "online":
            return sheet(rows, losses, classes, f"{self.run.path.name}, iteration {done}")
        found = pictures(rows, classes)
        return found | mixtures(rows, losses) if any(losses) else found

    def after_train(self, runner: Any) -> None:
        """Upload the checkpoints if asked to, and end the tracked run."""
        if self._setting("checkpoints", False):
            self._guard(self._send_checkpoints)
        self.close(0 if runner.iter >= runner.max_iters else 130)

    def _send_checkpoints(self) -> None:
        newest, _ = newest_valid(self.run.path)
        best = self.run.path / layout.BEST
        name = f"weights-{self.run.status.fingerprint}"
        for path, alias in ((newest, "last"), (best, "best")):
            if self.tracker is not None and path is not None and path.is_file():
                self.tracker.keep(Files(name, "model", [str(path)], [alias]))

    def close(self, exit_code: int) -> None:
        """End the tracked run with an exit code; a second call does nothing."""
        tracker, self.tracker = self.tracker, None
        if tracker is not None:
            tracker.close(exit_code)

    def _named(self) -> str:
        """Return the tracker with its mode, as a person reads it."""
        return "wandb " + self.mode if of_mode(self.mode).name == "wandb" else self.mode

    def _setting(self, name: str, default: Any) -> Any:
        return self.config.runtime.get("track", {}).get(name, default)

    def _guard(self, work: Callable[[], None]) -> None:
        """Do some work; turn any error into the one warning."""
        try:
            work()
        except Exception as error:
            self._warn(f"{of_mode(self.mode).name}: {type(error).__name__}: {error} (training goes on)")

    def _warn(self, what: str) -> None:
        """Print the first warning, and no other."""
        if not self.warned:
            self.warned = True
            self.console.print(" ".join(what.split()), soft_wrap=True, highlight=False)
