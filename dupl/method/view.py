"""Views: augmented sights of the images of a batch, and the geometry between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.structures import IGNORE


@dataclass(frozen=True)
class Warp:
    """The geometry of B views: position p of a view shows position ``gain`` p + ``shift`` of its source.

    Positions are in pixels, row then column; the centre of pixel i lies at i + 1/2.

    Attributes:
        gain: Source pixels per pixel of the view, negative where the view is mirrored, float64 (B, 2).
        shift: Position of the source at the origin of the view, float64 (B, 2).
    """

    gain: Tensor
    shift: Tensor

    def after(self, first: Warp) -> Warp:
        """Compose two warps: a view by ``first`` of a view by this one, p -> self(first(p))."""
        return Warp(self.gain * first.gain, self.gain * first.shift + self.shift)

    def inverse(self) -> Warp:
        """Return the warp from positions of the source to positions of the view."""
        return Warp(1 / self.gain, -self.shift / self.gain)

    def sources(self, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the source positions of the centres of the rows (B, H) and columns (B, W) of a view."""
        rows, columns = (torch.arange(side, device=self.gain.device) + 0.5 for side in size)
        at = [self.gain[:, axis, None] * p + self.shift[:, axis, None] for axis, p in enumerate((rows, columns))]
        return at[0], at[1]

    def images(self, images: Tensor) -> Tensor:
        """Make views of images (B, C, H, W), bilinear, 0 outside the images."""
        size = images.shape[-2:]
        y, x = (2 * at / side - 1 for at, side in zip(self.sources(size), size, strict=True))
        grid = torch.stack([x[:, None].expand(-1, size[0], -1), y[..., None].expand(-1, -1, size[1])], -1)
        return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", align_corners=False)

    def labels(self, labels: Tensor) -> Tensor:
        """Make views of labels (B, H, W), nearest neighbour, 255 outside the labels."""
        (height, width), (y, x) = labels.shape[-2:], (at.floor().long() for at in self.sources(labels.shape[-2:]))
        row = y.clamp(0, height - 1)[..., None].expand(-1, -1, width)
        column = x.clamp(0, width - 1)[:, None].expand(-1, height, -1)
        beyond = ((y < 0) | (y >= height))[..., None] | ((x < 0) | (x >= width))[:, None]
        return labels.gather(1, row).gather(2, column).masked_fill(beyond, IGNORE)

    def boxes(self, boxes: Tensor, size: Sequence[int]) -> Tensor:
        """Return the boxes in views of this size that show the pixels of ``boxes``.

        Args:
            boxes: y0, y1, x0, x1, ends excluded, int64 (B, 4).
            size: H and W of the views.

        Returns:
            Int64 (B, 4); an empty box at 0 where a view does not show any pixel of the box.
        """
        ends = []
        for axis, at in enumerate(self.sources(size)):
            low, high = boxes[:, 2 * axis, None], boxes[:, 2 * axis + 1, None]
            shown = (at >= low) & (at < high)
            first = shown.to(torch.uint8).argmax(1)
            ends += [first, first + shown.sum(1)]
        return torch.stack(ends, 1)


@dataclass(frozen=True)
class View:
    """An augmented sight of the images of a batch.

    Attributes:
        images: (B, 3, H, W), normalised.
        boxes: y0, y1, x0, x1 of the photo in each image, int64 (B, 4).
    """

    images: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class WarpedView(View):
    """A view that only one student sees.

    Attributes:
        warp: Geometry of these images, as views of those of the loader.
    """

    warp: Warp


def shared(views: Sequence[View]) -> Iterator[tuple[View, slice]]:
    """Yield each different view with the students that share it, so that work on images alone is done once."""
    for _, group in groupby(range(len(views)), key=lambda student: id(views[student])):
        students = list(group)
        yield views[students[0]], slice(students[0], students[-1] + 1)
