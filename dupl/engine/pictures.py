"""Drawing the pictures and curves of a finished run."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from dupl.data.spread import spread
from dupl.engine import build
from dupl.engine.checkpoints import newest_valid
from dupl.engine.device import open_device
from dupl.engine.inspect_images import inspect_images
from dupl.engine.training.quality_curves import quality_curves
from dupl.engine.weights import load_weights
from dupl.report.figures.picture_page import picture_page
from dupl.report.figures.start_markers import start_markers
from dupl.report.figures.training_curves_file import curve
from dupl.runs import layout
from dupl.runs.evaluation import AS_IN_TRAINING
from dupl.runs.run import Run
from dupl.structures import Clock


def draw(run: Run, config: Config, caption: str = "", count: int = 8) -> list[Path]:
    """Draw the pictures and curves of a finished run, as far as it has data for them.

    Args:
        run: The run's folder.
        config: The resolved recipe.
        caption: Text below the title of the pictures.
        count: Number of images of ``data.val`` to show.

    Returns:
        The files written.
    """
    newest, _ = newest_valid(run.path)
    drawn = [path for path in (run_curves(config, run),) if path is not None]
    drawn += quality_curves(config, run, start_markers(config))
    if newest is None or not config.data.get("val"):
        return drawn
    source = build.build_dataset(config, "val")
    model = build.build_model(config, source.classes, open_device(config.runtime), pretrained=False)
    load_weights(model, newest)
    settings, T = config.evaluation, config.schedule.iterations
    rows = inspect_images(
        model, source, spread(count, len(source)), settings.size, settings.cam_threshold, Clock(T - 1, T)
    )
    path = run.path / layout.PICTURES
    title = f"{run.path.name}: validation images at iteration {run.status.iteration}"
    if not any(row.pseudo for row in rows):
        at = config.model.segmentation.get("start", T)
        caption = f"{caption} No pseudo-labels are made before iteration {at}, where L_seg starts.".strip()
    picture_page(rows, source.classes, path, title=title, caption=caption)
    return [path, *drawn]


def run_curves(config: Config, run: Run) -> Path | None:
    """Draw CAM and segmentation mIoU over iterations; return None where nothing was evaluated."""
    rows = [row for row in run.scalars() if "seg/1/mIoU" in row]
    if not rows:
        return None
    subset = config.evaluation.get("subset")
    metric = subset["name"] if subset and subset["classes"] else "mIoU"
    students = sorted({k.split("/")[1] for k in rows[0] if k.startswith("seg/") and k.split("/")[1].isdigit()})
    names = {f"{kind}, student {s}": f"{kind.lower()}/{s}/{metric}" for kind in ("CAM", "Seg") for s in students}
    path = run.path / layout.CURVES
    curve(
        rows,
        names,
        path,
        title=f"{run.path.name}: {AS_IN_TRAINING}, {config.evaluation.size} px",
        ylabel=f"{metric} on val (%)",
        markers=start_markers(config),
    )
    return path
