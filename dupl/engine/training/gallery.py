"""A gallery over training: the same few images at every evaluation, and the losses that the noise filter judges."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from dupl.atomic import atomic_write
from dupl.data.base import ImageSet
from dupl.engine.pictures import choose, look
from dupl.method.base import Method
from dupl.method.mixture import Mixture
from dupl.report.figures.contact_sheet import contact_sheet
from dupl.report.figures.image_row import ImageRow
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.structures import Clock

BINS = 48  # of a histogram of losses


class Viewer:
    """Looks at images as a model at work sees them, once in an iteration, however many ask.

    Args:
        model: At work.
        source: The images; masks are shown where there are any.
        settings: The recipe's ``evaluation``; of it size and cam_threshold.
    """

    def __init__(self, model: Method, source: ImageSet, settings: Any) -> None:
        self.model, self.source, self.settings = model, source, settings
        self.done = -1
        self.seen: dict[int, tuple[ImageRow, list[dict[str, Any]]]] = {}

    def look(self, count: int, done: int, last: int) -> tuple[list[ImageRow], list[list[dict[str, Any]]]]:
        """Some images, evenly spread, at the clock of the iteration just done.

        Args:
            count: Of images.
            done: Iterations that are done.
            last: How many there are in all.

        Returns:
            A panel per image, and per image what `watched` finds of each student, with the percent of the image's
            pixels that were ``filtered``.
        """
        if done != self.done:
            self.done, self.seen = done, {}
        chosen = choose(self.source, count)
        if new := [i for i in chosen if i not in self.seen]:
            size, threshold = self.settings.size, self.settings.cam_threshold
            with watched(self.model) as losses:
                panels = look(self.model, self.source, new, size, threshold, Clock(done - 1, last))
            students = len(losses) // len(new)
            for number, (i, panel) in enumerate(zip(new, panels, strict=True)):
                mine = zip(losses[number * students : (number + 1) * students], panel.noisy, strict=False)
                self.seen[i] = panel, [{**found, "filtered": 100 * float(out.mean())} for found, out in mine]
        return [self.seen[i][0] for i in chosen], [self.seen[i][1] for i in chosen]


class GalleryHook(Hook):
    """Writes a contact sheet and its description to the run's gallery at every evaluation.

    The description also holds, per image and student, the histogram of the losses that the noise filter fitted its
    mixture to, and that mixture, as soon as the filter acts.

    Args:
        run: The run's folder.
        settings: The recipe's ``evaluation``; of it gallery and interval.
        viewer: Of the images.
        split: What the data set is called.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, run: Run, settings: Any, viewer: Viewer, split: str) -> None:
        self.run, self.settings, self.viewer, self.split = run, settings, viewer, split

    def after_iteration(self, runner: Any) -> None:
        """Look where it is time; the first process alone does."""
        done = runner.iter
        if runner.rank != 0 or (done % self.settings.interval and done != runner.max_iters):
            return
        started = time.monotonic()
        panels, losses = self.viewer.look(self.settings.gallery, done, runner.max_iters)
        sheet, described = contact_sheet(panels, self.viewer.source.classes)
        for image, of_image in zip(described["images"], losses, strict=True):
            image["losses"] = of_image
        atomic_write(self.run.path / layout.gallery_sheet(done), sheet)
        facts = {"iter": done, "split": self.split, "seconds": round(time.monotonic() - started, 3)}
        self.run.write_json(layout.gallery_description(done), {**facts, **described})


@contextmanager
def watched(model: Method) -> Iterator[list[dict[str, Any]]]:
    """Collect what the noise filter sees, image by image and student by student; empty where it does not act.

    Every entry holds the histogram of the losses that were fitted (``low``, ``high``, ``counts``), the mixture
    (``weight``, ``mean``, ``variance``, clean first), whether there was enough to ``fit``, and ``gamma`` and ``eta``.
    """
    found: list[dict[str, Any]] = []
    watcher = model.noise_filter

    def record(losses: Tensor, chosen: Tensor, mixture: Mixture) -> None:
        for b in range(len(losses)):
            values = losses[b][chosen[b]].double().cpu()
            low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
            entry = {
                "low": low,
                "high": high,
                "counts": torch.histc(values, BINS, low, high).long().tolist() if high > low else [],
                "fitted": bool(mixture.fitted[b]),
                "gamma": watcher.gamma,
                "eta": watcher.eta,
            }
            parts = {name: getattr(mixture, name)[b].tolist() for name in ("weight", "mean", "variance")}
            found.append({**entry, **parts})

    before = getattr(watcher, "watch", None)
    watcher.watch = record
    try:
        yield found
    finally:
        watcher.watch = before
