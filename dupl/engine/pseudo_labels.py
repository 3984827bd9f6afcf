"""Write the CAM pseudo-labels of a data set as palette PNG, for the training of another network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from dupl.data.base import ImageSet
from dupl.data.orientation import check_orientations
from dupl.engine import build
from dupl.engine.choose_student import choose_student
from dupl.engine.error_explanations import plain_errors
from dupl.engine.evaluation.protocol import Labels
from dupl.engine.evaluation.result import count_image, subset_of
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.evaluation.train_time import CamProtocol
from dupl.engine.infer import claim
from dupl.engine.restore import Restored
from dupl.engine.trained_classes import match_classes
from dupl.method.base import Method
from dupl.method.cam import Present, label_by_threshold
from dupl.report.figures.picture_files import save_palette_png
from dupl.runs.files import write_json
from dupl.runs.metrics import summarise
from dupl.runs.tallies import Tally


def write_pseudo_labels(
    restored: Restored,
    split: str,
    out: Path,
    *,
    student: str | None = None,
    threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Write ``masks/NAME.png`` for each image of a split: CAMs of the image's tags above the threshold.

    ``infer.json`` records how they were made, and their metrics where the data set has masks.

    Args:
        restored: The recipe and its weights.
        split: Entry of the recipe's ``data``.
        out: The folder.
        student: As of `choose_student`.
        threshold: On CAMs; None is the recipe's cam_threshold.
        progress: Called with images done and in all.
        tell: Called with lines: the student, the protocol.

    Returns:
        Metrics in percent by name, such as "cam/1/mIoU"; {} where no image has a mask.

    Raises:
        UserError: The data cannot be read or have no tags, the folder holds other files, or the classes are others.
    """
    config = restored.config
    original = build.build_dataset(config, split)
    source, note = match_classes(original, restored.recorded_classes(), restored.folder, f"data.{split}")
    check_orientations(source, f"data.{split}")
    model = restored.model(source.classes)
    chosen = choose_student(restored, student, len(model.students))
    selection = MapSelection.of([chosen.name], len(model.students))
    protocol = CamProtocol(config.evaluation.to_dict(), selection, threshold, model.cam_scales)
    title = protocol.parts[protocol.name].title
    facts: dict[str, Any] = {"weights": str(restored.checkpoint), "student": chosen.name, "why": chosen.reason}
    facts |= {"protocol": title, "split": split, "images": len(source), "by_tags": True}
    claim(out, facts)
    for line in filter(None, [note, f"student {chosen.name}: {chosen.reason}", title]):
        if tell is not None:
            tell(line)
    (name,) = selection.maps("cam")
    tally = Tally(len(source.classes))
    with plain_errors(protocol.smaller, config.runtime.workers):
        for done, (i, labels) in enumerate(_labels(protocol, name, model, source, config.runtime.workers), 1):
            save_palette_png(labels, out / "masks" / f"{source.names[i]}.png")
            if (truth := source.mask(i)) is not None:
                count_image(tally, source, i, truth, labels)
            if progress is not None:
                progress(done, len(source))
    if not tally.per_image:
        return {}
    metrics = summarise({name: tally}, subset_of(config.evaluation.to_dict().get("subset"), source.classes))
    write_json(out / "infer.json", {**facts, "masks": len(tally.per_image), "metrics": metrics})
    return metrics


@torch.inference_mode()
def _labels(
    protocol: CamProtocol, name: str, model: Method, source: ImageSet, workers: int
) -> Iterator[tuple[int, Labels]]:
    """Yield the position and the pseudo-label of each image, at the size of the photo."""
    for batch, answer in protocol.batches(model, source, range(len(source)), workers):
        for row, i in enumerate(batch["index"]):
            present = Present.of(batch["tags"][row : row + 1]).to(answer[0][1].device)
            shape: Sequence[int] = source.image(i).shape[:2]
            heat = protocol.heat(shape, answer, row, present.index.shape[1])[name]
            labels = label_by_threshold(heat, present, protocol.threshold)[0]
            yield i, labels.to(torch.uint8).cpu().numpy()
