"""Over-activation per class as bars, in the form of the paper's Fig. 7."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from dupl.errors import UserError
from dupl.report.chart import HEADING, blank, colour_of, head, save, write
from dupl.report.curves import FAINT, INK, LINE


def overactivation_bars(
    rates: Mapping[str, Sequence[float]], classes: Sequence[str], path: str | Path, title: str, subtitle: str
) -> None:
    """Write a PNG of over-activation rates, FP / (TP + FP) in percent: one group per class, one bar per label map.

    A class that a map never predicts has no bar, but a dash; classes that none predicts are left out and named.

    Args:
        rates: By what the legend says, such as "CAM, student 1": one per class, NaN where never predicted.
        classes: Names in the order of the rates, without background.
        path: The file.
        title: What is shown.
        subtitle: The protocol.

    Raises:
        UserError: No class was ever predicted.
    """
    shown = [c for c in range(len(classes)) if any(not math.isnan(values[c]) for values in rates.values())]
    if not shown:
        raise UserError(f"no over-activation to draw on {path}: no foreground class was predicted")
    width, height = max(7.0, 1.6 + 0.56 * len(shown)), 4.6
    figure = blank(width, height)
    below, above = 1.3, HEADING + 0.45
    axes = figure.add_axes((0.75 / width, below / height, 1 - 0.95 / width, 1 - (below + above) / height))
    room = 0.82 / len(rates)
    for number, (label, values) in enumerate(rates.items()):
        places = [i - 0.41 + room * (number + 0.5) for i in range(len(shown))]
        colour = colour_of(label, number)
        heights = [0.0 if math.isnan(values[c]) else values[c] for c in shown]
        axes.bar(places, heights, 0.92 * room, color=colour, label=label, zorder=2)
        for place, c in zip(places, shown, strict=True):
            if math.isnan(values[c]):
                axes.text(place, 0.6, "–", ha="center", size=9, color=colour)
    names = [classes[c] for c in shown]
    axes.set_xticks(range(len(shown)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylim(0, 100)
    axes.set_ylabel("OA rate (%)", color=FAINT)
    axes.tick_params(colors=INK, length=0, labelsize=9.5)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=len(rates), frameon=False, fontsize=9)
    head(figure, title, subtitle)
    absent = [classes[c] for c in range(len(classes)) if c not in shown]
    note = f"; never predicted: {', '.join(absent)}" if absent else ""
    write(f"OA rate: FP / (TP + FP){note}", figure, height - 0.25, 8.5)
    save(figure, path)
