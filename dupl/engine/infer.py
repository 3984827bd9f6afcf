"""Writing masks, overlays and CAM heat maps of image files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dupl import cells
from dupl.atomic import atomic_write, fitting_name
from dupl.data.export import Export
from dupl.data.files import read_image
from dupl.engine.predict import Prediction, infer_image
from dupl.errors import UserError
from dupl.method.base import Method
from dupl.report.figures.paint import heatmap, overlay
from dupl.report.figures.picture_files import save_palette_png
from dupl.report.pages.masks import MOST, MaskPage, MaskRow, mask_row

PAGE = "index.html"
LARGEST = 6000  # side of a photo in pixels, above which its pictures are reduced
UNFIT = re.compile(r"[/\\\0]")  # characters of class names that file names cannot have


def claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Prepare a folder for the files of ``infer``, and write ``infer.json``, which records how they are made.

    Args:
        out: The folder.
        facts: Values for the record.

    Raises:
        UserError: The folder holds masks or a table that ``infer`` did not write, such as those of a data set.
    """
    note = out / "infer.json"
    others = [out / "tags.csv", *(out / "masks").glob("*"), *(out / "overlays").glob("*"), *(out / "cams").glob("*")]
    if not note.exists() and (found := next((file for file in others if file.exists()), None)):
        raise UserError(f"{found} was not written by dupl infer, which would overwrite it: choose another out")
    atomic_write(note, json.dumps(facts, indent=2) + "\n")


def infer(
    model: Method,
    files: Sequence[Path],
    classes: Sequence[str],
    size: int,
    out: Path,
    *,
    names: Sequence[str] | None = None,
    tags: dict[str, tuple[str, ...]] | None = None,
    student: str = "mean",
    by_tags: bool = False,
    page: MaskPage | None = None,
    exports: Sequence[Export] = (),
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[str]:
    """Write ``masks/NAME.png``, ``overlays/NAME.jpg``, ``cams/NAME_CLASS.jpg`` and ``tags.csv`` below ``out``.

    An unreadable image is skipped. A CAM's name that is too long for a file system is cut and gets a digest.
    ``tags.csv`` lists the classes that CAMs were made of, and their probabilities (the sigmoid of their scores);
    ``tags`` can read it. ``tell`` is called with a line where masks hold other classes.

    Args:
        model: In evaluation mode.
        files: The images.
        classes: Class names, background first.
        size: Side of the square that an image is resized to.
        out: The folder.
        names: Of the images, relative and without extension; by default those of the files without their folders.
        tags: Classes to make CAMs of, by the name of the image; None takes the predicted ones.
        student: "1", "2", ..., or "mean".
        by_tags: Whether masks hold only background and the tags.
        page: Written as ``index.html`` with the first photos; None writes no page.
        exports: Further formats of the masks.
        progress: Called with the images done and in all.
        tell: Called with a line.

    Returns:
        A line for each image that was skipped.
    """
    for folder in ("masks", "overlays", "cams"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    table = [["image", "tags", "probabilities"]]
    rows: list[MaskRow] = []
    skipped: list[str] = []
    untagged = 0
    model.eval()
    try:
        for done, (file, name) in enumerate(zip(files, names or [file.stem for file in files], strict=True), 1):
            try:
                image = read_image(file, upright=True)
            except UserError as error:
                skipped.append(str(error))
                continue
            given = tags[name] if tags is not None else None
            shown = page is not None and len(rows) < MOST
            found = infer_image(model, image, classes, size, given, student, by_tags, shown)
            untagged += bool({classes[k] for k in np.unique(found.mask)} - {classes[0], *found.cams})
            _write_pictures(out, name, image, found)
            for export in exports:
                export.add(name, file, found.mask)
            table.append(_table_row(f"{name}{file.suffix}", found))
            if page is not None and shown:
                rows.append(mask_row(name, _told(found), image, [found.mask, *found.students], classes))
            if progress is not None:
                progress(done, len(files))
    finally:  # also after an error or a signal, for the images done so far
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([cells.written(cell) for cell in row] for row in table)
        atomic_write(out / "tags.csv", text.getvalue())
        for export in exports:
            export.close()
        if page is not None:
            atomic_write(out / PAGE, page.render(rows, len(table) - 1 - len(rows)))
    if untagged and tell is not None:
        tell(f"masks of {untagged} images hold classes that are not among their tags; --by-tags leaves these out")
    return skipped


def _table_row(image: str, found: Prediction) -> list[str]:
    """Return the row of ``tags.csv`` of an image: its name, the classes of its CAMs and their probabilities."""
    chances = (_sigmoid(float(found.scores[found.classes.index(c) - 1])) for c in found.cams)
    return [image, ";".join(found.cams), ";".join(f"{chance:.4f}" for chance in chances)]


def _told(found: Prediction) -> str:
    """Return the tags of an image with their probabilities for a reader: "cat 93 %, dog 71 %"."""
    scores = dict(zip(found.classes[1:], found.scores.tolist(), strict=True))
    return ", ".join(f"{name} {100 * _sigmoid(scores[name]):.0f} %" for name in found.cams) or "no class"


def _write_pictures(out: Path, name: str, image: NDArray[np.uint8], found: Prediction) -> None:
    """Write the mask of an image, its overlay and the CAMs; overlay and CAMs of a huge image are reduced."""
    save_palette_png(found.mask, out / "masks" / f"{name}.png")
    for folder in ("overlays", "cams"):
        (out / folder / name).parent.mkdir(parents=True, exist_ok=True)
    step = -(-max(image.shape) // LARGEST)
    shown, labels = image[::step, ::step], found.mask[::step, ::step]
    Image.fromarray(overlay(shown, labels, found.classes)).save(out / "overlays" / f"{name}.jpg", quality=92)
    for class_name, heat in found.cams.items():
        file = fitting_name(f"{name}_{UNFIT.sub('-', class_name)}", ".jpg")
        Image.fromarray(heatmap(shown, heat[::step, ::step])).save(out / "cams" / file, quality=92)


def _sigmoid(score: float) -> float:
    """Return the probability of a class from its score."""
    return float(torch.sigmoid(torch.tensor(score)))
