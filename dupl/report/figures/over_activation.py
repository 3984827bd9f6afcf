"""Over-activation per class as bars, in the form of the paper's Fig. 7."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from dupl.errors import UserError
from dupl.report.figures.chart import HEADING, blank, colour_of, head, save, write
from dupl.report.figures.curves import FAINT, INK, LINE

LETTER = 0.085  # inches that a letter of a class's name takes


def overactivation_bars(
    rates: Mapping[str, Sequence[float]], classes: Sequence[str], path: str | Path, title: str, subtitle: str
) -> None:
    """Write a PNG of over-activation rates, FP / (TP + FP) in percent: one group per class, one bar per label map.

    A class that a map never predicts has no bar, but a dash; a rate below 1 is written. Classes that none predicts are
    left out and named.

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
    width = max(7.0, 1.6 + 0.56 * len(shown))
    names = [classes[c] for c in shown]
    level = max(map(len, names)) * LETTER < (width - 0.95) / len(shown)  # names fit side by side
    absent = [classes[c] for c in range(len(classes)) if c not in shown]
    notes = ["OA rate: FP / (TP + FP); –: the label map never has this class"]
    if absent:
        notes += textwrap.wrap(f"Classes that none of the label maps has: {', '.join(absent)}", int(width * 15))
    below, above = (0.45 if level else 0.3 + 0.75 * max(map(len, names)) * LETTER) + 0.19 * len(notes), HEADING + 0.2
    height = above + 2.3 + below
    figure = blank(width, height)
    axes = figure.add_axes((0.75 / width, below / height, 1 - 0.95 / width, 1 - (below + above) / height))
    room = 0.82 / len(rates)
    for number, (label, values) in enumerate(rates.items()):
        places = [i - 0.41 + room * (number + 0.5) for i in range(len(shown))]
        colour = colour_of(label, number)
        heights = [0.0 if math.isnan(values[c]) else values[c] for c in shown]
        axes.bar(places, heights, 0.92 * room, color=colour, label=label, zorder=2)
        for place, c in zip(places, shown, strict=True):
            if not values[c] >= 1:  # else a bar that is too low to be seen, or none
                text = "–" if math.isnan(values[c]) else f"{values[c]:.0f}" if values[c] == 0 else "<1"
                axes.text(place, 1.5, text, ha="center", size=9, color=colour, weight="bold")
    axes.set_xticks(range(len(shown)), names, parse_math=False)
    for name in axes.get_xticklabels() if not level else ():
        name.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylim(0, 100)
    axes.set_ylabel("OA rate (%)", color=FAINT)
    axes.tick_params(colors=INK, length=0, labelsize=9.5)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=len(rates), frameon=False, fontsize=9)
    head(figure, title, subtitle)
    for number, note in enumerate(reversed(notes), 1):
        write(note, figure, height - 0.19 * number - 0.05, 8.5)
    save(figure, path)
