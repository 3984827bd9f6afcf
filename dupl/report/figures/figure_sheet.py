"""Parts of a figure sheet, each a strip of its width: text, legend entries in a flow, framed pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT, LINE, EMPTY = (255, 255, 255), (25, 25, 25), (95, 95, 95), (205, 205, 205), (240, 240, 240)
Colour = tuple[int, ...]
Picture = NDArray[np.uint8]  # RGB, (H, W, 3)


@lru_cache(maxsize=32)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib, at a size in pixels."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text into lines no wider than a width in pixels: between words, a long word anywhere.

    Line breaks, tabs and other control characters of the text count as spaces.
    """
    lines = [""]
    for word in "".join(c if c.isprintable() else " " for c in text).split():
        joined = f"{lines[-1]} {word}".strip()
        if face.getlength(joined) <= width:
            lines[-1] = joined
            continue
        lines += [""] if lines[-1] else []
        for character in word:
            if lines[-1] and face.getlength(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines


def blank(width: int, height: int) -> Image.Image:
    """Return an empty strip."""
    return Image.new("RGB", (width, max(height, 1)), PAPER)


def stack(strips: Sequence[Image.Image]) -> Image.Image:
    """Return strips stacked vertically, the first on top."""
    sheet = blank(max(strip.width for strip in strips), sum(strip.height for strip in strips))
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def line_height(face: ImageFont.FreeTypeFont) -> int:
    """Return the distance between two lines of text in pixels."""
    return round(1.36 * face.size)


def paragraph(text: str, face: ImageFont.FreeTypeFont, colour: Colour, width: int, indent: int = 0) -> Image.Image:
    """Return a text, broken into lines, as a strip of a width with `indent` free pixels on both sides."""
    lines = wrapped(text, face, width - 2 * indent)
    strip = blank(width, line_height(face) * len(lines))
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        draw.text((indent, number * line_height(face)), line, colour, face)
    return strip


def entry(swatch: Picture | None, text: str, face: ImageFont.FreeTypeFont, width: int) -> Image.Image:
    """Return a legend entry: a framed sample of a colour with its meaning beside it, at most `width` pixels wide."""
    side = 0 if swatch is None else swatch.shape[1] + 10
    lines = wrapped(text, face, width - side)
    longest = max(round(face.getlength(line)) for line in lines)
    height = max(line_height(face) * len(lines), 0 if swatch is None else swatch.shape[0] + 3)
    strip = blank(min(side + longest + 1, width), height)
    if swatch is not None:
        strip.paste(framed(swatch), (0, max(0, (line_height(face) - swatch.shape[0]) // 2 - 1)))
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        draw.text((side, number * line_height(face)), line, INK, face)
    return strip


def framed(picture: Picture) -> Image.Image:
    """Return a picture inside a thin grey frame, two pixels wider and higher."""
    height, width = picture.shape[:2]
    frame = Image.new("RGB", (width + 2, height + 2), LINE)
    frame.paste(Image.fromarray(picture), (1, 1))
    return frame


def flow(entries: Sequence[Image.Image], width: int, indent: int, gap: int = 26) -> Image.Image:
    """Return entries side by side, in as many lines as they need."""
    places: list[tuple[int, int]] = []
    left, top, deepest = indent, 0, 0
    for item in entries:
        if left > indent and left + item.width > width - indent:
            left, top, deepest = indent, top + deepest + 6, 0
        places.append((left, top))
        left, deepest = left + item.width + gap, max(deepest, item.height)
    strip = blank(width, top + deepest)
    for item, place in zip(entries, places, strict=True):
        strip.paste(item, place)
    return strip


def empty_picture(size: tuple[int, int], text: str) -> Image.Image:
    """Return a grey box that says why it is empty."""
    box = Image.fromarray(np.full((size[1] + 2, size[0] + 2, 3), EMPTY, np.uint8))
    ImageDraw.Draw(box).text((size[0] / 2, size[1] / 2), text, FAINT, font(16), anchor="mm")
    return box
