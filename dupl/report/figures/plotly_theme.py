"""The look of charts on pages and in notebooks: an empty chart, safe labels, markers of component starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dupl.report.figures.colours import GRID, MARKER
from dupl.report.symbols import typeset

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TICKS = 12  # whole numbers up to which an axis marks each
LEGEND_ABOVE: dict[str, Any] = {
    "legend": {"y": 1, "yanchor": "bottom", "traceorder": "normal"},
    "margin": {"t": 50},
}  # layout of charts with horizontal bars


def safe(text: Any) -> str:
    """Return plain text for plotly, which interprets a few HTML tags, so that it is shown as it is."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def label_of(text: Any) -> str:
    """Return plain text for plotly with the paper's symbols typeset."""
    return typeset(text, safe)


def blank_chart(height: int, unit: str = "", **layout: Any) -> Figure:
    """Return an empty chart without a title: thin grid lines, the legend below.

    Args:
        height: In pixels.
        unit: Title of the vertical axis.
        layout: Further layout of plotly, which wins.
    """
    from plotly.graph_objects import Figure

    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    return Figure(
        layout={
            "template": None,
            "height": height,
            "margin": {"l": 10, "r": 12, "t": 30, "b": 36},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 12},
            "hovermode": "x unified",
            "legend": {"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0},
            "xaxis": axis,
            "yaxis": {**axis, "title": {"text": label_of(unit)}},
            **layout,
        }
    )


def count_axis(figure: Figure, last: float, **axis: Any) -> Figure:
    """Mark whole numbers alone on the horizontal axis, such as iterations or trials; return the figure.

    Plotly puts marks between the numbers of a short axis, which without decimals read 0 1 1 2 2.

    Args:
        figure: Changed.
        last: The largest number.
        axis: Further settings of plotly's axis.
    """
    short = {"tick0": 0, "dtick": 1} if last < TICKS else {}
    return figure.update_xaxes({"tickformat": ",d", **short, **axis})


def add_markers(figure: Figure, markers: Mapping[str, int], last: float) -> None:
    """Draw a dashed line where a component starts, with its name above; starts at one iteration share a line.

    Args:
        figure: Drawn on.
        markers: Iterations by what starts there, see `dupl.report.figures.start_markers`.
        last: The last iteration of the chart.
    """
    at: dict[int, list[str]] = {}
    for name, iteration in markers.items():
        at.setdefault(iteration, []).append(name.removesuffix(" starts"))
    for iteration, names in at.items():
        figure.add_vline(iteration, line={"color": MARKER, "width": 1, "dash": "dash"})
        figure.add_annotation(
            x=iteration,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor="left" if iteration < 0.7 * last else "right",
            text=label_of(", ".join(names)),
            showarrow=False,
            font={"size": 11},
        )
