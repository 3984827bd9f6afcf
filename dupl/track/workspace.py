"""What a dashboard shows, and the wandb workspace of it; `dupl.report.pages.dashboard` is the same as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dupl.errors import UserError

KINDS = ("cam", "label", "prediction")


@dataclass(frozen=True)
class BoardChart:
    """Scalars in one chart, a line (or a bar) for each run.

    Attributes:
        title: Its heading.
        keys: Of the scalars.
        unit: What the values are.
    """

    title: str
    keys: tuple[str, ...]
    unit: str = ""


@dataclass(frozen=True)
class Board:
    """A section.

    Attributes:
        name: Its heading.
        charts: Over iterations.
        bars: Of a run's best or last figures.
        pictures: Keys of pictures; wandb only, a run's page has them elsewhere.
        table: Key of a table.
        versus: Two figures against each other, a point for each run.
        differences: Whether the settings of runs are laid side by side.
    """

    name: str
    charts: tuple[BoardChart, ...] = ()
    bars: tuple[BoardChart, ...] = ()
    pictures: tuple[str, ...] = ()
    table: str | None = None
    versus: tuple[str, str] | None = None
    differences: bool = False


BOARDS = (
    Board(
        "Progress",
        charts=(
            BoardChart("Segmentation, the better student", ("seg/best/mIoU",), "mIoU (%)"),
            BoardChart("CAM, the better student", ("cam/best/mIoU",), "mIoU (%)"),
            BoardChart("Loss", ("loss",)),
            BoardChart("Learning rate", ("lr",)),
            BoardChart("Time", ("seconds",), "s per iteration"),
        ),
    ),
    Board(
        "Components",
        charts=(
            BoardChart("L_cls", ("L_cls",)),
            BoardChart("L_ptc", ("L_ptc",)),
            BoardChart("L_dis", ("L_dis",)),
            BoardChart("L_seg", ("L_seg",)),
            BoardChart("L_reg", ("L_reg",)),
            BoardChart("DTA: tau_h", ("tau_h",), "on a CAM"),
            BoardChart("ANF: share of labelled pixels that are noise", ("noise/share",)),
            BoardChart("ANF: means of the mixture, student 1", ("noise/1/mean_clean", "noise/1/mean_noisy"), "loss"),
            BoardChart("ANF: images it acts on, student 1", ("noise/1/apart",), "share"),
        ),
        pictures=("noise/mixtures",),
    ),
    Board(
        "Pixels",
        charts=(
            BoardChart("Supervised", ("pixels/supervised",), "share of pixels"),
            BoardChart("Filtered as noise", ("pixels/filtered",), "share of pixels"),
            BoardChart("Undecided", ("pixels/undecided",), "share of pixels"),
            BoardChart("Disagreement of the students", ("quality/disagreement",), "% of pixels both label"),
        ),
        pictures=("pictures/sheet", *(f"pictures/{kind}/{student}" for kind in KINDS for student in (1, 2))),
    ),
    Board(
        "Classes",
        charts=(
            BoardChart("Over-activation of CAMs, mean of the students", ("cam/mean/OA",), "OA rate (%)"),
            BoardChart("Over-activation of the segmentation, averaged", ("seg/mean/OA",), "OA rate (%)"),
        ),
        table="classes/table",
    ),
    Board(
        "Comparison",
        bars=(
            BoardChart("Best segmentation", ("best/seg/best/mIoU",), "mIoU (%)"),
            BoardChart("Best CAM", ("best/cam/best/mIoU",), "mIoU (%)"),
        ),
        versus=("cam/mean/OA", "seg/best/mIoU"),
        differences=True,
    ),
)


def workspace(entity: str, project: str, plan: str | None = None) -> Any:
    """Build the dashboard as a workspace of wandb, without sending it.

    Args:
        entity: Whose project.
        project: Its name.
        plan: Shows the runs of this plan, grouped by row; None shows all.

    Raises:
        UserError: wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
        from wandb_workspaces import expr
    except ImportError:
        raise UserError('wandb-workspaces is not installed: pip install ".[workspaces]", or dupl board') from None
    sections = []
    for number, board in enumerate(BOARDS):
        panels: list[Any] = [
            wr.LinePlot(title=chart.title, x="iter", y=list(chart.keys), title_y=chart.unit or None)
            for chart in board.charts
        ]
        panels += [wr.BarPlot(title=bar.title, metrics=list(bar.keys), title_x=bar.unit or None) for bar in board.bars]
        if board.versus is not None:
            x, y = (wr.SummaryMetric(key) for key in board.versus)
            panels.append(wr.ScatterPlot(title=" against ".join(reversed(board.versus)), x=x, y=y))
        panels += [wr.MediaBrowser(title=key, media_keys=[key], num_columns=2) for key in board.pictures]
        if board.table is not None:
            panels.append(wr.WeavePanelSummaryTable(table_name=board.table))
        if board.differences:
            panels.append(wr.RunComparer(diff_only=True))
        sections.append(ws.Section(name=board.name, panels=panels, is_open=number == 0))
    runs = ws.RunsetSettings()
    if plan is not None:
        chosen = expr.And(ws.Metric("Group") == plan, ws.Metric("JobType") != "table")
        runs = ws.RunsetSettings(filters=chosen, groupby=[ws.Metric("JobType")])
    name = f"DuPL: {plan}" if plan else "DuPL"
    settings = ws.WorkspaceSettings(x_axis="iter", sort_panels_alphabetically=False)
    return ws.Workspace(
        entity=entity, project=project, name=name, sections=sections, settings=settings, runset_settings=runs
    )


def specification(made: Any) -> dict[str, Any]:
    """Return what `save` would send of a workspace, as wandb's server reads it."""
    found: Mapping[str, Any] = json.loads(made._to_model().model_dump_json(by_alias=True, exclude_none=True))
    return dict(found)


def save(made: Any) -> str:
    """Send a workspace to wandb, and return its address."""
    return str(made.save().url)
