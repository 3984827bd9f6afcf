"""Pictures for trackers: images with label maps, and the losses of the noise filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from dupl.report.figures.figure_sheet import stack
from dupl.report.figures.image_row import ImageRow, row_picture
from dupl.report.figures.picture_page import page_image
from dupl.structures import IGNORE
from dupl.track.records import Histogram, Picture

NOISE = 254  # label of pixels filtered as noise in the pictures' label maps


def pictures(rows: Sequence[ImageRow], classes: Sequence[str]) -> dict[str, list[Picture]]:
    """Return CAMs, pseudo-labels and predictions of each student: photos with label maps as overlays."""
    labels = {**dict(enumerate(classes)), NOISE: "filtered as noise", IGNORE: "undecided"}
    found: dict[str, list[Picture]] = {}
    for row in rows:
        truth = {} if row.truth is None else {"truth": row.truth}
        caption = f"{row.name}: {', '.join(row.tags)}"
        height, width = row.image.shape[:2]
        for s in range(len(row.prediction)):
            cut = row.cam_labels[s] if row.cam_labels and s < len(row.cam_labels) else None
            heat = row_picture(row, "CAM", s, (width, height))
            if heat is not None:
                cam = Picture(heat, caption, truth if cut is None else {"CAM": cut, **truth}, labels)
                found.setdefault(f"pictures/cam/{s + 1}", []).append(cam)
            if s < len(row.pseudo):
                made = np.where(row.noisy[s], np.uint8(NOISE), row.pseudo[s]) if row.noisy else row.pseudo[s]
                label = Picture(row.image, caption, {"pseudo-label": made, **truth}, labels)
                found.setdefault(f"pictures/label/{s + 1}", []).append(label)
            predicted = Picture(row.image, caption, {"prediction": row.prediction[s], **truth}, labels)
            found.setdefault(f"pictures/prediction/{s + 1}", []).append(predicted)
    return found


def mixtures(rows: Sequence[ImageRow], losses: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Draw the losses of the noise filter with their mixtures (Fig. 4), and return each student's histogram.

    Args:
        rows: The images.
        losses: Of each image and student, see `Viewer.view`.
    """
    from dupl.report.figures.noise_mixture import mixture_picture  # imports matplotlib

    listed, found = [], dict[str, Any]()
    for row, of_image in zip(rows, losses, strict=True):
        for s, one in enumerate(of_image):
            listed.append((f"{row.name}, student {s + 1}", one))
            if one["counts"] and f"noise/{s + 1}/losses" not in found:  # of the first image that has any
                edges = np.linspace(one["low"], one["high"], len(one["counts"]) + 1)
                found[f"noise/{s + 1}/losses"] = Histogram(one["counts"], edges.tolist())
    drawn = mixture_picture(listed, max(map(len, losses)))
    return {"noise/mixtures": [Picture(drawn, "losses of labelled pixels")], **found}


def sheet(
    rows: Sequence[ImageRow], losses: Sequence[Sequence[Mapping[str, Any]]], classes: Sequence[str], title: str
) -> dict[str, Any]:
    """Draw the images and the losses of the noise filter as one picture, a single file of a run recorded offline.

    Args:
        rows: The images.
        losses: Of each image and student, see `Viewer.view`.
        classes: Class names by label id, background first.
        title: The heading.

    Returns:
        The picture and the histograms by key; empty where there are no images.
    """
    if not rows:
        return {}
    found = mixtures(rows, losses) if any(losses) else {}
    below = [Image.fromarray(drawn.image) for drawn in found.pop("noise/mixtures", [])]
    page = stack([page_image(rows, classes, title), *below])
    return {"pictures/sheet": [Picture(np.asarray(page), title)], **found}
