"""What the picture page shows of one image: the data of a row, each of its pictures, and their legend."""

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
class Panel:
    """One row of the picture page. Lists hold one array per student and may be empty.

    Attributes:
        name: The image's name.
        image: RGB, (H, W, 3).
        truth: Label ids, (H, W); None where there is no mask.
        cams: CAM in [0, 1], the largest value over the classes present, (H, W).
        cam_labels: CAM cut off at its threshold, label ids, (H, W), outlined on the CAM; or None.
        pseudo: Pseudo-labels, 255 where undecided, (H, W).
        noisy: Pixels whose pseudo-label is filtered as noise, (H, W).
        prediction: Segmentation, label ids, (H, W).
        tags: Names of the classes present.
        notes: Anything else to say of the image.
        who: Whose the maps are, in the order of the lists; the students one after the other where empty.
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
class Key:
    """One entry of the legend.

    Attributes:
        text: What the swatch stands for.
        swatch: A sample of it, RGB, (h, w, 3).
    """

    text: str
    swatch: Picture


def pane(panel: Panel, kind: Kind, student: int, size: tuple[int, int]) -> Picture | None:
    """Return one picture of a panel, painted at the size it is seen at, (h, w, 3).

    Args:
        panel: The row it stands in.
        kind: What to show; None comes back where the panel has nothing of the kind.
        student: Of which student, from 0; of no account to image and truth.
        size: Its width and height in pixels.
    """
    photo = _resized(panel.image, size, Image.Resampling.LANCZOS)
    if kind == "Image":
        return photo
    if kind == "Truth":
        if panel.truth is None:
            return None
        return paint(photo, _resized(panel.truth, size), void=VOID, alpha=STRONG)
    if kind == "CAM" and student < len(panel.cams):
        picture = heatmap(photo, _resized(panel.cams[student].astype(np.float32), size, Image.Resampling.BILINEAR))
        cut = panel.cam_labels[student] if panel.cam_labels and student < len(panel.cam_labels) else None
        if cut is not None:
            picture[edges(_resized(cut, size))] = OUTLINE
        return picture
    if kind == "Pseudo-label" and student < len(panel.pseudo):
        noisy = _resized(panel.noisy[student], size) if student < len(panel.noisy) else None
        return paint(photo, _resized(panel.pseudo[student], size), noisy=noisy, alpha=STRONG)
    if kind == "Prediction" and student < len(panel.prediction):
        return paint(photo, _resized(panel.prediction[student], size), alpha=STRONG)
    return None


def _resized(
    array: NDArray[Scalar], size: tuple[int, int], smooth: Image.Resampling = Image.Resampling.NEAREST
) -> NDArray[Scalar]:
    """Return an array at a size (width, height); where it is enlarged twice or more, pixels stay pixels."""
    method = Image.Resampling.NEAREST if size[0] >= 2 * array.shape[1] else smooth
    plain = array.astype(np.uint8) if array.dtype == np.bool_ else array
    return np.asarray(Image.fromarray(plain).resize(size, method)).astype(array.dtype)


def legend(panels: Sequence[Panel], classes: Sequence[str]) -> list[Key]:
    """Return the legend of a page: the classes to be seen on it, then the other marks.

    "undecided" and "filtered as noise" stand there wherever pseudo-labels do, with "(none here)" if so;
    "void" and the marks of CAMs only where they occur.

    Args:
        panels: The images of the page.
        classes: Class names by label id, background first.
    """
    seen = {label for panel in panels for labels in _painted(panel) for label in np.unique(labels).tolist()}
    unsure = any((a == IGNORE).any() for panel in panels for a in (*panel.pseudo, *panel.prediction))
    noise = any(noisy.any() for panel in panels for noisy in panel.noisy)
    void = any(panel.truth is not None and (panel.truth == IGNORE).any() for panel in panels)

    grey, every = np.full((18, 34, 3), GREY, np.uint8), np.ones((18, 34), np.bool_)
    keys = []
    for label in sorted(seen - {0, IGNORE}):
        name = classes[label] if label < len(classes) else f"label {label}"
        keys.append(Key(name, filled(grey, tint(label))))
    if 0 in seen:
        keys.append(Key(f"{classes[0]} (not painted)", filled(grey, PAPER)))
    taught = any(panel.pseudo for panel in panels)
    if taught or unsure:
        sample = paint(grey, np.full(every.shape, IGNORE, np.uint8))
        keys.append(Key("undecided" + ("" if unsure else " (none here)"), sample))
    if taught:
        sample = paint(grey, np.zeros(every.shape, np.uint8), noisy=every)
        keys.append(Key("filtered as noise" + ("" if noise else " (none here)"), sample))
    if void:
        keys.append(Key("void", filled(grey, VOID)))
    if any(panel.cams for panel in panels):
        ramp = np.broadcast_to(np.linspace(0, 1, 96, dtype=np.float32), (18, 96))
        keys.append(Key("CAM from 0 to 1", heatmap(np.full((18, 96, 3), GREY, np.uint8), ramp)))
    if any(labels is not None for panel in panels for labels in panel.cam_labels or ()):
        sample = heatmap(grey, np.full(every.shape, 0.45, np.float32))
        sample[8:10] = OUTLINE
        keys.append(Key("threshold of the CAM", sample))
    return keys


def _painted(panel: Panel) -> list[NDArray[np.uint8]]:
    """Return the labels that are to be seen in a panel, of any shape."""
    noisy = [*panel.noisy, *(np.zeros(a.shape, np.bool_) for a in panel.pseudo[len(panel.noisy) :])]
    pseudo = [labels[~hidden] for labels, hidden in zip(panel.pseudo, noisy, strict=False)]
    return [*([] if panel.truth is None else [panel.truth]), *pseudo, *panel.prediction]


def tint(label: int) -> tuple[int, ...]:
    """Return the colour of a class as it looks on a grey photo."""
    spot = np.full((1, 1, 3), GREY, np.uint8)
    return tuple(paint(spot, np.full((1, 1), label, np.uint8), alpha=STRONG)[0, 0].tolist())


def filled(like: Picture, colour: tuple[int, ...]) -> Picture:
    """Return a picture of one colour, as large as another."""
    picture = np.empty_like(like)
    picture[:] = colour
    return picture
