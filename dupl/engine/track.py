"""A run on wandb, beside its files: scalars, tables per class, pictures with label maps, the noise filter's losses."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.visualization import BaseVisBackend
from rich.console import Console

from dupl import cells, recipes
from dupl.data.base import ImageSet
from dupl.engine.checkpoints import FOLDER, newest_valid
from dupl.engine.gallery import watched
from dupl.engine.pictures import choose, look
from dupl.lab.run import Run
from dupl.lab.track import identity, names
from dupl.lab.tracker import Files, Histogram, Picture, Table, Tracker
from dupl.method.dupl import DuPL
from dupl.report.panel import Panel, pane
from dupl.structures import IGNORE, Clock

NOISE = 254  # label of pixels filtered as noise in the pictures' label maps
LOWER = ("loss", "L_", "seconds", "memory_GiB")  # starts of scalars that are better when lower, beside OA
HIGHER = ("mIoU", "mAP", "F1", "precision", "recall", "coverage")  # what is better when higher is called so
PARTS = {"L_dis": "discrepancy", "DTA": "threshold", "ANF": "noise_filter", "L_reg": "consistency"}


def components(model: DuPL) -> list[str]:
    """Names of the components that are on."""
    on = ["DS"] if len(model.students) > 1 else []
    on += [name for name, key in PARTS.items() if not getattr(model, key).null]
    return on + ([] if model.own_view.null else ["Diff. Aug"])


def better(name: str) -> Callable[[float, float], float] | None:
    """What keeps the better of two values of a scalar: max or min; None where neither is better."""
    last = name.rsplit("/", 1)[-1]
    if name.startswith(LOWER) or last == "OA" or last == "disagreement":
        return min
    return max if last.startswith(HIGHER) or last == "filter_precision" else None


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
        source: The images of the pictures.
        mode: "offline" or "online".
        console: For the one warning.
    """

    priority = "VERY_LOW"  # after whatever writes scalars and evaluations

    def __init__(self, run: Run, config: Config, model: DuPL, source: ImageSet, mode: str, console: Console) -> None:
        self.run, self.config, self.model, self.source, self.mode = run, config, model, source, mode
        self.console, self.rows = console, Rows()
        self.tracker: Tracker | None = None
        self.best: dict[str, float] = {}
        self.told = False

    def before_train(self, runner: Any) -> None:
        """Begin, or go on under the same id; the best figures so far are those of the run's files."""
        self._guard(self._begin)

    def _begin(self) -> None:
        status = self.run.status
        called = names(self.run.path.name, status.seed, components(self.model))
        known = identity(self.run.path, status.fingerprint, called.project)
        for row in self.run.scalars():
            self._improve({k: v for k, v in row.items() if isinstance(v, (int, float)) and k != "iter"})
        facts = {"fingerprint": status.fingerprint, "folder": self.run.path.name, "versions": status.versions}
        settings = {
            **known,
            "mode": self.mode,
            "group": called.group,
            "job_type": called.job_type,
            "name": called.name,
            "tags": list(called.tags),
            "config": {**recipes.plain(self.config), "run": {**facts, "dirty": status.dirty}},
            "commit": status.commit,
            "files": [str(self.run.path / name) for name in ("config.py", "status.json", "git.diff")],
            "code": str(Path(recipes.PACKAGE)),
        }
        self.tracker = Tracker(self.run.path, settings, self._tell)
        if self.best:
            self.tracker.summary({f"best/{name}": value for name, value in self.best.items()})
        self.console.print(f"wandb {self.mode}: {known['project']}, {called.name}, id {known['id']}", soft_wrap=True)

    def after_iteration(self, runner: Any) -> None:
        """Send the scalars of this iteration, and what an evaluation left."""
        self._guard(lambda: self._send(runner.iter, runner.max_iters))

    def _send(self, done: int, last: int) -> None:
        if self.tracker is None:
            return
        row: dict[str, Any] = dict(self.rows.take())
        improved = self._improve(row)
        if done % self.config.evaluation.interval == 0 or done == last:
            row |= tables(self.run.path / "evaluation" / f"iter_{done:06d}") | self._pictures(Clock(done - 1, last))
        if row:
            self.tracker.log({"iter": done, **row})
        if improved:
            self.tracker.summary({f"best/{name}": value for name, value in improved.items()})

    def _pictures(self, clock: Clock) -> dict[str, Any]:
        settings = self.config.evaluation
        chosen = choose(self.source, self._setting("pictures", 4))
        with watched(self.model) as losses:
            panels = look(self.model, self.source, chosen, settings.size, settings.cam_threshold, clock)
        found = pictures(panels, self.source.classes)
        students = len(losses) // len(panels) if panels else 0
        if students:
            found |= mixtures(panels, losses, students)
        return found

    def after_train(self, runner: Any) -> None:
        """End."""
        if self._setting("checkpoints", False):
            self._guard(self._keep)
        self.close(0 if runner.iter >= runner.max_iters else 130)

    def _keep(self) -> None:
        newest, _ = newest_valid(self.run.path)
        best = self.run.path / FOLDER / "best.pth"
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

    def _improve(self, row: Mapping[str, float]) -> dict[str, float]:
        improved = {}
        for name, value in row.items():
            choice = better(name)
            if choice is None or (value == 0 and name.startswith("L_")):  # a term that has not started
                continue
            if name not in self.best or choice(self.best[name], value) != self.best[name]:
                improved[name] = self.best[name] = value
        return improved

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._tell(f"wandb: {type(error).__name__}: {error} (training goes on)")

    def _tell(self, what: str) -> None:
        if not self.told:
            self.told = True
            self.console.print(" ".join(what.split()), soft_wrap=True, highlight=False)


def tables(folder: Path) -> dict[str, Table]:
    """The table per class of an evaluation; nothing where there was none."""
    file = folder / "per_class.csv"
    if not file.is_file():
        return {}
    with open(file, newline="") as text:
        columns, *rows = csv.reader(text)
    plain = [[*map(cells.read, row[:2]), *(float(cell) if cell else None for cell in row[2:])] for row in rows]
    return {"classes/table": Table(columns, plain)}


def pictures(panels: Sequence[Panel], classes: Sequence[str]) -> dict[str, list[Picture]]:
    """CAMs, pseudo-labels and predictions per student, as photos with label maps to lay over them."""
    labels = {**dict(enumerate(classes)), NOISE: "filtered as noise", IGNORE: "undecided"}
    found: dict[str, list[Picture]] = {}
    for panel in panels:
        truth = {} if panel.truth is None else {"truth": panel.truth}
        caption = f"{panel.name}: {', '.join(panel.tags)}"
        height, width = panel.image.shape[:2]
        for s in range(len(panel.prediction)):
            cut = panel.cam_labels[s] if panel.cam_labels and s < len(panel.cam_labels) else None
            heat = pane(panel, "CAM", s, (width, height))
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


def mixtures(panels: Sequence[Panel], losses: Sequence[Mapping[str, Any]], students: int) -> dict[str, Any]:
    """The losses that the noise filter judged: a picture with the mixtures (Fig. 4), and each student's histogram.

    Args:
        panels: The images.
        losses: What `watched` found, image by image and student by student.
        students: How many there are.
    """
    from dupl.report.mixture import mixture_picture  # draws by matplotlib

    told = []
    for number, one in enumerate(losses):
        panel, s = panels[number // students], number % students
        told.append((f"{panel.name}, student {s + 1}", {**one, "filtered": 100 * float(panel.noisy[s].mean())}))
    found: dict[str, Any] = {"noise/mixtures": [Picture(mixture_picture(told, students), "losses of labelled pixels")]}
    for s in range(students):
        first = next((one for one in losses[s::students] if one["counts"]), None)
        if first is not None:
            edges = np.linspace(first["low"], first["high"], len(first["counts"]) + 1)
            found[f"noise/{s + 1}/losses"] = Histogram(first["counts"], edges.tolist())
    return found
