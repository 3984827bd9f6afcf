"""Charts: plotly figures of what the other functions return; a notebook displays them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dupl.api.analysis import Groups
from dupl.api.paper_figures import write_paper_figure as write_paper_figure
from dupl.api.tables import AnyStore, open_store

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

    from dupl.report.pages.run_files import RunFiles
    from dupl.report.sweep_report import SweepFindings


def for_export() -> None:
    """Have charts shown as HTML too, so that they stay in a notebook that is exported to HTML.

    Example:
        >>> dupl.figures.for_export()
    """
    import plotly.io

    plotly.io.renderers.default = "plotly_mimetype+notebook"


class Html(str):
    """HTML that a notebook displays."""

    def _repr_html_(self) -> str:
        return str(self)


def class_bars(table: DataFrame, unit: str = "%") -> Figure:
    """Draw a measure per class as bars, one for each column.

    Args:
        table: A row per class and a column per label, as `over_activation` and `class_measure` return it.
        unit: What the values are.

    Example:
        >>> over = dupl.over_activation("runs", dupl.plan_runs("plan.py", ["baseline", "L_dis"]))
        >>> [bars.name for bars in dupl.figures.class_bars(over, "OA rate (%)").data]
        ['Baseline', '+ DS + L<sub>dis</sub>']
    """
    from dupl.report.figures.over_activation import rate_bars

    return rate_bars(table.to_dict("list"), list(table.index), unit)


def trade_off(over: DataFrame, iou: DataFrame) -> Figure:
    """Draw over-activation against IoU, a dot per class and label; a thin line joins the dots of a class.

    Args:
        over: What `over_activation` returned.
        iou: What `class_measure` returned for "IoU", of the same classes and labels.

    Example:
        >>> runs = dupl.plan_runs("plan.py", ["baseline", "L_dis"])
        >>> iou = dupl.class_measure("runs", runs, "IoU", "cam/1").drop("background")
        >>> len(dupl.figures.trade_off(dupl.over_activation("runs", runs), iou).data) > 2
        True
    """
    from dupl.report.run_comparison_charts import trade_chart

    return trade_chart(over, iou)


def course(store: AnyStore, metric: str, runs: Groups, marks: Mapping[str, int] | None = None) -> Figure:
    """Draw a metric over training: the mean of each label, over a band from its lowest to its highest run.

    Args:
        store: A store or its folder.
        metric: Such as "cam/1/mIoU", of the evaluations in training.
        runs: Fingerprints by label.
        marks: Iterations to mark, such as `start_marks` returns.

    Raises:
        UserError: The store has no evaluated run of a label.

    Example:
        >>> figure = dupl.figures.course("runs", "cam/1/mIoU", dupl.plan_runs("plan.py", ["baseline"]))
        >>> figure.data[-1].name
        'Baseline'
    """
    from dupl.report.run_comparison_charts import course_chart

    return course_chart(open_store(store).frame(), metric, runs, marks)


def image_dots(images: DataFrame) -> Figure:
    """Draw the IoU of images as dots, one run against the other, beside the diagonal.

    Args:
        images: What `image_measure` returned.

    Example:
        >>> images = dupl.image_measure("runs", dupl.plan_runs("plan.py", ["baseline", "L_reg"]), "cam/1")
        >>> len(dupl.figures.image_dots(images).data[1].x) == len(images)
        True
    """
    from dupl.report.pages.image_comparison import image_chart

    return image_chart(images)


def pictures(runs: Mapping[str, RunFiles], images: Sequence[str], limit: int = 12) -> Html:
    """Show the pictures of images from the galleries of runs: a row per image and run, image and mask once.

    Args:
        runs: What `read_run` returned, by label.
        images: Names of images, the first ones first; those that no gallery holds are left out.
        limit: Most images.

    Returns:
        A table; a line of text where a run has no gallery.

    Raises:
        UserError: No gallery holds any of the images.

    Example:
        >>> run = dupl.read_run(dupl.find_run("runs", "plan.py", "L_reg"))
        >>> names = [image["name"] for image in dupl.last_gallery(run)["images"]]
        >>> dupl.figures.pictures({"L_reg": run}, names).count("<tr>")
        2
    """
    from dupl.report.pages.image_comparison import side_by_side

    for label, run in runs.items():
        if not run.gallery:
            return Html(f"<p>{escape(label)} has no gallery: train with evaluation.gallery=N to see its pictures.</p>")
    shots = {label: run.gallery[-1] for label, run in runs.items()}
    pictured = {image["name"] for shot in shots.values() for image in shot["images"]}
    return Html(side_by_side(shots, [name for name in images if name in pictured][:limit]))


def noise_mixture(losses: Mapping[str, Any]) -> Figure:
    """Draw the losses that the noise filter saw on one image, and the two Gaussians fitted to them (Eq. 6, Fig. 4).

    Args:
        losses: An entry of ``losses`` of an image in a run's gallery.

    Example:
        >>> run = dupl.read_run(dupl.find_run("runs", "plan.py", "L_reg"))
        >>> losses = dupl.last_gallery(run)["images"][0]["losses"][0]
        >>> len(dupl.figures.noise_mixture(losses).data) > 0, dupl.figures.noise_verdict(losses)[:5]
        (True, 'means')
    """
    from dupl.report.figures.noise_mixture import mixture_chart

    return mixture_chart(losses)


def noise_verdict(losses: Mapping[str, Any]) -> str:
    """Return in words what the noise filter decided on one image (Eq. 7); arguments as of `noise_mixture`.

    Example:
        >>> dupl.figures.noise_verdict({"fitted": False, "mean": [0, 0]})
        'too few losses to fit'
    """
    from dupl.report.figures.noise_mixture import verdict

    return verdict(losses)


def noise_courses(run: RunFiles) -> list[Figure]:
    """Draw what the noise filter did over training: the means of its mixtures, and how much it filtered.

    Args:
        run: What `read_run` returned.

    Example:
        >>> len(dupl.figures.noise_courses(dupl.read_run(dupl.find_run("runs", "plan.py", "L_reg"))))
        3
    """
    from dupl.report.figures.start_markers import start_markers
    from dupl.report.figures.training_curves import line_chart
    from dupl.report.pages.run_curves import charts

    figures = []
    for name, chart in charts(list(dict.fromkeys(key for row in run.rows for key in row))).items():
        if name.startswith("noise"):
            figure = line_chart(run.rows, chart.names, chart.unit, start_markers(run.config), factor=chart.factor)
            figures.append(figure.update_layout(title={"text": chart.title}, margin={"t": 70}))
    return figures


def sweep_charts(found: SweepFindings) -> dict[str, list[Figure]]:
    """Draw what a sweep found.

    Args:
        found: What `sweep_report` returned.

    Returns:
        Figures by what they show: "history" (the goal over the trials), "courses" (the goal over training),
        "importances" (one per goal), "slices" (one per parameter) and "parallel" (all parameters at once). A list is
        empty where the trials do not tell.

    Example:
        >>> list(dupl.figures.sweep_charts(dupl.sweep_report("demo", "searched", bootstraps=2)))
        ['history', 'courses', 'importances', 'slices', 'parallel']
    """
    from dupl.report.sweep.charts import history_chart, parallel_chart, slice_chart
    from dupl.report.sweep.other_charts import course_chart, importance_chart

    report = found.report
    courses = course_chart(report, found.metrics)
    metrics = dict.fromkeys(one.metric for one in report.importances)
    return {
        "history": [history_chart(report)],
        "courses": [] if courses is None else [courses],
        "importances": [importance_chart(report, metric) for metric in metrics],
        "slices": [slice_chart(report, parameter) for parameter in report.parameters],
        "parallel": [parallel_chart(report)],
    }
