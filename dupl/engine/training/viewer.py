"""Viewing images and the losses of the noise filter while a model trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from dupl.data.base import ImageSet
from dupl.data.spread import spread
from dupl.engine.inspect_images import inspect_images
from dupl.method.base import Method
from dupl.method.mixture import Mixture
from dupl.report.figures.image_row import ImageRow
from dupl.structures import Clock

BINS = 48  # of a histogram of losses


class Viewer:
    """View images as the model in training sees them; an image is computed once per iteration for all callers.

    Args:
        model: The model in training.
        source: The images; their masks are shown if they have any.
        settings: The recipe's ``evaluation``: size and cam_threshold.
    """

    def __init__(self, model: Method, source: ImageSet, settings: Any) -> None:
        self.model, self.source, self.settings = model, source, settings
        self.done = -1
        self.seen: dict[int, tuple[ImageRow, list[dict[str, Any]]]] = {}

    def view(self, count: int, done: int, last: int) -> tuple[list[ImageRow], list[list[dict[str, Any]]]]:
        """View a few evenly spread images at the clock of the iteration just done.

        Args:
            count: Number of images.
            done: Number of iterations done.
            last: Number of iterations in all.

        Returns:
            A row of pictures per image, and per image the `recorded_losses` of each student, with the percent of the
            image's pixels that were ``filtered``.
        """
        if done != self.done:
            self.done, self.seen = done, {}
        chosen = spread(count, len(self.source))
        if new := [i for i in chosen if i not in self.seen]:
            size, threshold = self.settings.size, self.settings.cam_threshold
            with recorded_losses(self.model) as losses:
                rows = inspect_images(self.model, self.source, new, size, threshold, Clock(done - 1, last))
            students = len(losses) // len(new)
            for number, (i, row) in enumerate(zip(new, rows, strict=True)):
                mine = zip(losses[number * students : (number + 1) * students], row.noisy, strict=False)
                self.seen[i] = row, [{**found, "filtered": 100 * float(out.mean())} for found, out in mine]
        return [self.seen[i][0] for i in chosen], [self.seen[i][1] for i in chosen]


@contextmanager
def recorded_losses(model: Method) -> Iterator[list[dict[str, Any]]]:
    """Record the losses that the noise filter receives, by image and student; empty where it does not act.

    Every entry holds the histogram of the fitted losses (``low``, ``high``, ``counts``), the mixture (``weight``,
    ``mean``, ``variance``, clean first), whether there were enough losses to be ``fitted``, and ``gamma`` and ``eta``.
    """
    found: list[dict[str, Any]] = []
    noise_filter = model.noise_filter

    def record(losses: Tensor, chosen: Tensor, mixture: Mixture) -> None:
        for b in range(len(losses)):
            values = losses[b][chosen[b]].double().cpu()
            low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
            entry = {
                "low": low,
                "high": high,
                "counts": torch.histc(values, BINS, low, high).long().tolist() if high > low else [],
                "fitted": bool(mixture.fitted[b]),
                "gamma": noise_filter.gamma,
                "eta": noise_filter.eta,
            }
            parts = {name: getattr(mixture, name)[b].tolist() for name in ("weight", "mean", "variance")}
            found.append({**entry, **parts})

    before = getattr(noise_filter, "watch", None)
    noise_filter.watch = record
    try:
        yield found
    finally:
        noise_filter.watch = before
