"""One image in a figure: the arrays behind its pictures, and each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dupl.report.figures.figure_sheet import Picture
from dupl.report.figures.paint import OUTLINE, VOID, Labels, Map, Mask, edges, heatmap, paint

STRONG = 0.62  # opacity of the colours of classes

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
    """Return an array at a size (width, height); not interpolated where it is enlarged twofold or more."""
    method = Image.Resampling.NEAREST if size[0] >= 2 * array.shape[1] else smooth
    plain = array.astype(np.uint8) if array.dtype == np.bool_ else array
    return np.asarray(Image.fromarray(plain).resize(size, method)).astype(array.dtype)
