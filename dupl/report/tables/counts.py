"""Metrics from pixels per image: of the images as they are, of resamples of them, and with each left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dupl.runs.metrics import class_iou, oa_rate
from dupl.runs.pixel_counts import PixelCounts

Values = NDArray[np.float64]
BACKGROUND = "background"
FAIR = "fair"  # the averaged students, or the only one: no choice by the reported data
BLOCK = 1 << 22  # numbers that are held at once
EXACT = 1 << 24  # whole numbers below it are exact in single precision
FULL = 16  # of as many numbers one that is not 0 makes a dense product faster than a sparse one


@dataclass(frozen=True)
class Metric:
    """A metric that follows from counts.

    Attributes:
        kind: "cam" or "seg".
        who: A student's number, "mean" (averaged probabilities), "best" (the better student), or "fair" (the averaged
            students, or the only one).
        figure: "mIoU", the name of a subset's mIoU, or "OA" (Sec. 4.3: the foreground's mean FP / (TP + FP)).
        subset: Class names of that mIoU; None is every class.
    """

    kind: str
    who: str
    figure: str
    subset: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, name: str, subsets: Mapping[str, Sequence[str]] | None = None) -> Metric | None:
        """From its name, such as "cam/best/mIoU"; None where it does not follow from counts.

        Args:
            name: As evaluations write it.
            subsets: Class names by the name of a subset's mIoU.
        """
        parts = name.split("/")
        if len(parts) != 3 or parts[0] not in ("cam", "seg"):
            return None
        kind, who, figure = parts
        if figure in ("mIoU", "OA"):
            return cls(kind, who, figure)
        chosen = (subsets or {}).get(figure)
        return None if chosen is None else cls(kind, who, figure, tuple(chosen))

    def maps(self, known: Iterable[str]) -> list[str]:
        """The label maps it needs of those there are ("cam/1", "cam/mean", ...)."""
        names = sorted(set(known))
        if self.who == FAIR:
            numbered = [name for name in names if name.startswith(f"{self.kind}/") and name[-1].isdigit()]
            return [name for name in names if name == f"{self.kind}/mean"] or numbered * (len(numbered) == 1)
        if self.who != "best":
            return [name for name in names if name == f"{self.kind}/{self.who}"]
        return [name for name in names if name.startswith(f"{self.kind}/") and name.split("/")[1].isdigit()]

    def of(self, totals: NDArray[Any], classes: Sequence[str]) -> Values:
        """The metric in percent, (...), of TP, FP and FN of every map and class, (..., maps, classes, 3).

        IoU leaves out classes that the truth does not contain, and OA those never predicted; the mean is over the
        others. Of several maps the highest counts.
        """
        tp, fp, fn = (np.asarray(totals[..., k], float) for k in range(3))
        if self.figure == "OA":
            chosen = np.array([name != BACKGROUND for name in classes])
            values = oa_rate(tp, fp)
        else:
            chosen = np.array([self.subset is None or name in self.subset for name in classes])
            values = class_iou(tp, fp, fn)
        known = chosen & ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            means = np.where(known, values, 0).sum(-1) / known.sum(-1)
        best: Values = np.fmax.reduce(means, axis=-1)
        return best


@dataclass(frozen=True)
class Counts:
    """Pixels per image of one evaluation.

    Attributes:
        table: TP, FP and FN, (images, maps * classes * 3): an array, or sparse where few of many numbers are not 0.
        maps: How many label maps.
        classes: Names.
        images: Names, in the order of the rows.
    """

    table: Any
    maps: int
    classes: tuple[str, ...]
    images: tuple[str, ...]

    @classmethod
    def dense(cls, counts: NDArray[Any], classes: Sequence[str], images: Sequence[str] | None = None) -> Counts:
        """From an array (images, maps, classes, 3)."""
        from scipy.sparse import csr_array

        names = [str(k) for k in range(len(counts))] if images is None else images
        table = csr_array(counts.reshape(len(counts), -1).astype(float))
        return cls(table, counts.shape[1], tuple(classes), tuple(names))

    @classmethod
    def of(cls, pixels: PixelCounts, maps: Sequence[str]) -> Counts:
        """From the pixels of one evaluation; of images and classes those that occur.

        Args:
            pixels: Of some label maps.
            maps: Which of them.
        """
        place = np.array([maps.index(name) if name in maps else -1 for name in pixels.maps], np.intp)[pixels.map_of]
        kept = place >= 0
        image, images = _occurring(pixels.image_of[kept], pixels.images)
        label, classes = _occurring(pixels.class_of[kept], pixels.classes)
        column = ((place[kept] * len(classes) + label) * 3)[:, None] + np.arange(3)
        shape = (len(images), len(maps) * len(classes) * 3)
        table = _table(np.broadcast_to(image[:, None], column.shape), column, pixels.pixels[kept].astype(float), shape)
        return cls(table, len(maps), classes, images)

    def value(self, metric: Metric) -> float:
        """The metric of all images."""
        return float(self._metric(metric, self.table.sum(0)[None])[0])

    def resampled(self, metric: Metric, resamples: int, seed: int) -> Values:
        """The metric of images drawn with replacement, (resamples,); the same draws for all with as many images."""
        count = len(self.images)
        drawn = _weights(count, resamples, seed, self.table.dtype)
        found = [self._metric(metric, weights @ self.table) for weights in drawn]
        return np.concatenate(found)

    def left_out(self, metric: Metric) -> Values:
        """The metric without each image, (images,)."""
        total, size = self.table.sum(0), max(1, BLOCK // self.table.shape[1])
        starts = range(0, len(self.images), size)
        return np.concatenate([self._metric(metric, total - _array(self.table[k : k + size])) for k in starts])

    def _metric(self, metric: Metric, totals: NDArray[Any]) -> Values:
        return metric.of(totals.reshape(len(totals), self.maps, len(self.classes), 3), self.classes)


def _weights(images: int, resamples: int, seed: int, kind: Any) -> Iterable[NDArray[Any]]:
    """How often each image is drawn, (resamples, images), in blocks of a kind of numbers."""
    few = images * resamples <= BLOCK
    return _kept_weights(images, resamples, seed, kind) if few else _drawn_weights(images, resamples, seed, kind)


@lru_cache(maxsize=2)
def _kept_weights(images: int, resamples: int, seed: int, kind: Any) -> tuple[NDArray[Any], ...]:
    """All runs of a table draw the same."""
    return tuple(_drawn_weights(images, resamples, seed, kind))


def _drawn_weights(images: int, resamples: int, seed: int, kind: Any) -> Iterator[NDArray[Any]]:
    generator, size = np.random.default_rng(seed), max(1, BLOCK // images)
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = generator.integers(0, images, (rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(kind)


def _table(rows: NDArray[np.intp], columns: NDArray[np.intp], values: Values, shape: tuple[int, int]) -> Any:
    """Return values at their places, added up: an array, or sparse.

    All sums of resamples are exact: those of small counts in single precision too, which takes half the time.
    """
    if shape[0] * shape[1] <= min(BLOCK, FULL * values.size):
        table = np.zeros(shape)
        np.add.at(table, (rows, columns), values)
        highest = shape[0] * np.abs(table).max(initial=0)  # of a column's sum, where one image is drawn every time
        return table.astype(np.float32) if highest < EXACT else table
    from scipy.sparse import csr_array

    return csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=shape)


def _array(table: Any) -> Values:
    """Return a part of a table as an array."""
    return np.asarray(table if isinstance(table, np.ndarray) else table.toarray(), float)


def _occurring(codes: NDArray[np.intp], names: Sequence[str]) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the names that codes stand for, without the others, and the codes among these."""
    seen = np.bincount(codes, minlength=len(names)) > 0
    if seen.all():
        return codes, tuple(names)
    return (np.cumsum(seen) - 1)[codes], tuple(name for name, there in zip(names, seen, strict=True) if there)
