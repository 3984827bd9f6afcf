"""One image in a figure: the arrays behind its pictures, each picture, and the legend of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dupl.report.figures.figure_sheet import PAPER, Picture
from dupl.report.figures.paint import OUTLINE, VOID, Labels, Map, Mask, edges, heatmap, paint
from dupl.structures import IGNORE

GREY, STRONG = 140, 0.62  # brightness of the photo under samples; opacity of the classes' paint on a page

Kind = Literal["Image", "Truth", "CAM", "Pseudo-label", "Prediction"]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class ImageRow:
    """The arrays behind the pictures of one image. Lists hold one array per student and may be empty.

    Attributes:
        name: The image's name.
        image: RGB, (H, W, 3).
        truth: Label ids, (H, W); None where there is no mask.
        cams: CAM in [0, 1], the largest value over the classes present, (H, W).
        cam_labels: CAM cut at its threshold, label ids, (H, W), outlined on the CAM; or None.
        pseudo: Pseudo-labels, 255 where undecided, (H, W).
        noisy: Pixels whose pseudo-label is filtered as noise, (H, W).
        prediction: Segmentation, label ids, (H, W).
        tags: Names of the classes present.
        notes: Anything else to say of the image.
        who: Names of the models behind the arrays of each list; students 1, 2, ... where empty.
    """

    name: str
    image: Picture
    truth: Labels | None
    cams: Sequence[Map]
    cam_labels: Sequence[Labels | None] | None
    pseudo: Sequence[Labels]
    noisy: Sequence[Mask]
    prediction: Sequence[Labels]
    tags: tuple[str, ...]
    notes: str = ""
    who: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse arrays of another size than the image, or of another type than named above."""
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"{self.name}: the image is {self.image.dtype} {self.image.shape}")
        wanted = {"cams": np.floating, "noisy": np.bool_}
        lists = ("cams", "cam_labels", "pseudo", "noisy", "prediction")
        arrays = [("truth", self.truth), *((name, a) for name in lists for a in getattr(self, name) or ())]
        for name, array in arrays:
            if array is None:
                continue
            if array.shape != self.image.shape[:2]:
                raise ValueError(f"{self.name}: {name} of {array.shape}, image of {self.image.shape}")
            if not np.issubdtype(array.dtype, wanted.get(name, np.uint8)):
                raise ValueError(f"{self.name}: {name} is {array.dtype}")


@dataclass(frozen=True, eq=False)
class LegendEntry:
    """One entry of the legend.

    Attributes:
        text: What the swatch stands for.
        swatch: A sample of it, RGB, (h, w, 3).
    """

    text: str
    swatch: Picture


def row_picture(row: ImageRow, kind: Kind, student: int, size: tuple[int, int]) -> Picture | None:
    """Return one picture of an image, painted at the size at which it is shown, (h, w, 3).

    Args:
        row: The image.
        kind: What to show.
        student: Of which student, from 0; ignored for image and truth.
        size: Width and height in pixels.

    Returns:
        None where the row has nothing of the kind.
    """
    photo = _resized(row.image, size, Image.Resampling.LANCZOS)
    if kind == "Image":
        return photo
    if kind == "Truth":
        if row.truth is None:
            return None
        return paint(photo, _resized(row.truth, size), void=VOID, alpha=STRONG)
    if kind == "CAM" and student < len(row.cams):
        picture = heatmap(photo, _resized(row.cams[student].astype(np.float32), size, Image.Resampling.BILINEAR))
        cut = row.cam_labels[student] if row.cam_labels and student < len(row.cam_labels) else None
        if cut is not None:
            picture[edges(_resized(cut, size))] = OUTLINE
        return picture
    if kind == "Pseudo-label" and student < len(row.pseudo):
        noisy = _resized(row.noisy[student], size) if student < len(row.noisy) else None
        return paint(photo, _resized(row.pseudo[student], size), noisy=noisy, alpha=STRONG)
    if kind == "Prediction" and student < len(row.prediction):
        return paint(photo, _resized(row.prediction[student], size), alpha=STRONG)
    return None


def _resized(
    array: NDArray[Scalar], size: tuple[int, int], smooth: Image.Resampling = Image.Resampling.NEAREST
) -> NDArray[Scalar]:
    """Return an array at a size (width, height); where it is enlarged twice or more, pixels stay pixels."""
    method = Image.Resampling.NEAREST if size[0] >= 2 * array.shape[1] else smooth
    plain = array.astype(np.uint8) if array.dtype == np.bool_ else array
    return np.asarray(Image.fromarray(plain).resize(size, method)).astype(array.dtype)


def legend(rows: Sequence[ImageRow], classes: Sequence[str]) -> list[LegendEntry]:
    """Return the legend of a figure: the classes that occur in it, then the other colours and lines.

    "undecided" and "filtered as noise" are listed whenever there are pseudo-labels, with "(none here)" where they do
    not occur; "void" and the entries of CAMs only where they occur.

    Args:
        rows: The images of the figure.
        classes: Class names by label id, background first.
    """
    seen = {label for row in rows for labels in _painted(row) for label in np.unique(labels).tolist()}
    unsure = any((a == IGNORE).any() for row in rows for a in (*row.pseudo, *row.prediction))
    noise = any(noisy.any() for row in rows for noisy in row.noisy)
    void = any(row.truth is not None and (row.truth == IGNORE).any() for row in rows)

    grey, every = np.full((18, 34, 3), GREY, np.uint8), np.ones((18, 34), np.bool_)
    entries = []
    for label in sorted(seen - {0, IGNORE}):
        name = classes[label] if label < len(classes) else f"label {label}"
        entries.append(LegendEntry(name, filled(grey, tint(label))))
    if 0 in seen:
        entries.append(LegendEntry(f"{classes[0]} (not painted)", filled(grey, PAPER)))
    taught = any(row.pseudo for row in rows)
    if taught or unsure:
        sample = paint(grey, np.full(every.shape, IGNORE, np.uint8))
        entries.append(LegendEntry("undecided" + ("" if unsure else " (none here)"), sample))
    if taught:
        sample = paint(grey, np.zeros(every.shape, np.uint8), noisy=every)
        entries.append(LegendEntry("filtered as noise" + ("" if noise else " (none here)"), sample))
    if void:
        entries.append(LegendEntry("void", filled(grey, VOID)))
    if any(row.cams for row in rows):
        ramp = np.broadcast_to(np.linspace(0, 1, 96, dtype=np.float32), (18, 96))
        entries.append(LegendEntry("CAM from 0 to 1", heatmap(np.full((18, 96, 3), GREY, np.uint8), ramp)))
    if any(labels is not None for row in rows for labels in row.cam_labels or ()):
        sample = heatmap(grey, np.full(every.shape, 0.45, np.float32))
        sample[8:10] = OUTLINE
        entries.append(LegendEntry("threshold of the CAM", sample))
    return entries


def _painted(row: ImageRow) -> list[NDArray[np.uint8]]:
    """Return the labels that are visible in the pictures of an image, as arrays of any shape."""
    noisy = [*row.noisy, *(np.zeros(a.shape, np.bool_) for a in row.pseudo[len(row.noisy) :])]
    pseudo = [labels[~hidden] for labels, hidden in zip(row.pseudo, noisy, strict=False)]
    return [*([] if row.truth is None else [row.truth]), *pseudo, *row.prediction]


def tint(label: int) -> tuple[int, ...]:
    """Return the colour of a class as it looks on a grey photo."""
    spot = np.full((1, 1, 3), GREY, np.uint8)
    return tuple(paint(spot, np.full((1, 1), label, np.uint8), alpha=STRONG)[0, 0].tolist())


def filled(like: Picture, colour: tuple[int, ...]) -> Picture:
    """Return a picture of one colour, as large as another."""
    picture = np.empty_like(like)
    picture[:] = colour
    return picture
