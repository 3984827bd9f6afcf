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
from dupl.data.files import read_image
from dupl.engine.predict import Prediction, infer_image
from dupl.errors import UserError
from dupl.method.base import Method
from dupl.report.figures.paint import heatmap, overlay
from dupl.report.figures.picture_files import save_palette_png

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
    tags: dict[str, tuple[str, ...]] | None = None,
    student: str = "mean",
    by_tags: bool = False,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[str]:
    """Write ``masks/NAME.png``, ``overlays/NAME.jpg``, ``cams/NAME_CLASS.jpg`` and ``tags.csv`` below ``out``.

    An unreadable image is skipped. A CAM's name that is too long for a file system is cut and gets a digest.
    ``tags.csv`` lists the classes that CAMs were made of, and their probabilities (the sigmoid of their scores);
    ``tags`` can read it. ``tell`` is called with a line where masks hold other classes.

    Returns:
        A line for each image that was skipped.
    """
    for folder in ("masks", "overlays", "cams"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    table = [["image", "tags", "probabilities"]]
    skipped: list[str] = []
    untagged = 0
    model.eval()
    try:
        for done, file in enumerate(files, 1):
            try:
                image = read_image(file, upright=True)
            except UserError as error:
                skipped.append(str(error))
                continue
            given = tags[file.stem] if tags is not None else None
            found = infer_image(model, image, classes, size, given, student, by_tags)
            untagged += bool({classes[k] for k in np.unique(found.mask)} - {classes[0], *found.cams})
            _write_pictures(out, file.stem, image, found)
            chances = (_sigmoid(float(found.scores[list(classes).index(c) - 1])) for c in found.cams)
            table.append([file.name, ";".join(found.cams), ";".join(f"{chance:.4f}" for chance in chances)])
            if progress is not None:
                progress(done, len(files))
    finally:  # also after an error or a signal, for the images done so far
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([cells.written(cell) for cell in row] for row in table)
        atomic_write(out / "tags.csv", text.getvalue())
    if untagged and tell is not None:
        tell(f"masks of {untagged} images hold classes that are not among their tags; --by-tags leaves these out")
    return skipped


def _write_pictures(out: Path, name: str, image: NDArray[np.uint8], found: Prediction) -> None:
    """Write the mask of an image, its overlay and the CAMs; overlay and CAMs of a huge image are reduced."""
    save_palette_png(found.mask, out / "masks" / f"{name}.png")
    step = -(-max(image.shape) // LARGEST)
    shown, labels = image[::step, ::step], found.mask[::step, ::step]
    Image.fromarray(overlay(shown, labels, found.classes)).save(out / "overlays" / f"{name}.jpg", quality=92)
    for class_name, heat in found.cams.items():
        file = fitting_name(f"{name}_{UNFIT.sub('-', class_name)}", ".jpg")
        Image.fromarray(heatmap(shown, heat[::step, ::step])).save(out / "cams" / file, quality=92)


def _sigmoid(score: float) -> float:
    """Return the probability of a class from its score."""
    return float(torch.sigmoid(torch.tensor(score)))
