"""A run on wandb, beside its files: scalars, tables per class, pictures with label maps, the noise filter's losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.visualization import BaseVisBackend
from rich.console import Console

from dupl.config.slots import switches
from dupl.engine.checkpoints import newest_valid
from dupl.engine.training.gallery import Viewer
from dupl.method.base import Method
from dupl.report.figures.image_row import ImageRow, row_picture
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.structures import IGNORE
from dupl.track.choice import names
from dupl.track.run_files import class_table, improve, named_best, settings
from dupl.track.wandb_process import Files, Histogram, Picture, Tracker

NOISE = 254  # label of pixels filtered as noise in the pictures' label maps


class Rows(BaseVisBackend):
    """A backend of mmengine's visualizer that gathers the scalars of an iteration into one row."""

    def __init__(self) -> None:
        self.row: dict[str, float] = {}

    experiment = None

    def _init_env(self) -> None:
        """There is nothing to set up."""

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: Any) -> None:
        """Take scalars along; NaN and infinities are left out."""
        self.row.update({k: float(v) for k, v in scalar_dict.items() if math.isfinite(float(v))})

    def take(self) -> dict[str, float]:
        """What came since the last time."""
        row, self.row = self.row, {}
        return row


class TrackHook(Hook):
    """Keeps a wandb run beside training. Whatever fails here is told once, and training goes on.

    Args:
        run: The run's folder.
        config: Its resolved recipe.
        model: At work.
        viewer: Of the images of the pictures.
        mode: "offline" or "online".
        console: For the one warning.
    """

    priority = "VERY_LOW"  # after whatever writes scalars and evaluations

    def __init__(self, run: Run, config: Config, model: Method, viewer: Viewer, mode: str, console: Console) -> None:
        self.run, self.config, self.model, self.viewer, self.mode = run, config, model, viewer, mode
        self.console, self.rows = console, Rows()
        self.tracker: Tracker | None = None
        self.best: dict[str, float] = {}
        self.told = False

    def before_train(self, runner: Any) -> None:
        """Begin, or go on under the same id; the best figures so far are those of the run's files."""
        self._guard(self._begin)

    def _begin(self) -> None:
        for row in self.run.scalars():
            improve(self.best, row)
        switched_on = [part.slot.mark for part in switches(self.config.model) if part.on]
        called = names(self.run.path.name, self.run.status.seed, switched_on)
        known = settings(self.run, called, self.mode)
        self.tracker = Tracker(self.run.path, known, self._tell)
        if self.best:
            self.tracker.summary(named_best(self.best))
        told = f"wandb {self.mode}: {known['project']}, {known['name']}, id {known['id']}"
        self.console.print(told, soft_wrap=True, markup=False)

    def after_iteration(self, runner: Any) -> None:
        """Send the scalars of this iteration, and what an evaluation left."""
        self._guard(lambda: self._send(runner.iter, runner.max_iters))

    def _send(self, done: int, last: int) -> None:
        if self.tracker is None:
            return
        row: dict[str, Any] = dict(self.rows.take())
        improved = improve(self.best, row)
        if done % self.config.evaluation.interval == 0 or done == last:
            table = class_table(self.run.path / layout.evaluation(done))
            row |= {} if table is None else {"classes/table": table}
            row |= self._pictures(done, last)
        if row:
            self.tracker.log({"iter": done, **row})
        if improved:
            self.tracker.summary(named_best(improved))

    def _pictures(self, done: int, last: int) -> dict[str, Any]:
        panels, losses = self.viewer.look(self._setting("pictures", 4), done, last)
        found = pictures(panels, self.viewer.source.classes)
        return found | mixtures(panels, losses) if any(losses) else found

    def after_train(self, runner: Any) -> None:
        """End."""
        if self._setting("checkpoints", False):
            self._guard(self._keep)
        self.close(0 if runner.iter >= runner.max_iters else 130)

    def _keep(self) -> None:
        newest, _ = newest_valid(self.run.path)
        best = self.run.path / layout.BEST
        name = f"weights-{self.run.status.fingerprint}"
        for path, alias in ((newest, "last"), (best, "best")):
            if self.tracker is not None and path is not None and path.is_file():
                self.tracker.keep(Files(name, "model", [str(path)], [alias]))

    def close(self, exit_code: int) -> None:
        """End with an exit code; again is nothing."""
        tracker, self.tracker = self.tracker, None
        if tracker is not None:
            tracker.close(exit_code)

    def _setting(self, name: str, default: Any) -> Any:
        return self.config.runtime.get("track", {}).get(name, default)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._tell(f"wandb: {type(error).__name__}: {error} (training goes on)")

    def _tell(self, what: str) -> None:
        if not self.told:
            self.told = True
            self.console.print(" ".join(what.split()), soft_wrap=True, highlight=False)


def pictures(panels: Sequence[ImageRow], classes: Sequence[str]) -> dict[str, list[Picture]]:
    """CAMs, pseudo-labels and predictions per student, as photos with label maps to lay over them."""
    labels = {**dict(enumerate(classes)), NOISE: "filtered as noise", IGNORE: "undecided"}
    found: dict[str, list[Picture]] = {}
    for panel in panels:
        truth = {} if panel.truth is None else {"truth": panel.truth}
        caption = f"{panel.name}: {', '.join(panel.tags)}"
        height, width = panel.image.shape[:2]
        for s in range(len(panel.prediction)):
            cut = panel.cam_labels[s] if panel.cam_labels and s < len(panel.cam_labels) else None
            heat = row_picture(panel, "CAM", s, (width, height))
            if heat is not None:
                cam = Picture(heat, caption, truth if cut is None else {"CAM": cut, **truth}, labels)
                found.setdefault(f"pictures/cam/{s + 1}", []).append(cam)
            if s < len(panel.pseudo):
                made = np.where(panel.noisy[s], np.uint8(NOISE), panel.pseudo[s]) if panel.noisy else panel.pseudo[s]
                label = Picture(panel.image, caption, {"pseudo-label": made, **truth}, labels)
                found.setdefault(f"pictures/label/{s + 1}", []).append(label)
            predicted = Picture(panel.image, caption, {"prediction": panel.prediction[s], **truth}, labels)
            found.setdefault(f"pictures/prediction/{s + 1}", []).append(predicted)
    return found


def mixtures(panels: Sequence[ImageRow], losses: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The losses that the noise filter judged: a picture with the mixtures (Fig. 4), and each student's histogram.

    Args:
        panels: The images.
        losses: Of each image, what was found of each student; see `Viewer.look`.
    """
    from dupl.report.figures.noise_mixture import mixture_picture  # draws by matplotlib

    told, found = [], dict[str, Any]()
    for panel, of_image in zip(panels, losses, strict=True):
        for s, one in enumerate(of_image):
            told.append((f"{panel.name}, student {s + 1}", one))
            if one["counts"] and f"noise/{s + 1}/losses" not in found:  # of the first image that has any
                edges = np.linspace(one["low"], one["high"], len(one["counts"]) + 1)
                found[f"noise/{s + 1}/losses"] = Histogram(one["counts"], edges.tolist())
    drawn = mixture_picture(told, max(map(len, losses)))
    return {"noise/mixtures": [Picture(drawn, "losses of labelled pixels")], **found}
