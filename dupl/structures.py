"""Constants and small frozen records that every room may use."""

from __future__ import annotations

from dataclasses import dataclass

IGNORE = 255  # label of a pixel that supervises nothing
IMAGE_MEAN = (0.485, 0.456, 0.406)  # ImageNet, for every backbone, as in the released code
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Clock:
    """The position of an iteration in its run.

    Attributes:
        t: Iterations that are done, 0 in the first step.
        T: Iterations of the whole run, at least 1.
    """

    t: int
    T: int
