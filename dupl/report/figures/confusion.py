"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dupl.report.figures.chart import HEADING, blank, head, save
from dupl.report.figures.curves import FAINT, INK

LABELLED = 40  # classes up to which cells carry numbers
NAMES = 1.3  # inches that the names of classes take


def confusion_picture(
    matrix: NDArray[np.int64], classes: Sequence[str], path: str | Path, title: str, subtitle: str
) -> None:
    """Write a PNG of a confusion matrix: of each true class, the share of pixels that went to each predicted one.

    Colours follow the root of the share, so that confusions of a few percent show. Cells of less than half a percent
    carry no number; those on the diagonal, which are right, are framed. A class without a pixel of truth has an empty
    row, which says so.

    Args:
        matrix: Pixels by truth and prediction, (C, C).
        classes: Names by label id.
        path: The file.
        title: What is shown.
        subtitle: The protocol.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    shares, count = row_shares(matrix), len(classes)
    numbers = count <= LABELLED
    side = max(4.5, (0.42 if numbers else 0.2) * count)
    width, height = side + NAMES + 0.5, side + NAMES + HEADING + 0.1
    figure = blank(width, height, dpi=130)
    axes = figure.add_axes(((NAMES + 0.3) / width, 0.15 / height, side / width, side / height))
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), aspect="auto")
    axes.set_xticks(range(count), classes, rotation=90, parse_math=False)
    axes.set_yticks(range(count), classes, parse_math=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labelsize=9 if numbers else 6, colors=INK)
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("truth (percent of its pixels)", color=FAINT)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    for row, column in zip(*np.nonzero(shares >= 0.5), strict=True) if numbers else ():
        colour = "white" if shares[row, column] > 40 else INK
        axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", size=8, color=colour)
    for row in range(count):
        if np.isnan(shares[row, 0]):
            axes.text(-0.4, row, "not in the truth", va="center", size=8 if numbers else 5, color=FAINT)
        else:
            frame = Rectangle((row - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=INK, linewidth=0.8)
            axes.add_patch(frame)
    head(figure, title, subtitle)
    save(figure, path)


def row_shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the percent of each row's sum, (C, C); NaN in a row without any."""
    total = matrix.sum(1, keepdims=True)
    return np.where(total > 0, 100 * matrix / np.maximum(total, 1), np.nan)
