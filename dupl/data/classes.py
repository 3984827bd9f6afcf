"""Class names of the public data sets, in the order of their label ids, and the colours of a label."""

from __future__ import annotations

from dupl.palette import colormap

__all__ = ["VOC_CLASSES", "colormap"]

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
