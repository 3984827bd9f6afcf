"""Methods side by side: the same images are rows; image, truth, CAM and mask of each method are columns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dupl.atomic import atomic_write
from dupl.errors import UserError
from dupl.report.figures.contact_sheet import data_uri
from dupl.report.figures.image_row import ImageRow, Kind, row_picture
from dupl.report.figures.picture_files import write_png
from dupl.report.figures.picture_page import page_image
from dupl.report.pages.masks import MaskPage, MaskRow

ENDINGS = (".png", ".pdf", ".html")
DPI = 200  # of the PDF
SIDE = 240  # pixels of a picture on the page
GAP = 6


def write_side_by_side(
    rows: Sequence[ImageRow], classes: Sequence[str], out: Path, title: str, captions: Sequence[str]
) -> None:
    """Write the comparison as PNG, PDF or HTML page, by the ending of the file.

    Args:
        rows: The images, from top to bottom; ``who`` names the methods.
        classes: Class names by label id, background first.
        out: The file.
        title: The heading.
        captions: How images were chosen and label maps were made.

    Raises:
        UserError: The file ends with something else.
    """
    check_ending(out)
    ending = out.suffix.lower()
    if ending == ".html":
        atomic_write(out, _page(rows, classes, title, captions))
        return
    picture = page_image(rows, classes, title, "; ".join(captions))
    if ending == ".png":
        write_png(picture, out)
        return
    data = io.BytesIO()
    picture.convert("RGB").save(data, format="PDF", resolution=DPI, quality=95)
    atomic_write(out, data.getvalue())


def check_ending(out: Path) -> None:
    """Check that a comparison can be written into a file.

    Raises:
        UserError: Its name ends with something else.
    """
    if out.suffix.lower() not in ENDINGS:
        raise UserError(f"{out}: a comparison is written as {', '.join(ENDINGS)}; end the file's name with one")


def columns_of(rows: Sequence[ImageRow]) -> list[tuple[Kind, int, str]]:
    """Return the columns that any image fills: kind, place of the method, and heading."""
    columns: list[tuple[Kind, int, str]] = [("Image", 0, "image")]
    if any(row.truth is not None for row in rows):
        columns.append(("Truth", 0, "truth"))
    for place, name in enumerate(rows[0].who):
        if any(place < len(row.cams) for row in rows):
            columns.append(("CAM", place, f"CAM: {name}"))
    for place, name in enumerate(rows[0].who):
        if any(place < len(row.prediction) for row in rows):
            columns.append(("Prediction", place, f"mask: {name}"))
    return columns


def _page(rows: Sequence[ImageRow], classes: Sequence[str], title: str, captions: Sequence[str]) -> str:
    """Return the HTML page, which needs no network."""
    columns = columns_of(rows)
    shown = [MaskRow(row.name, row.notes, _strip(row, columns)) for row in rows]
    return MaskPage(title, {}, list(captions), [text for *_, text in columns], classes, "dupl compare").render(shown)


def _strip(row: ImageRow, columns: Sequence[tuple[Kind, int, str]]) -> str:
    """Return the pictures of an image in a row, as a data URI."""
    height, width = row.image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    strip = Image.new("RGB", ((SIDE + GAP) * len(columns) - GAP, size[1]), (255, 255, 255))
    for column, (kind, place, _) in enumerate(columns):
        picture = row_picture(row, kind, place, size)
        if picture is not None:
            strip.paste(Image.fromarray(picture), ((SIDE + GAP) * column + (SIDE - size[0]) // 2, 0))
    data = io.BytesIO()
    strip.save(data, format="WEBP", quality=80)
    return data_uri(data.getvalue(), "webp")
