"""Confusion matrices: the shares of each true class, a figure in a file, and a chart for pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dupl.report.figures.colours import FAINT, INK
from dupl.report.figures.matplotlib_theme import HEADING, add_heading, blank_figure, save
from dupl.report.figures.plotly_theme import blank_chart, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

Matrix = NDArray[np.int64] | Sequence[Sequence[int]]
LABELLED = {"file": 40, "page": 25}  # classes up to which cells carry numbers
SMALLEST = 0.5  # percent from which on a cell carries its number
NAMES = 1.3  # inches that the names of classes take in a file


@dataclass(frozen=True, eq=False)
class ConfusionInfo:
    """A confusion matrix in shares.

    Attributes:
        classes: Names by label id.
        pixels: By truth and prediction, (C, C).
        shares: Percent of the pixels of each true class, (C, C); NaN in the row of a class without pixels.
    """

    classes: Sequence[str]
    pixels: NDArray[np.int64]
    shares: NDArray[np.float64]


def confusion_info(matrix: Matrix, classes: Sequence[str]) -> ConfusionInfo:
    """Return a confusion matrix with the share of each true class's pixels that went to each predicted class.

    Args:
        matrix: Pixels by truth and prediction, (C, C).
        classes: Names by label id.
    """
    pixels = np.asarray(matrix, np.int64)
    total = pixels.sum(1, keepdims=True)
    return ConfusionInfo(classes, pixels, np.where(total > 0, 100 * pixels / np.maximum(total, 1), np.nan))


def confusion_picture(matrix: Matrix, classes: Sequence[str], path: str | Path, title: str, subtitle: str) -> None:
    """Write a confusion matrix as a figure.

    Colours follow the square root of the share, so that confusions of a few percent show. Cells of less than half a
    percent carry no number; those on the diagonal, which are correct, are framed. The row of a class without a pixel of
    truth is empty and says so.

    Args:
        matrix: Pixels by truth and prediction, (C, C).
        classes: Names by label id.
        path: The file: .png, .svg or .pdf.
        title: What is shown.
        subtitle: The protocol.
    """
    from matplotlib.colors import PowerNorm

    info, count = confusion_info(matrix, classes), len(classes)
    numbers = count <= LABELLED["file"]
    side = max(4.5, (0.42 if numbers else 0.2) * count)
    width, height = side + NAMES + 0.5, side + NAMES + HEADING + 0.1
    figure = blank_figure(width, height, dpi=130)
    axes = figure.add_axes(((NAMES + 0.3) / width, 0.15 / height, side / width, side / height))
    axes.imshow(info.shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), aspect="auto")
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
    _annotate(axes, info.shares, numbers)
    add_heading(figure, title, subtitle)
    save(figure, path)


def _annotate(axes: Axes, shares: NDArray[np.float64], numbers: bool) -> None:
    """Write the numbers of cells, frame the diagonal, and say which classes have no truth."""
    from matplotlib.patches import Rectangle

    for row, column in zip(*np.nonzero(shares >= SMALLEST), strict=True) if numbers else ():
        colour = "white" if shares[row, column] > 40 else INK
        axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", size=8, color=colour)
    for row in range(len(shares)):
        if np.isnan(shares[row, 0]):
            axes.text(-0.4, row, "not in the truth", va="center", size=8 if numbers else 5, color=FAINT)
        else:
            frame = Rectangle((row - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=INK, linewidth=0.8)
            axes.add_patch(frame)


def confusion_chart(matrix: Matrix, classes: Sequence[str]) -> Figure:
    """Return a confusion matrix as a chart; the opacity follows the square root of the share."""
    info = confusion_info(matrix, classes)
    names, side = [safe(name) for name in classes], len(classes)
    shares = [[None if math.isnan(cell) else round(cell, 3) for cell in row] for row in info.shares.tolist()]
    steps = (0, 0.01, 0.04, 0.09, 0.16, 0.25, 0.36, 0.49, 0.64, 0.81, 1)
    figure = blank_chart(max(360, 130 + 22 * side), "truth", hovermode="closest")
    figure.add_heatmap(
        z=shares,
        x=names,
        y=names,
        customdata=info.pixels.tolist(),
        text=[["" if cell is None or cell < SMALLEST else f"{cell:.0f}" for cell in row] for row in shares],
        texttemplate="%{text}" if side <= LABELLED["page"] else None,
        textfont={"size": 10},
        hovertemplate="%{y} predicted as %{x}<br>%{z:.2f}% of its pixels (%{customdata:,})<extra></extra>",
        colorscale=[[step, f"rgba(59,125,216,{math.sqrt(step):.2f})"] for step in steps],
        zmin=0,
        zmax=100,
        showscale=False,
        xgap=1,
        ygap=1,
        hoverongaps=False,
    )
    axis: dict[str, Any] = {
        "type": "category",
        "gridcolor": "rgba(0,0,0,0)",
        "tickmode": "linear",
        "tickfont": {"size": 11},
    }
    figure.update_xaxes(**axis, side="top", tickangle=-90, title={"text": "predicted"})
    figure.update_yaxes(**axis, autorange="reversed")
    figure.update_layout(margin={"t": 30, "b": 10})
    return figure
