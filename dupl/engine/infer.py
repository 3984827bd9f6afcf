"""Masks, overlays and CAM heat maps for any images, with or without image tags."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dupl import cells
from dupl.atomic import atomic_write
from dupl.data.files import read_image, without_suffix
from dupl.data.tag_table import read_tag_table
from dupl.data.views import normalize
from dupl.errors import UserError
from dupl.method.base import Method
from dupl.method.cam import Present
from dupl.report.figures.paint import heatmap, overlay
from dupl.report.figures.picture_files import save_palette_png

MOST = 1 << 28  # values of a student's maps at the size of a photo; beyond, an eighth of it is held at once
LARGEST = 6000  # side of a photo in pixels, beyond which its pictures are reduced
UNFIT = re.compile(r"[/\\\0]")  # for the name of a file; a class may be called so


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one image of H x W pixels, with K foreground classes.

    Attributes:
        mask: Class ids, uint8 (H, W); 0 is background.
        scores: Of the foreground classes, before the sigmoid, float32 (K,); a positive score is a predicted tag.
        cams: Class activation maps in [0, 1), float32 (H, W), by the name of a foreground class.
        classes: K + 1 names by class id, background first.
    """

    mask: NDArray[np.uint8]
    scores: NDArray[np.float32]
    cams: dict[str, NDArray[np.float32]]
    classes: tuple[str, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """The classes that the model finds in the image: those with a positive score."""
        return tuple(name for name, score in zip(self.classes[1:], self.scores, strict=True) if score > 0)


def infer_image(
    model: Method,
    image: NDArray[np.uint8],
    classes: Sequence[str],
    size: int,
    tags: Sequence[str] | None = None,
    student: str = "mean",
    by_tags: bool = False,
) -> Prediction:
    """Segment one image, squashed to ``size`` as in evaluation.

    Args:
        model: In evaluation mode.
        image: uint8 (H, W, 3).
        classes: Background first.
        size: Side of the square.
        tags: Classes to make CAMs of; None takes those with a positive mean score.
        student: "1", "2", ..., or "mean" of the students' probabilities, scores and CAMs.
        by_tags: Whether the mask holds only background and the tags, given or predicted.
    """
    device = next(model.parameters()).device
    x = F.interpolate(normalize(image)[None].to(device), (size, size), mode="bilinear", align_corners=False)
    chosen = range(len(model.students)) if student == "mean" else [int(student) - 1]
    answer = model.predict(x, cams=False)
    scores = torch.stack([answer[s][0] for s in chosen]).mean(0)  # (1, K)
    if tags is None:
        wanted = (scores > 0).float()
    else:
        wanted = torch.tensor([[float(c in tags) for c in classes[1:]]], device=device)
    present = Present.of(wanted.cpu()).to(device)
    answer = model.predict(x, present) if wanted.any() else answer
    shape = image.shape[:2]
    labels = np.empty(shape, np.uint8)
    for rows, logits in strips([answer[s][1] for s in chosen], shape):
        mean = torch.stack([one.softmax(1) for one in logits]).mean(0)
        if by_tags:
            mean[:, 1:][:, wanted[0] == 0] = -1
        labels[rows] = mean.argmax(1)[0].to(torch.uint8).cpu().numpy()
    cams: dict[str, NDArray[np.float32]] = {}
    if wanted.any():
        mains = [maps.main for s in chosen if (maps := answer[s][2]) is not None]
        heat = F.interpolate(torch.stack(mains).mean(0), shape, mode="bilinear", align_corners=False)[0]
        cams = {classes[int(c) + 1]: heat[m].cpu().numpy() for m, c in enumerate(present.index[0])}
    return Prediction(labels, scores[0].cpu().numpy(), cams, tuple(classes))


def strips(maps: Sequence[Tensor], size: Sequence[int]) -> Iterator[tuple[slice, list[Tensor]]]:
    """Maps (1, C, h, w) enlarged to a height and width, bilinear, whole or, beyond ``MOST``, in strips of rows.

    Yields:
        Which rows, and those of each map, (1, C, rows, W).
    """
    height, width = size
    row = maps[0].shape[1] * width
    if row * height <= MOST:
        yield slice(0, height), [F.interpolate(m, tuple(size), mode="bilinear", align_corners=False) for m in maps]
        return
    step = max(1, MOST // 8 // row)
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        found = []
        for m in maps:
            h = m.shape[-2]
            at = ((torch.arange(rows.start, rows.stop, device=m.device) + 0.5) * (h / height) - 0.5).clamp(0, h - 1)
            low = at.long()
            tall = m[:, :, low].lerp(m[:, :, (low + 1).clamp(max=h - 1)], (at - low)[:, None])
            found.append(F.interpolate(tall, (len(at), width), mode="bilinear", align_corners=False))
        yield rows, found


def read_tags(text: str, files: Sequence[Path], classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Tags per image name: from a CSV as a tagged folder has it, or one list of class names for all images.

    Raises:
        UserError: An unknown class, or an image that the CSV lacks.
    """
    if text.endswith(".csv"):
        table = read_tag_table(text, classes[1:])
        rows = {without_suffix(name): tags for name, tags in table.tags.items()}
        lacking = [f.name for f in files if f.stem not in rows]
        if lacking:
            raise UserError(
                f"{text} has no row for {lacking[0]}" + (f" and {len(lacking) - 1} more" if lacking[1:] else "")
            )
        return {f.stem: rows[f.stem] for f in files}
    pieces = [piece.strip() for piece in text.split(",")]  # a class name may hold spaces
    tags = tuple(tag for piece in pieces for tag in ([piece] if piece in classes else piece.split()))
    check_tags(tags, classes)
    return {f.stem: tags for f in files}


def check_tags(tags: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse tags that name no foreground class.

    Raises:
        UserError: One does not.
    """
    if unknown := [tag for tag in tags if tag not in classes[1:]]:
        raise UserError(f"--tags: no class {unknown[0]!r}; there are {', '.join(classes[1:])}")


def claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Make a folder for what ``infer`` writes, and note in ``infer.json`` what wrote it.

    Args:
        out: The folder.
        facts: For the note, as JSON has them.

    Raises:
        UserError: It holds masks or a table that are not of ``infer``, such as those of a data set.
    """
    note = out / "infer.json"
    theirs = [out / "tags.csv", *(out / "masks").glob("*"), *(out / "overlays").glob("*"), *(out / "cams").glob("*")]
    if not note.exists() and (found := next((file for file in theirs if file.exists()), None)):
        raise UserError(f"{found} is not of dupl infer, which would write over it: choose another folder by --out")
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

    An unreadable image is skipped. ``tags.csv`` lists the classes that CAMs were made of, and their probabilities (the
    sigmoid of their scores); ``tags`` can read it. ``tell`` is called with a line where masks hold other classes.

    Returns:
        A line for each image that was skipped.
    """
    for folder in ("masks", "overlays", "cams"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    table = [["image", "tags", "probabilities"]]
    passed: list[str] = []
    untagged = 0
    model.eval()
    try:
        for done, file in enumerate(files, 1):
            try:
                image = read_image(file, upright=True)
            except UserError as error:
                passed.append(str(error))
                continue
            given = tags[file.stem] if tags is not None else None
            found = infer_image(model, image, classes, size, given, student, by_tags)
            untagged += bool({classes[k] for k in np.unique(found.mask)} - {classes[0], *found.cams})
            save_palette_png(found.mask, out / "masks" / f"{file.stem}.png")
            every = -(-max(image.shape) // LARGEST)
            shown, labels = image[::every, ::every], found.mask[::every, ::every]
            Image.fromarray(overlay(shown, labels, classes)).save(out / "overlays" / f"{file.stem}.jpg", quality=92)
            for name, heat in found.cams.items():
                place = out / "cams" / f"{file.stem}_{UNFIT.sub('-', name)}.jpg"
                Image.fromarray(heatmap(shown, heat[::every, ::every])).save(place, quality=92)
            chances = (_sigmoid(float(found.scores[list(classes).index(c) - 1])) for c in found.cams)
            table.append([file.name, ";".join(found.cams), ";".join(f"{chance:.4f}" for chance in chances)])
            if progress is not None:
                progress(done, len(files))
    finally:  # of those that are done, whatever stops it
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([cells.written(cell) for cell in row] for row in table)
        atomic_write(out / "tags.csv", text.getvalue())
    if untagged and tell is not None:
        tell(f"masks of {untagged} images hold classes that are not among their tags; --by-tags leaves these out")
    return passed


def _sigmoid(score: float) -> float:
    """Return the probability of a class from its score."""
    return float(torch.sigmoid(torch.tensor(score)))
