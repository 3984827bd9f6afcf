"""Quality of pseudo-labels over training, for analysis: it reads masks of the training set and influences nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from dupl.engine.training.label_counts import LabelCounts, Quality
from dupl.errors import UserError
from dupl.execute.heartbeat import beat
from dupl.method.base import Method
from dupl.method.cam import Present
from dupl.report.figures.class_grid import class_grid
from dupl.report.figures.training_curves_file import curve
from dupl.runs import layout
from dupl.runs.files import read_csv
from dupl.runs.run import Run
from dupl.structures import IGNORE, Clock

WORDS = {
    "coverage": "pixels with a label, after the noise filter (%)",
    "precision": "precision of foreground labels (%)",
    "recall": "recall of foreground labels (%)",
    "OA": "over-activation of labels, FP / (TP + FP) (%)",
    "filter_precision": "filtered pixels whose label was wrong (%)",
    "disagreement": "pixels labelled by both students, but differently (%)",
}
REMEDY = "; try dupl data check"


@torch.no_grad()
def judge(model: Method, source: ImageSet, indices: Sequence[int], size: int, clock: Clock) -> Quality:
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
        beat()
        sample = view[i]
        if sample["mask"] is None:
            continue
        truth, tags = sample["mask"].numpy(), sample["tags"][None]
        box = torch.tensor([[0, size, 0, size]], device=device)
        image, present = sample["image"][None].to(device), Present.of(tags).to(device)
        made = model.inspect(image, tags.to(device), present, box, clock)
        pairs = zip(made.labels or (), made.noisy or (), strict=True)
        maps = [(_at(truth, y.y), _at(truth, n).astype(bool)) for y, n in pairs]
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
    """Judges pseudo-labels at every evaluation: ``quality/...`` among the run's scalars, and a CSV per class.

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
        self.run.write_csv(f"{layout.evaluation(done)}/{layout.QUALITY}", columns, rows)


def quality_hook(run: Run, config: Config, model: Method, source: ImageSet, place: tuple[int, int]) -> QualityHook:
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
    """Check before training starts that pseudo-labels can be compared with masks, where the recipe asks for it.

    Raises:
        UserError: The training set has no masks.
    """
    if config.evaluation.get("quality", 0) and not source.has_masks:
        raise UserError("evaluation.quality needs masks of data.train, which has none: set it to 0")


def check_masks(source: ImageSet, name: str, count: int = 16) -> None:
    """Look at a few masks, spread over a data set, for what would else end the first evaluation.

    Args:
        source: With masks.
        name: What the recipe calls it.
        count: Of images to look at.

    Raises:
        UserError: A mask cannot be read, is of another size than its photo, or holds a label that is no class.
    """
    for i in spread(count, len(source)):
        mask = source.mask(i)
        if mask is None:
            continue
        where = f"{name}, mask of image {source.names[i]}"
        if mask.shape != (size := source.image(i).shape[:2]):
            raise UserError(
                f"{where}: {mask.shape[0]}x{mask.shape[1]} pixels, its photo has {size[0]}x{size[1]}{REMEDY}"
            )
        if (strange := mask[(mask != IGNORE) & (mask > source.K)]).size:
            raise UserError(f"{where}: label {strange.max()} in a mask of {source.K + 1} classes{REMEDY}")


def quality_curves(config: Config, run: Run, marks: dict[str, int]) -> list[Path]:
    """Draw the curves of each figure of pseudo-label quality that a run has, and those of each class.

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
        path = run.path / layout.quality_picture(name)
        title = f"{run.path.name}: {config.evaluation.quality} training images"
        curve(rows, {label[key]: key for key in keys}, path, title=title, ylabel=ylabel, markers=marks)
        drawn.append(path)
    lines = class_lines(run)
    if any(points for own in lines.values() for points in own.values()):
        title, path = f"{run.path.name}: pseudo-labels of each class", run.path / layout.QUALITY_CLASSES
        class_grid(lines, path, title, f"percent over iterations; {config.evaluation.quality} training images")
        drawn.append(path)
    return drawn


def class_lines(run: Run) -> dict[str, dict[tuple[str, str], list[tuple[float, float]]]]:
    """Precision and recall of each foreground class over iterations, by student, as its evaluations hold them."""
    found: dict[str, dict[tuple[str, str], list[tuple[float, float]]]] = {}
    for iteration, folder in layout.trained_evaluations(run.path):
        rows = read_csv(folder / layout.QUALITY) if (folder / layout.QUALITY).exists() else []
        for row in (row for row in rows if row["class"] != rows[0]["class"]):  # the first is the background
            for measure in ("precision", "recall"):
                key = (f"student {row['student']}", measure)
                points = found.setdefault(row["class"], {}).setdefault(key, [])
                if row[measure]:
                    points.append((iteration, float(row[measure])))
    return found


def _is(key: str, name: str) -> bool:
    parts = key.split("/")
    return parts[0] == "quality" and parts[-1] == name
