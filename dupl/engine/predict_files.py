"""Segmenting files with a trained model: which student, which formats, and what the page of masks says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dupl.data.export import open_export
from dupl.engine import build
from dupl.engine.choose_student import ChosenStudent, choose_student
from dupl.engine.error_explanations import plain_errors
from dupl.engine.image_tags import read_tags
from dupl.engine.infer import claim, infer
from dupl.engine.restore import Restored
from dupl.report.pages.masks import MOST, MaskPage


def predict_files(
    restored: Restored,
    photos: Mapping[str, Path],
    out: Path,
    *,
    tags: str | None = None,
    student: str | None = None,
    by_tags: bool = False,
    export: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[str]:
    """Segment photos, and write their masks, pictures, tags and page into a folder.

    Args:
        restored: The recipe and its weights.
        photos: Files by the name of the image, relative and without extension.
        out: The folder.
        tags: Class names for all images, or a CSV file; None takes those that the model finds.
        student: As of `choose_student`.
        by_tags: Whether masks hold only background and the tags, given or found.
        export: Names of further formats, see `dupl.data.export`.
        progress: Called with the images done and in all.
        tell: Called with a line on the student, and on masks beside the tags.

    Returns:
        A line for each image that was skipped because it cannot be read.

    Raises:
        UserError: An unknown tag, student or format, or a folder that holds other files.
    """
    classes = restored.classes()
    known = read_tags(tags, list(photos.values()), classes) if tags is not None else None
    exports = [open_export(name, out, classes) for name in dict.fromkeys(export)]
    model = restored.model(classes)
    chosen = choose_student(restored, student, len(model.students))
    size = restored.config.evaluation.size
    facts = {"weights": str(restored.checkpoint), "student": chosen.name, "why": chosen.reason, "size": size}
    claim(out, {"protocol": "one scale, no CRF", **facts, "tags": tags, "by_tags": by_tags})
    if tell is not None and student in (None, "best"):
        tell(f"student {chosen.name}: {chosen.reason}")
    with plain_errors("smaller images"):
        return infer(
            model,
            list(photos.values()),
            classes,
            size,
            out,
            names=list(photos),
            tags=known,
            student=chosen.name,
            by_tags=by_tags,
            page=_page(restored, chosen, len(model.students), classes),
            exports=exports,
            progress=progress,
            tell=tell,
        )


def photos_of(restored: Restored) -> dict[str, Path]:
    """Return the first photos of a run's data by name, those of validation first; empty where code makes them."""
    found: dict[str, Path] = {}
    for split in ("val", "train"):
        source = build.build_dataset(restored.config, split)
        for i, name in enumerate(source.names):
            photo = source.photo_file(i)
            if photo is None or len(found) >= MOST:
                break
            found.setdefault(name, photo)
    return found


def _page(restored: Restored, chosen: ChosenStudent, students: int, classes: Sequence[str]) -> MaskPage:
    """Return what the page says of the model and its masks."""
    run = restored.folder
    what = "mean of the students" if chosen.name == "mean" else f"student {chosen.name}"
    columns = ["photo", f"mask: {what}"]
    notes = []
    if students > 1:
        columns += [f"student {s + 1}" for s in range(students)]
        notes = [
            "The masks are learned from tags alone, and one student can settle on what surrounds an object instead. "
            f"Where one of the students is better, take it: dupl infer {run} PHOTOS --out DIR --student 1"
        ]
    facts = {"model": str(run), "weights": restored.title, "mask": f"{what}: {chosen.reason}"}
    return MaskPage(f"Masks of {run.name}", facts, notes, columns, classes)
