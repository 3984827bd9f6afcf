"""The picture page: a figure sheet with a row per image and a column per step of the method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dupl.errors import UserError
from dupl.report.figures import figure_sheet
from dupl.report.figures.image_row import ImageRow, row_picture
from dupl.report.figures.legend import filled, legend, tint
from dupl.report.figures.page_layout import GUTTER, MARGIN, PageLayout, fit_image, page_layout
from dupl.report.figures.picture_files import write_png

ROW_GAP = 14  # pixels between rows
REPEAT = 10  # rows after which the titles of the columns are repeated


def picture_page(
    rows: Sequence[ImageRow], classes: Sequence[str], path: str | Path, title: str, caption: str = ""
) -> None:
    """Write a PNG with a row per image and a column per step of the method, under a legend.

    Small images are enlarged by a whole factor, large ones are reduced. A column that no image fills is left out; a
    single missing picture is a grey box.

    Args:
        rows: The images, from top to bottom.
        classes: Class names by label id, background first.
        path: The file.
        title: The heading.
        caption: What a reader should know: recipe, iteration, thresholds.

    Raises:
        UserError: There are no images to show.
    """
    if not rows:
        raise UserError(f"no images to draw on {path}: name at least one")
    write_png(page_image(rows, classes, title, caption), path)


def page_image(rows: Sequence[ImageRow], classes: Sequence[str], title: str, caption: str = "") -> Image.Image:
    """Return the picture page as an image; arguments as for `picture_page`, with at least one row."""
    layout = page_layout(rows)
    width = layout.width
    entries = [figure_sheet.entry(e.swatch, e.text, figure_sheet.font(17), width) for e in legend(rows, classes)]
    strips = [figure_sheet.blank(width, MARGIN - 8)]
    strips.append(figure_sheet.paragraph(title, figure_sheet.font(30, bold=True), figure_sheet.INK, width, MARGIN))
    if caption:
        strips.append(figure_sheet.paragraph(caption, figure_sheet.font(18), figure_sheet.FAINT, width, MARGIN))
    strips += [figure_sheet.blank(width, 12), figure_sheet.flow(entries, width, MARGIN)]
    for number, row in enumerate(rows):
        if number % REPEAT == 0:
            strips.append(_head(layout))
        strips += [_row(row, classes, layout), figure_sheet.blank(width, ROW_GAP)]
    strips.append(figure_sheet.blank(width, MARGIN - ROW_GAP))
    return figure_sheet.stack(strips)


def _head(layout: PageLayout) -> Image.Image:
    """Return the strip of column titles, under a line."""
    several = any(column.student for column in layout.columns) or bool(layout.who)
    strip = figure_sheet.blank(layout.width, 74 if several else 54)
    draw = ImageDraw.Draw(strip)
    draw.line((MARGIN, 12, layout.width - MARGIN, 12), figure_sheet.LINE)
    for column in layout.columns:
        middle = column.left + layout.cell / 2
        draw.text((middle, 41), column.kind, figure_sheet.INK, figure_sheet.font(18, bold=True), anchor="ms")
        if several and column.student is not None:
            who = layout.who[column.student] if layout.who else f"student {column.student + 1}"
            draw.text((middle, 62), who, figure_sheet.FAINT, figure_sheet.font(15 if layout.who else 16), anchor="ms")
    return strip


def _row(row: ImageRow, classes: Sequence[str], layout: PageLayout) -> Image.Image:
    """Return the strip of one image: its name, tags and notes, and its pictures."""
    size = fit_image(row.image, layout.room)
    side = _side(row, classes)
    strip = figure_sheet.blank(layout.width, max(size[1] + 2, side.height))
    strip.paste(side, (MARGIN, 0))
    for column in layout.columns:
        picture = row_picture(row, column.kind, column.student or 0, size)
        missing = "no mask" if column.kind == "Truth" else f"no {column.kind}".replace("P", "p")
        framed = figure_sheet.empty_picture(size, missing) if picture is None else figure_sheet.framed(picture)
        strip.paste(framed, (column.left + (layout.cell - framed.width) // 2, 0))
    return strip


def _side(row: ImageRow, classes: Sequence[str]) -> Image.Image:
    """Return the text left of a row: name, tags with their colours, notes."""
    width = GUTTER - 14
    known = list(classes)
    parts = [
        figure_sheet.paragraph(row.name, figure_sheet.font(16, bold=True), figure_sheet.INK, width),
        figure_sheet.blank(width, 4),
    ]
    for tag in row.tags:
        swatch = filled(np.empty((13, 13, 3), np.uint8), tint(known.index(tag))) if tag in known else None
        parts += [figure_sheet.entry(swatch, tag, figure_sheet.font(15), width), figure_sheet.blank(width, 2)]
    if row.notes:
        parts += [
            figure_sheet.blank(width, 4),
            figure_sheet.paragraph(row.notes, figure_sheet.font(14), figure_sheet.FAINT, width),
        ]
    return figure_sheet.stack(parts)
