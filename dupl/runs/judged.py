"""How much truth a mIoU rests on: images with a mask, and classes that a mask shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Judged:
    """The images and classes that an evaluation could judge, of all there are.

    Attributes:
        images: Images with a mask.
        of_images: Images of the data set.
        classes: Classes that a mask shows, with background.
        of_classes: Classes of the data set, with background.
    """

    images: int
    of_images: int
    classes: int
    of_classes: int

    def __str__(self) -> str:
        """Return "4 of 6 images and 3 of 4 classes judged"."""
        if not self.images:
            return f"no mask of {self.of_images} images, judged by tags"
        return f"{self.images} of {self.of_images} images and {self.classes} of {self.of_classes} classes judged"

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Judged | None:
        """Return what the facts of an evaluation say; None for those of earlier versions, which did not record it.

        Raises:
            ValueError: They are not four whole numbers.
        """
        if (stored := facts.get("judged")) is None:
            return None
        names = cls.__dataclass_fields__
        if not isinstance(stored, Mapping) or any(type(stored.get(name)) is not int for name in names):
            raise ValueError(f"judged is {str(stored)[:80]}: not {', '.join(names)}")
        return cls(**{name: stored[name] for name in names})
