"""Charts for notebooks, as plotly figures; each function has its own documentation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dupl.report.figures.noise_mixture import mixture_chart, verdict
    from dupl.report.figures.over_activation import rate_bars
    from dupl.report.figures.training_curves import line_chart
    from dupl.report.pages.image_comparison import image_chart, side_by_side
    from dupl.report.pages.run_curves import charts
    from dupl.report.run_comparison_charts import course_chart, table_chart, trade_chart
    from dupl.report.sweep.charts import history_chart, parallel_chart, slice_chart
    from dupl.report.sweep.other_charts import course_chart as sweep_course_chart
    from dupl.report.sweep.other_charts import importance_chart

PLACES = {
    "charts": "pages.run_curves:charts",
    "course_chart": "run_comparison_charts:course_chart",
    "history_chart": "sweep.charts:history_chart",
    "image_chart": "pages.image_comparison:image_chart",
    "importance_chart": "sweep.other_charts:importance_chart",
    "line_chart": "figures.training_curves:line_chart",
    "mixture_chart": "figures.noise_mixture:mixture_chart",
    "parallel_chart": "sweep.charts:parallel_chart",
    "rate_bars": "figures.over_activation:rate_bars",
    "side_by_side": "pages.image_comparison:side_by_side",
    "slice_chart": "sweep.charts:slice_chart",
    "sweep_course_chart": "sweep.other_charts:course_chart",
    "table_chart": "run_comparison_charts:table_chart",
    "trade_chart": "run_comparison_charts:trade_chart",
    "verdict": "figures.noise_mixture:verdict",
}

__all__ = [
    "charts",
    "course_chart",
    "history_chart",
    "image_chart",
    "importance_chart",
    "line_chart",
    "mixture_chart",
    "parallel_chart",
    "rate_bars",
    "side_by_side",
    "slice_chart",
    "sweep_course_chart",
    "table_chart",
    "trade_chart",
    "verdict",
]


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = PLACES[name].partition(":")
    return getattr(import_module(f"dupl.report.{module}"), attribute)
