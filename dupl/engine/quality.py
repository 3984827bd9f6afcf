"""Quality of pseudo-labels over training, for analysis: it reads masks of the training set and influences nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from numpy.typing import NDArray
from torch import Tensor

from dupl.data.base import ImageSet
from dupl.data.views import EvalView
from dupl.engine.metrics import ClassTable, Counts, confusion
from dupl.errors import UserError
from dupl.lab.run import Run
from dupl.method.cam import Present
from dupl.method.dupl import DuPL
from dupl.report.curves import curve
from dupl.structures import IGNORE, Clock

WORDS = {
    "coverage": "pixels with a label, after the noise filter (%)",
    "precision": "precision of foreground labels (%)",
    "recall": "recall of foreground labels (%)",
    "OA": "over-activation of labels, FP / (TP + FP) (%)",
    "filter_precision": "filtered pixels whose label was wrong (%)",
    "disagreement": "pixels labelled by both students, but differently (%)",
}


@dataclass
class LabelCounts:
    """Counts of one student's pseudo-labels against the truth, over pixels whose truth is not void.

    Attributes:
        classes: With background.
        matrix: Confusion (truth, label) of the labels that teach: decided, and not filtered as noise.
        truth: Pixels by class, labelled or not, (classes,).
        filtered: Pixels that the noise filter took out: all, and those whose label was wrong, (2,).
    """

    classes: int
    matrix: Counts = field(init=False)
    truth: Counts = field(init=False)
    filtered: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.matrix = np.zeros((self.classes, self.classes), np.int64)
        self.truth, self.filtered = np.zeros(self.classes, np.int64), np.zeros(2, np.int64)

    def add(self, truth: NDArray[np.uint8], label: NDArray[np.uint8], noisy: NDArray[np.bool_]) -> None:
        """Count one image: truth, pseudo-label (255: undecided) and what the filter took out, all (H, W)."""
        valid = truth != IGNORE
        self.truth += np.bincount(truth[valid], minlength=self.classes)
        out = valid & noisy
        self.filtered += [out.sum(), (out & (label != truth)).sum()]
        taught = valid & ~noisy & (label != IGNORE)
        self.matrix += confusion(truth[taught], label[taught], self.classes)

    def metrics(self) -> dict[str, float]:
        """In percent; precision, recall and OA are means over foreground classes. NaN where there is nothing."""
        table, hits = ClassTable.of(self.matrix), np.diag(self.matrix).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "coverage": 100 * float(np.float64(self.matrix.sum()) / self.truth.sum()),
                "precision": _mean(table.precision[1:]),
                "recall": _mean(100 * hits[1:] / self.truth[1:]),
                "OA": _mean(table.oa_rate[1:]),
                "filter_precision": 100 * float(np.float64(self.filtered[1]) / self.filtered[0]),
            }

    def rows(self) -> list[tuple[int, float, float, float]]:
        """Class, precision, recall and OA in percent, of every class."""
        table = ClassTable.of(self.matrix)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = 100 * np.diag(self.matrix) / self.truth
        columns = (table.precision, recall, table.oa_rate)
        return [(c, *(float(column[c]) for column in columns)) for c in range(self.classes)]  # type: ignore[misc]


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


@dataclass
class Quality:
    """Counts of all students.

    Attributes:
        students: By student; empty where no pseudo-labels are made yet.
        shared: Pixels labelled by the first two students: all, and those labelled differently, (2,).
    """

    students: list[LabelCounts]
    shared: Counts

    def merge(self, other: Quality) -> None:
        """Add another process's counts."""
        for mine, theirs in zip(self.students, other.students, strict=False):
            mine.matrix += theirs.matrix
            mine.truth += theirs.truth
            mine.filtered += theirs.filtered
        self.students += other.students[len(self.students) :]
        self.shared = self.shared + other.shared

    def metrics(self) -> dict[str, float]:
        """By name: ``quality/1/coverage``, ..., ``quality/disagreement``; nothing before there are pseudo-labels."""
        named = {f"quality/{s}/{k}": v for s, one in enumerate(self.students, 1) for k, v in one.metrics().items()}
        if len(self.students) > 1:
            named["quality/disagreement"] = 100 * self.shared[1] / self.shared[0] if self.shared[0] else float("nan")
        return named


@torch.no_grad()
def judge(model: DuPL, source: ImageSet, indices: Sequence[int], size: int, clock: Clock) -> Quality:
    """Make pseudo-labels of whole images, squashed to a square, as the training step at ``clock`` does; count.

    Args:
        model: In any mode; it is left in the mode it was in.
        source: The training set; images without a mask are passed over.
        indices: Which images.
        size: Side of the square.
        clock: Decides thresholds and which components act.
    """
    view, device, training = EvalView(source, size), next(model.parameters()).device, model.training
    model.eval()
    found = Quality([], np.zeros(2, np.int64))
    for i in indices:
        sample = view[i]
        if sample["mask"] is None:
            continue
        truth, tags = sample["mask"].numpy(), sample["tags"][None]
        box = torch.tensor([[0, size, 0, size]], device=device)
        image, present = sample["image"][None].to(device), Present.of(tags).to(device)
        _, labels, noisy, _ = model.inspect(image, tags.to(device), present, box, clock)
        maps = [(_at(truth, y.y), _at(truth, n).astype(bool)) for y, n in zip(labels, noisy, strict=False)]
        found.students += [LabelCounts(len(source.classes)) for _ in maps[len(found.students) :]]
        for counts, (label, out) in zip(found.students, maps, strict=True):
            counts.add(truth, label, out)
        if len(maps) > 1:
            one, other = (np.where(out, IGNORE, label) for label, out in maps[:2])
            both = (truth != IGNORE) & (one != IGNORE) & (other != IGNORE)
            found.shared += [both.sum(), (one != other)[both].sum()]
    model.train(training)
    return found


def _at(truth: NDArray[np.uint8], labels: Tensor) -> NDArray[np.uint8]:
    """Labels (1, h, w) at the size of the truth."""
    return F.interpolate(labels[:, None].float(), size=truth.shape)[0, 0].to(torch.uint8).cpu().numpy()


def spread(count: int, size: int) -> list[int]:
    """Positions of ``count`` images spread evenly over ``size``."""
    return sorted(set(np.linspace(0, size - 1, min(count, size)).round().astype(int).tolist()))


class QualityHook(Hook):
    """Judges pseudo-labels whenever there is an evaluation: ``quality/...`` in scalars.jsonl, and a CSV per class.

    Args:
        run: The run's folder.
        interval: In iterations.
        work: Judges at a clock; called in every process, its result is used in the first.
        classes: Names, background first.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, run: Run, interval: int, work: Callable[[Clock], Quality], classes: Sequence[str]) -> None:
        self.run, self.interval, self.work, self.classes = run, interval, work, classes

    def after_iteration(self, runner: Any) -> None:
        """Judge where it is time, at the clock of the iteration just done."""
        done = runner.iter
        if done % self.interval and done != runner.max_iters:
            return
        quality = self.work(Clock(done - 1, runner.max_iters))
        if runner.rank != 0 or not quality.students:
            return
        metrics = quality.metrics()
        self.run.append_scalars({"iter": done, **metrics})
        runner.visualizer.add_scalars(metrics, step=done)
        rows = [(s, self.classes[c], *values) for s, one in enumerate(quality.students, 1) for c, *values in one.rows()]
        columns = ["student", "class", "precision", "recall", "OA"]
        self.run.write_csv(f"evaluation/iter_{done:06d}/quality.csv", columns, rows)


def quality_hook(run: Run, config: Config, model: DuPL, source: ImageSet, place: tuple[int, int]) -> QualityHook:
    """The hook for ``evaluation.quality`` training images, shared by all processes."""
    settings = config.evaluation
    mine = spread(settings.quality, len(source))[place[0] :: place[1]]

    def work(clock: Clock) -> Quality:
        part = judge(model, source, mine, settings.size, clock)
        if place[1] == 1:
            return part
        parts: list[Any] = [None] * place[1]
        torch.distributed.all_gather_object(parts, part)
        for other in parts[1:]:
            parts[0].merge(other)
        return parts[0]

    return QualityHook(run, settings.interval, work, source.classes)


def check_quality(config: Config, source: ImageSet) -> None:
    """Know before training whether pseudo-labels can be judged.

    Raises:
        UserError: ``evaluation.quality`` is no count, or the training set has no masks.
    """
    count = config.evaluation.get("quality", 0)
    if not isinstance(count, int) or count < 0:
        raise UserError(f"evaluation.quality is {count!r}: give a number of training images, 0 for none")
    if count and not source.has_masks:
        raise UserError("evaluation.quality needs masks of data.train, which has none: set it to 0")


def quality_curves(config: Config, run: Run, marks: dict[str, int]) -> list[Path]:
    """Write quality_NAME.png of a run for each figure that it has.

    Args:
        config: Its resolved recipe.
        run: The run.
        marks: Iterations to mark, by what happens there.
    """
    rows = [row for row in run.scalars() if any(key.startswith("quality/") for key in row)]
    drawn = []
    for name, ylabel in WORDS.items():
        keys = sorted({key for row in rows for key, v in row.items() if _is(key, name) and v is not None})
        if not keys:
            continue
        label = {key: "students 1 and 2" if key.count("/") == 1 else f"student {key.split('/')[1]}" for key in keys}
        path = run.path / f"quality_{name}.png"
        title = f"{run.path.name}: {config.evaluation.quality} training images"
        curve(rows, {label[key]: key for key in keys}, path, title=title, ylabel=ylabel, marks=marks)
        drawn.append(path)
    return drawn


def _is(key: str, name: str) -> bool:
    parts = key.split("/")
    return parts[0] == "quality" and parts[-1] == name
