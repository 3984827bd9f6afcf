"""The hook that writes a gallery: the same few images at every evaluation."""

from __future__ import annotations

import time
from typing import Any

from dupl.atomic import atomic_write
from dupl.engine.training.evaluation_time_hook import EvaluationTimeHook
from dupl.engine.training.viewer import Viewer
from dupl.report.figures.contact_sheet import contact_sheet
from dupl.runs import layout
from dupl.runs.run import Run


class GalleryHook(EvaluationTimeHook):
    """Write a contact sheet and its description to the run's gallery at every evaluation.

    Once the noise filter acts, the description also holds, per image and student, the histogram of the losses that the
    filter fitted its mixture to, and the mixture.

    Args:
        run: The run's folder.
        settings: The recipe's ``evaluation``: gallery and interval.
        viewer: Views the images.
        split: Name of the split.
    """

    def __init__(self, run: Run, settings: Any, viewer: Viewer, split: str) -> None:
        super().__init__(settings.interval)
        self.run, self.settings, self.viewer, self.split = run, settings, viewer, split

    def is_done(self, iteration: int) -> bool:
        """Return whether the description, which is written last, exists."""
        return (self.run.path / layout.gallery_description(iteration)).exists()

    def act(self, runner: Any) -> None:
        """Write the sheet in the first process."""
        if runner.rank != 0:
            return
        done = runner.iter
        started = time.monotonic()
        rows, losses = self.viewer.view(self.settings.gallery, done, runner.max_iters)
        sheet, described = contact_sheet(rows, self.viewer.source.classes)
        for image, of_image in zip(described["images"], losses, strict=True):
            image["losses"] = of_image
        atomic_write(self.run.path / layout.gallery_sheet(done), sheet)
        facts = {"iter": done, "split": self.split, "seconds": round(time.monotonic() - started, 3)}
        self.run.write_json(layout.gallery_description(done), {**facts, **described})
