"""A gallery over training: the same few images at every evaluation, and the losses that the noise filter judges."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from torch import Tensor

from dupl.atomic import atomic_write
from dupl.data.base import ImageSet
from dupl.engine.pictures import choose, look
from dupl.errors import UserError
from dupl.lab.run import Run
from dupl.method.dupl import DuPL
from dupl.method.noise_filter import Mixture
from dupl.report.contact import contact_sheet
from dupl.structures import Clock

FOLDER = "gallery"
BINS = 48  # of a histogram of losses


class GalleryHook(Hook):
    """Writes ``gallery/iter_NNNNNN.webp``, a contact sheet, and its description ``.json`` at every evaluation.

    The description also holds, per image and student, the histogram of the losses that the noise filter fitted its
    mixture to, and that mixture, as soon as the filter acts.

    Args:
        run: The run's folder.
        config: Its resolved recipe; of it ``evaluation`` (gallery, interval, size, cam_threshold).
        model: At work.
        source: The images; masks are shown where there are any.
        split: What the data set is called.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, run: Run, config: Config, model: DuPL, source: ImageSet, split: str) -> None:
        self.run, self.settings, self.model, self.source, self.split = run, config.evaluation, model, source, split

    def after_iteration(self, runner: Any) -> None:
        """Look where it is time, at the clock of the iteration just done; the first process alone does."""
        done = runner.iter
        if runner.rank != 0 or (done % self.settings.interval and done != runner.max_iters):
            return
        started, settings = time.monotonic(), self.settings
        clock = Clock(done - 1, runner.max_iters)
        chosen = choose(self.source, settings.gallery)
        with watched(self.model) as losses:
            panels = look(self.model, self.source, chosen, settings.size, settings.cam_threshold, clock)
        sheet, described = contact_sheet(panels, self.source.classes)
        students = len(losses) // len(panels)
        for number, (image, panel) in enumerate(zip(described["images"], panels, strict=True)):
            of_image = losses[number * students : (number + 1) * students]
            image["losses"] = [
                {**found, "filtered": 100 * float(out.mean())}
                for found, out in zip(of_image, panel.noisy, strict=False)
            ]
        atomic_write(self.run.path / FOLDER / f"iter_{done:06d}.webp", sheet)
        facts = {"iter": done, "split": self.split, "seconds": round(time.monotonic() - started, 3)}
        self.run.write_json(f"{FOLDER}/iter_{done:06d}.json", {**facts, **described})


@contextmanager
def watched(model: DuPL) -> Iterator[list[dict[str, Any]]]:
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


def check_gallery(config: Config) -> None:
    """Know before training whether the gallery's size is one.

    Raises:
        UserError: ``evaluation.gallery`` is no count.
    """
    count = config.evaluation.get("gallery", 0)
    if not isinstance(count, int) or count < 0:
        raise UserError(f"evaluation.gallery is {count!r}: give a number of images, 0 for none")
