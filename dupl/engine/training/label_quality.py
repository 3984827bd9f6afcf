"""Measuring pseudo-labels against the masks of the training set, for analysis; training is not influenced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from numpy.typing import NDArray
from torch import Tensor

from dupl.data.base import ImageSet
from dupl.data.spread import spread
from dupl.data.views import EvalView
from dupl.engine.training.evaluation_time_hook import EvaluationTimeHook
from dupl.engine.training.label_counts import LabelCounts, Quality
from dupl.execute.heartbeat import beat
from dupl.method.base import Method
from dupl.method.cam import Present
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.structures import IGNORE, Clock


@torch.no_grad()
def measure_quality(model: Method, source: ImageSet, indices: Sequence[int], size: int, clock: Clock) -> Quality:
    """Compare the pseudo-labels of whole images, made as by the training step at ``clock``, with their true masks.

    Args:
        model: In any mode, which is restored.
        source: The training set; images without a mask are skipped.
        indices: Positions of the images.
        size: Side of the square that images are resized to.
        clock: Decides the thresholds and which components act.
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
    """Resize labels (1, h, w) to the true mask, nearest neighbour."""
    return F.interpolate(labels[:, None].float(), size=truth.shape)[0, 0].to(torch.uint8).cpu().numpy()


class QualityHook(EvaluationTimeHook):
    """Measure pseudo-labels at every evaluation: ``quality/...`` in the run's scalars, and a CSV per class.

    Args:
        run: The run's folder.
        interval: Iterations between two evaluations.
        work: Measures at a clock; it is called in every process, and its result is used in the first one.
        classes: Class names, background first.
    """

    def __init__(self, run: Run, interval: int, work: Callable[[Clock], Quality], classes: Sequence[str]) -> None:
        super().__init__(interval)
        self.run, self.work, self.classes = run, work, classes

    def is_done(self, iteration: int) -> bool:
        """Return whether the table per class, which is written last, exists."""
        return (self.run.path / layout.evaluation(iteration) / layout.QUALITY).exists()

    def act(self, runner: Any) -> None:
        """Measure at the clock of the iteration just done."""
        done = runner.iter
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
    """Build the hook that measures ``evaluation.quality`` training images, shared by all processes."""
    settings = config.evaluation
    mine = spread(settings.quality, len(source))[place[0] :: place[1]]

    def work(clock: Clock) -> Quality:
        part = measure_quality(model, source, mine, settings.size, clock)
        if place[1] == 1:
            return part
        parts: list[Any] = [None] * place[1]
        torch.distributed.all_gather_object(parts, part)
        for other in parts[1:]:
            parts[0].merge(other)
        return parts[0]

    return QualityHook(run, settings.interval, work, source.classes)
