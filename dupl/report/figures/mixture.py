"""Fig. 4 as a picture: the losses that the noise filter judged, with the mixtures it fitted, image by image."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from dupl.report.figures.chart import blank
from dupl.report.figures.figure_sheet import Picture
from dupl.report.figures.noise_losses import HUE, densities, is_noise, verdict
from dupl.report.figures.plots import KEPT, NOISE

ROWS = 4  # images that one picture holds


def mixture_picture(losses: Sequence[tuple[str, Mapping[str, Any]]], columns: int = 2) -> Picture:
    """Return histograms of losses under their mixtures as one picture, RGB (H, W, 3).

    Args:
        losses: A title and what `verdict` takes, for each histogram; those beyond ``ROWS`` rows are left out.
        columns: How many stand beside each other, such as the students.
    """
    shown = list(losses)[: ROWS * columns]
    rows = max(1, -(-len(shown) // columns))
    figure = blank(4.2 * columns, 2.1 * rows, dpi=100)
    for number, (title, one) in enumerate(shown):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.set_title(f"{title}: {verdict(one)}", fontsize=7, loc="left", parse_math=False)
        axes.tick_params(labelsize=6)
        axes.set_xlabel("loss of a pixel", fontsize=6)
        counts = np.array(one["counts"])
        if not len(counts):
            continue
        width = (one["high"] - one["low"]) / len(counts)
        centres = one["low"] + width * (np.arange(len(counts)) + 0.5)
        noise = is_noise(one, centres)
        axes.bar(centres, counts, width, color=np.where(noise, NOISE, KEPT), alpha=0.75)
        if one["fitted"]:
            fine = np.linspace(one["low"], one["high"], 200)
            for name, line in zip(("clean", "noise"), densities(one, fine) * counts.sum() * width, strict=True):
                axes.plot(fine, line, color=HUE[name], linewidth=1.2, label=name)
            axes.legend(fontsize=6, frameon=False)
    figure.tight_layout()
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return np.asarray(Image.open(data).convert("RGB"))
