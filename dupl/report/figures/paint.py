"""Labels and class activation maps painted on photos; plain numpy arrays in and out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dupl.palette import colormap
from dupl.report.figures.figure_sheet import Picture, font
from dupl.structures import IGNORE

Labels = NDArray[np.uint8]  # label ids, (H, W)
Map = NDArray[np.float32]  # in [0, 1], (H, W)
Mask = NDArray[np.bool_]  # (H, W)

ALPHA = 0.55
OUTLINE = (255, 255, 255)
NOISE, NOISE_STRIPE = (255, 225, 0), (30, 30, 30)  # no class comes near, in colour or in pattern
VOID = tuple(int(value) for value in colormap()[IGNORE])


def overlay(image: Picture, labels: Labels, classes: Sequence[str] | None = None, alpha: float = ALPHA) -> Picture:
    """Return a photo with its labels painted on it in the PASCAL colours, (H, W, 3).

    Background pixels stay as they are, label 255 is hatched in grey, and a thin white line inside the painted regions
    separates them.

    Args:
        image: The photo, RGB, (H, W, 3).
        labels: Label ids, (H, W).
        classes: Names by label id. If given, each region with enough room carries the name of its class.
        alpha: Opacity of the paint, 0..1.

    Raises:
        ValueError: Labels and photo differ in size.
    """
    painted = paint(image, labels, alpha=alpha)
    return painted if classes is None else _named(painted, labels, classes)


def heatmap(image: Picture, cam: Map, alpha: float = 0.8) -> Picture:
    """Return a photo with a heat map on it, from black over red to pale yellow (inferno), (H, W, 3).

    The opacity grows with the value: at 0 the photo shows unchanged, from 0.5 on it is `alpha`.

    Args:
        image: The photo, RGB, (H, W, 3).
        cam: Values in [0, 1], (H, W); what lies outside is clipped.
        alpha: Opacity of high values, 0..1.

    Raises:
        ValueError: Map and photo differ in size.
    """
    _same_size(image, cam)
    heat = np.clip(np.nan_to_num(cam), 0, 1)
    opacity = (alpha * np.clip(2 * heat, 0, 1))[..., None]
    colours = _inferno()[np.rint(255 * heat).astype(np.intp)]
    return _to_bytes((1 - opacity) * image + opacity * colours)


def paint(
    image: Picture,
    labels: Labels,
    noisy: Mask | None = None,
    void: tuple[int, ...] | None = None,
    alpha: float = ALPHA,
) -> Picture:
    """Return what `overlay` does, with pixels filtered as noise striped in yellow and black, (H, W, 3).

    Args:
        image: The photo, RGB, (H, W, 3).
        labels: Label ids, (H, W).
        noisy: Pixels filtered as noise, whatever their label, (H, W).
        void: Colour that fills the pixels of label 255; None hatches them.
        alpha: Opacity of the classes' paint, 0..1.

    Raises:
        ValueError: The arrays differ in size.
    """
    _same_size(image, labels)
    region, unlabelled = (labels != 0) & (labels != IGNORE), labels == IGNORE
    blend = (1 - alpha) * image + alpha * colormap()[labels]
    painted = np.where(region[..., None], _to_bytes(blend), image)
    painted[edges(labels, beside_void=void is None)] = OUTLINE
    painted[unlabelled] = _hatched(image)[unlabelled] if void is None else void
    if noisy is not None:
        _same_size(image, noisy)
        painted[noisy] = np.where(_stripes(noisy, -1)[..., None], NOISE_STRIPE, NOISE)[noisy]
    return painted


def edges(labels: Labels, beside_void: bool = True) -> Mask:
    """Return the pixels of a class, 1..254, next to a pixel with a smaller label or 255, (H, W).

    Args:
        labels: Label ids, (H, W).
        beside_void: Whether a border to 255 counts.
    """
    height, width = labels.shape
    found = np.zeros(labels.shape, np.bool_)
    rank = labels.astype(np.int16)
    if beside_void:
        rank[labels == IGNORE] = -1
    for step in range(1, 1 + max(1, round(min(height, width) / 400))):
        found[step:] |= rank[:-step] < rank[step:]
        found[:-step] |= rank[step:] < rank[:-step]
        found[:, step:] |= rank[:, :-step] < rank[:, step:]
        found[:, :-step] |= rank[:, step:] < rank[:, :-step]
    found &= (labels != 0) & (labels != IGNORE)
    return found


def _same_size(image: Picture, other: NDArray[np.generic]) -> None:
    """Raise where an array does not have the size of the photo."""
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[:2] != other.shape:
        raise ValueError(f"a photo of shape {image.shape} does not go with an array of shape {other.shape}")


def _to_bytes(values: NDArray[np.floating]) -> Picture:
    """Round 0..255 to bytes."""
    return np.asarray(np.rint(values), np.uint8)


def _hatched(image: Picture) -> Picture:
    """Return the photo as a faint grey one under light diagonal stripes, (H, W, 3)."""
    grey = np.where(_stripes(image[..., 0], 1), 215.0, 125.0)
    light = image @ np.array([0.299, 0.587, 0.114])
    return np.repeat(_to_bytes(0.75 * grey + 0.25 * light)[..., None], 3, axis=2)


def _stripes(like: NDArray[np.generic], slope: int) -> Mask:
    """Return diagonal stripes, a third of the pixels, (H, W); slope 1 rises to the right, -1 falls."""
    height, width = like.shape
    thick = max(2, round(max(height, width) / 110))
    diagonal = np.add.outer(slope * np.arange(height), np.arange(width)) // thick
    return np.asarray(diagonal % 3 == 0)


@lru_cache(maxsize=1)
def _inferno() -> Picture:
    """Return 256 colours from low to high, (256, 3)."""
    import matplotlib

    colours = np.asarray(matplotlib.colormaps["inferno"](np.arange(256)), np.float64)
    return _to_bytes(colours[:, :3] * 255)


def _named(painted: Picture, labels: Labels, classes: Sequence[str]) -> Picture:
    """Return the painted photo with class names where they are farthest from a border, (H, W, 3)."""
    from scipy.ndimage import distance_transform_edt

    height, width = labels.shape
    size = max(11, round(min(height, width) / 22))
    face = font(size, bold=True)
    stride = max(1, max(height, width) // 256)  # the place need not be exact, and photos may be large
    canvas = Image.fromarray(painted)
    draw = ImageDraw.Draw(canvas)
    for label in np.unique(labels).tolist():
        if label in (0, IGNORE) or label >= len(classes):
            continue
        depth = distance_transform_edt(np.pad(labels[::stride, ::stride] == label, 1))[1:-1, 1:-1]
        y, x = divmod(int(depth.argmax()), depth.shape[1])
        half = face.getlength(classes[label]) / 2 + 2
        if depth.max() * stride < 0.8 * size or 2 * half > width:
            continue
        place = (min(max(x * stride, half), width - half), y * stride)
        draw.text(place, classes[label], OUTLINE, face, "mm", stroke_width=max(1, size // 10), stroke_fill=(0, 0, 0))
    return np.array(canvas)
