"""The losses of one image's pseudo-labels beside its pictures, in a file: the paper's Fig. 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dupl.errors import UserError
from dupl.report.figures.colours import CLEAN_GAUSSIAN, FAINT, INK, KEPT, NOISE, NOISY_GAUSSIAN
from dupl.report.figures.figure_sheet import Picture
from dupl.report.figures.matplotlib_theme import HEADING, add_heading, add_line, blank_figure, save, style_axes
from dupl.report.figures.noise_mixture import MixtureInfo, densities, mixture_info

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, ROW, SIDE = 11.0, 2.6, 1.7  # inches: of the figure, of a row's height, of a picture
HIGHEST = 1.6  # of the kept losses' peak, in heights of the filtered losses' peak, from which on it is rescaled


@dataclass(frozen=True, eq=False)
class LossRow:
    """One student's losses on one image.

    Attributes:
        title: Such as "student 1".
        losses: An entry of a gallery's ``losses``.
        pictures: By their caption, such as the image and its pseudo-label.
    """

    title: str
    losses: dict[str, Any]
    pictures: dict[str, Picture]


def rescale_factor(info: MixtureInfo) -> float:
    """Return what the counts of kept losses are divided by, so that the peak of the filtered ones can be seen.

    It is 1 where nothing is filtered, or where the peaks differ little.
    """
    kept = float(info.counts[~info.noise].max(initial=0))
    filtered = float(info.counts[info.noise].max(initial=0))
    if not filtered or kept <= HIGHEST * filtered:
        return 1.0
    return kept / (HIGHEST * filtered)


def loss_distribution(
    rows: Sequence[LossRow], path: str | Path, title: str, subtitle: str, notes: Sequence[str] = ()
) -> None:
    """Write the losses of each student on one image as a histogram under the fitted mixture, beside its pictures.

    Args:
        rows: One for each student.
        path: The file: .png, .svg or .pdf.
        title: What is shown.
        subtitle: Image, iteration and settings of the filter.
        notes: Lines below the figure.

    Raises:
        UserError: There is nothing to draw.
    """
    if not rows:
        raise UserError(f"no losses to draw on {path}")
    pictures = max(len(row.pictures) for row in rows)
    below = 0.2 * len(notes) + 0.15
    height = HEADING + len(rows) * ROW + below
    figure = blank_figure(WIDTH, height)
    left = 0.25 + pictures * (SIDE + 0.12) + 0.55
    for number, row in enumerate(rows):
        bottom = below + (len(rows) - 1 - number) * ROW
        for column, (caption, picture) in enumerate(row.pictures.items()):
            x, y = 0.15 + column * (SIDE + 0.12), bottom + (ROW - SIDE) / 2 + 0.15
            axes = figure.add_axes((x / WIDTH, y / height, SIDE / WIDTH, SIDE / height))
            axes.imshow(picture)
            axes.set_axis_off()
            axes.set_title(caption, size=9, color=INK, parse_math=False)
        place = (left / WIDTH, (bottom + 0.5) / height, (WIDTH - left - 0.2) / WIDTH, (ROW - 1.05) / height)
        _draw_histogram(figure.add_axes(place), row)
    add_heading(figure, title, subtitle)
    for number, note in enumerate(reversed(notes), 1):
        add_line(figure, note, height - 0.2 * number - 0.05, 8.5)
    save(figure, path)


def _draw_histogram(axes: Axes, row: LossRow) -> None:
    """Draw one histogram: kept and filtered losses, and the Gaussians that were fitted to them."""
    info = mixture_info(row.losses)
    factor = rescale_factor(info)
    axes.set_title(f"{row.title}\n{info.verdict}", size=8.5, loc="left", color=INK, parse_math=False)
    style_axes(axes, 8)
    axes.set_xlabel("loss of a pixel", size=8.5, color=FAINT)
    axes.set_ylabel("pixels", size=8.5, color=FAINT)
    if not len(info.counts):
        return
    scaled = "" if factor == 1 else f" (÷ {factor:.1f})"
    counts = np.where(info.noise, info.counts, info.counts / factor)
    for name, chosen, colour in ((f"kept{scaled}", ~info.noise, KEPT), ("filtered as noise", info.noise, NOISE)):
        if chosen.any():
            axes.bar(info.centres[chosen], counts[chosen], info.width, color=colour, alpha=0.75, label=name)
    if row.losses["fitted"]:
        at = np.linspace(row.losses["low"], row.losses["high"], 400)
        clean, noisy = densities(row.losses, at) * info.counts.sum() * info.width
        axes.plot(at, clean / factor, color=CLEAN_GAUSSIAN, linewidth=1.6, label=f"clean Gaussian{scaled}")
        axes.plot(at, noisy, color=NOISY_GAUSSIAN, linewidth=1.6, linestyle="--", label="noisy Gaussian")
        axes.set_ylim(0, 1.45 * max(counts.max(), 1))
    axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=2, borderaxespad=0.1)
