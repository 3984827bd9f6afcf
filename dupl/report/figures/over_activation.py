"""Over-activation per class: rates of several label maps as bars, in a file (the paper's Fig. 7) and on pages."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.errors import UserError
from dupl.report.figures.colours import FAINT, INK, file_colour, page_colour
from dupl.report.figures.matplotlib_theme import HEADING, add_heading, add_line, blank_figure, save, style_axes
from dupl.report.figures.plotly_theme import LEGEND_ABOVE, blank_chart, label_of, safe
from dupl.report.symbols import mathtext

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

LETTER = 0.085  # inches that a letter of a class's name takes
NOTE = 0.19  # inches that a line of notes takes


@dataclass(frozen=True)
class RatesInfo:
    """Rates per class of several label maps, without the classes that no map has.

    Attributes:
        classes: Names that are shown.
        rates: By label map, percent for each of these classes, NaN where the map never predicts it.
        absent: Names of the other classes.
    """

    classes: list[str]
    rates: dict[str, list[float]]
    absent: list[str]


def rates_info(rates: Mapping[str, Sequence[float]], classes: Sequence[str]) -> RatesInfo:
    """Return the rates of the classes that any label map has.

    Args:
        rates: By what the legend says, such as "CAM, student 1": percent per class, NaN where there is none.
        classes: Names in the order of the rates.
    """
    shown = [c for c in range(len(classes)) if any(not math.isnan(values[c]) for values in rates.values())]
    absent = [classes[c] for c in range(len(classes)) if c not in shown]
    kept = {label: [values[c] for c in shown] for label, values in rates.items()}
    return RatesInfo([classes[c] for c in shown], kept, absent)


def overactivation_bars(
    rates: Mapping[str, Sequence[float]], classes: Sequence[str], path: str | Path, title: str, subtitle: str
) -> None:
    """Write over-activation rates, FP / (TP + FP) in percent, as a figure: a group per class, a bar per label map.

    A class that a map never predicts has a dash instead of a bar; a rate below 1 is written. Classes that no map
    predicts are left out and named.

    Args:
        rates: As `rates_info` takes them.
        classes: Names in the order of the rates, without background.
        path: The file: .png, .svg or .pdf.
        title: What is shown.
        subtitle: The protocol.

    Raises:
        UserError: No class was ever predicted.
    """
    info = rates_info(rates, classes)
    names = info.classes
    if not names:
        raise UserError(f"no over-activation to draw on {path}: no foreground class was predicted")
    width, longest = max(7.0, 1.6 + 0.56 * len(names)), max(map(len, names)) * LETTER
    level = longest < (width - 0.95) / len(names)  # names fit side by side
    notes = ["OA rate: FP / (TP + FP); –: the label map never has this class"]
    if info.absent:
        notes += textwrap.wrap(f"Classes that none of the label maps has: {', '.join(info.absent)}", int(width * 15))
    below, above = (0.45 if level else 0.3 + 0.75 * longest) + NOTE * len(notes), HEADING + 0.2
    height = above + 2.3 + below
    figure = blank_figure(width, height)
    axes = figure.add_axes((0.75 / width, below / height, 1 - 0.95 / width, 1 - (below + above) / height))
    _draw_bars(axes, info)
    axes.set_xticks(range(len(names)), names, parse_math=False)
    for name in axes.get_xticklabels() if not level else ():
        name.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, 100)
    axes.set_ylabel("OA rate (%)", color=FAINT)
    style_axes(axes, 9.5, INK)
    axes.legend(loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=len(rates), frameon=False, fontsize=9)
    add_heading(figure, title, subtitle)
    for number, note in enumerate(reversed(notes), 1):
        add_line(figure, note, height - NOTE * number - 0.05, 8.5)
    save(figure, path)


def _draw_bars(axes: Axes, info: RatesInfo) -> None:
    """Draw the bars of each label map, and text where a bar is missing or too low to be seen."""
    room = 0.82 / len(info.rates)
    for number, (label, values) in enumerate(info.rates.items()):
        places = [i - 0.41 + room * (number + 0.5) for i in range(len(values))]
        colour = file_colour(label, number)
        heights = [0.0 if math.isnan(value) else value for value in values]
        axes.bar(places, heights, 0.92 * room, color=colour, label=mathtext(label), zorder=2)
        for place, value in zip(places, values, strict=True):
            if not value >= 1:
                text = "–" if math.isnan(value) else f"{value:.0f}" if value == 0 else "<1"
                axes.text(place, 1.5, text, ha="center", size=9, color=colour, weight="bold")


def rate_bars(
    rates: Mapping[str, Sequence[float]], classes: Sequence[str], unit: str, order: Sequence[str] | None = None
) -> Figure:
    """Return rates per class as horizontal bars: a group per class, a bar per label map, none for NaN.

    Args:
        rates: As `rates_info` takes them.
        classes: Names in the order of the rates.
        unit: Of the values.
        order: All labels of a plan: each has the colour of its place among them, whichever have rates. By default those
            of the rates.
    """
    info = rates_info(rates, classes)
    places = {label: number for number, label in enumerate(order or list(rates))}
    height = 90 + len(info.classes) * (10 + 9 * len(rates))
    figure = blank_chart(height, "", barmode="group", bargap=0.25, hovermode="y unified")
    for label, values in info.rates.items():
        figure.add_bar(
            y=[safe(name) for name in info.classes],
            x=[None if math.isnan(value) else round(value, 3) for value in values],
            name=label_of(label),
            orientation="h",
            marker={"color": page_colour(label, places[label])},
        )
    figure.update_xaxes(range=[0, 100], title={"text": safe(unit), "standoff": 6}, hoverformat=".1f", side="bottom")
    figure.update_yaxes(type="category", autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return figure.update_layout(LEGEND_ABOVE)
