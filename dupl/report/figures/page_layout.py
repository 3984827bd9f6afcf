"""The layout of a picture page: which columns it has, where they are, and how large images are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dupl.report.figures.figure_sheet import Picture
from dupl.report.figures.image_row import ImageRow, Kind

WIDTH, MARGIN, GUTTER = 1980, 28, 178  # of a page in pixels; the gutter holds the names of the rows
GAP, GROUP_GAP = 6, 20  # between students, between kinds of column
LARGEST, SMALLEST = 420, 116  # width of a picture in pixels, where columns are few and where images are narrow


@dataclass(frozen=True)
class PageColumn:
    """One column of the page.

    Attributes:
        kind: What it shows.
        student: Of which student, from 0; None: of the image itself.
        left: Where it begins on the page, in pixels.
    """

    kind: Kind
    student: int | None
    left: int = 0


@dataclass(frozen=True)
class PageLayout:
    """The positions of the columns of a page, in pixels.

    Attributes:
        columns: From left to right.
        room: Width that an image may take.
        cell: Width that a column takes, no wider than its images need.
        width: Width of the page.
        who: Names of the models behind the columns of each kind; the students where empty.
    """

    columns: tuple[PageColumn, ...]
    room: int
    cell: int
    width: int
    who: tuple[str, ...] = ()


def page_layout(rows: Sequence[ImageRow]) -> PageLayout:
    """Return the positions of the columns that at least one image fills."""
    columns = [PageColumn("Image", None)]
    if any(row.truth is not None for row in rows):
        columns.append(PageColumn("Truth", None))
    counts: dict[Kind, int] = {
        "CAM": max(len(row.cams) for row in rows),
        "Pseudo-label": max(len(row.pseudo) for row in rows),
        "Prediction": max(len(row.prediction) for row in rows),
    }
    columns += [PageColumn(kind, student) for kind, count in counts.items() for student in range(count)]

    gaps = [GAP if a.kind == b.kind else GROUP_GAP for a, b in zip(columns, columns[1:], strict=False)]
    room = (WIDTH - 2 * MARGIN - GUTTER - sum(gaps)) // len(columns) - 2  # 2: the frame of a picture
    room = min(room, LARGEST)
    cell = max(SMALLEST, *(fit_image(row.image, room)[0] for row in rows)) + 2
    lefts = [MARGIN + GUTTER + i * cell + sum(gaps[:i]) for i in range(len(columns))]
    placed = tuple(PageColumn(c.kind, c.student, left) for c, left in zip(columns, lefts, strict=True))
    return PageLayout(placed, room, cell, max(lefts[-1] + cell + MARGIN, WIDTH // 2), rows[0].who)


def fit_image(image: Picture, room: int) -> tuple[int, int]:
    """Return the width and height at which an image is drawn: as wide as there is room, at most 4/3 as high.

    An image that would be enlarged at least twofold is enlarged by a whole factor.
    """
    height, width = image.shape[:2]
    factor = min(room / width, room * 4 / 3 / height)
    factor = float(int(factor)) if factor >= 2 else factor
    return max(1, round(width * factor)), max(1, round(height * factor))
