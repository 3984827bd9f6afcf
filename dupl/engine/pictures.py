"""Pictures of what a model sees on a few images: CAMs, pseudo-labels, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from numpy.typing import NDArray
from torch import Tensor

from dupl.data.base import ImageSet
from dupl.data.views import EvalView
from dupl.engine import build
from dupl.engine.checkpoints import newest_valid
from dupl.engine.device import choose_device
from dupl.engine.evaluation.evaluate import PROTOCOL
from dupl.engine.training.label_quality import quality_curves
from dupl.engine.weights import load_weights
from dupl.method.base import Method
from dupl.method.cam import Present, label_by_threshold
from dupl.report.figures.image_row import ImageRow
from dupl.report.figures.picture_page import picture_page
from dupl.report.figures.start_markers import start_markers
from dupl.report.figures.training_curves_file import curve
from dupl.runs import layout
from dupl.runs.run import Run
from dupl.structures import Clock


def choose(source: ImageSet, count: int) -> list[int]:
    """Images spread evenly over the set; the same each time."""
    return sorted(set(np.linspace(0, len(source) - 1, count).round().astype(int).tolist()))


def look(
    model: Method, source: ImageSet, indices: Sequence[int], size: int, threshold: float, clock: Clock
) -> list[ImageRow]:
    """One panel per image: the training step's view of the squashed image, at the image's own size.

    Args:
        model: In any mode; it is left in the mode it was in.
        source: The data set; masks are shown where there are any.
        indices: Which images.
        size: Side of the square that images are squashed to.
        threshold: The evaluation's threshold on CAMs, outlined in the pictures.
        clock: Decides the training's thresholds and which components act.
    """
    view, device, training = EvalView(source, size), next(model.parameters()).device, model.training
    model.eval()
    panels = []
    for i in indices:
        sample = view[i]
        tags = sample["tags"][None]
        present, box = Present.of(tags).to(device), torch.tensor([[0, size, 0, size]], device=device)
        images = sample["image"][None].to(device)
        made = model.inspect(images, tags.to(device), present, box, clock)
        photo = source.image(i)
        shape = photo.shape[:2]
        panels.append(
            ImageRow(
                name=sample["name"],
                image=photo,
                truth=None if sample["mask"] is None else sample["mask"].numpy(),
                cams=[_smooth(m.main.amax(1, keepdim=True), shape) for m in made.cams or ()],
                cam_labels=[_nearest(label_by_threshold(m.main, present, threshold), shape) for m in made.cams or ()],
                pseudo=[_nearest(y.y, shape) for y in made.labels or ()],
                noisy=[_nearest(n, shape).astype(bool) for n in made.noisy or ()],
                prediction=[_nearest(p.argmax(1), shape) for p in made.log_P],
                tags=tuple(c for c, on in zip(source.classes[1:], tags[0].tolist(), strict=True) if on),
            )
        )
    model.train(training)
    return panels


def _smooth(x: Tensor, shape: Sequence[int]) -> NDArray[np.float32]:
    big = F.interpolate(x.float(), size=tuple(shape), mode="bilinear", align_corners=False)
    return big[0, 0].clamp(0, 1).cpu().numpy()


def _nearest(labels: Tensor, shape: Sequence[int]) -> NDArray[np.uint8]:
    return (
        F.interpolate(labels[:, None].float(), size=tuple(shape), mode="nearest")[0, 0].cpu().numpy().astype(np.uint8)
    )


def draw(run: Run, config: Config, caption: str = "", count: int = 8) -> list[Path]:
    """Draw the pictures and curves of a finished run; what cannot be drawn is left out.

    Args:
        run: The run's folder.
        config: Its resolved recipe.
        caption: Below the title of the pictures.
        count: Images to show, of ``data.val``.
    """
    newest, _ = newest_valid(run.path)
    drawn = [path for path in (run_curves(config, run),) if path is not None]
    drawn += quality_curves(config, run, start_markers(config))
    if newest is None or not config.data.get("val"):
        return drawn
    source = build.build_dataset(config, "val")
    model = build.build_model(config, len(source.classes), choose_device(config.runtime.device), pretrained=False)
    load_weights(model, newest)
    settings, T = config.evaluation, config.schedule.iterations
    panels = look(model, source, choose(source, count), settings.size, settings.cam_threshold, Clock(T - 1, T))
    path = run.path / layout.PICTURES
    title = f"{run.path.name}: validation images at iteration {run.status.iteration}"
    if not any(panel.pseudo for panel in panels):
        at = config.model.segmentation.get("start", T)
        caption = f"{caption} No pseudo-labels are made before iteration {at}, where L_seg starts.".strip()
    picture_page(panels, source.classes, path, title=title, caption=caption)
    return [path, *drawn]


def run_curves(config: Config, run: Run) -> Path | None:
    """Draw the curves of a run: CAM and segmentation mIoU over iterations; None where nothing was evaluated."""
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
        title=f"{run.path.name}: {PROTOCOL}, {config.evaluation.size} px",
        ylabel=f"{metric} on val (%)",
        markers=start_markers(config),
    )
    return path
