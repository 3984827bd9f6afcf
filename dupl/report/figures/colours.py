"""Colours of figures: one palette for files, which are on white, and one for pages, which may be light or dark."""

from __future__ import annotations

RGB = tuple[float, float, float]  # 0..1

INK, FAINT, LINE = "#191919", "#5f5f5f", "#dcdcdc"  # of files: text, secondary text, grid
FILE_STUDENTS: dict[int, RGB] = {1: (0.07, 0.32, 0.66), 2: (0.80, 0.28, 0.04)}
FILE_HUES: tuple[RGB, ...] = (
    (0.25, 0.25, 0.25),
    (0.10, 0.48, 0.34),
    (0.47, 0.24, 0.62),
    (0.62, 0.45, 0.05),
    (0.70, 0.20, 0.40),
)

PAGE_STUDENTS = {1: "#3b7dd8", 2: "#d4602a"}
PAGE_HUES = ("#2f9e72", "#9a5fc0", "#b8860b", "#c2417c", "#1f9bb5", "#7a8f2a", "#8a5a44")
AVERAGED = "#7f8792"  # of the students' average
GRID, MARKER = "rgba(128,128,128,0.22)", "#8a8f98"  # of pages: grid lines, markers of component starts
KEPT, NOISE = "#7d93ad", "#d43d51"  # pixels that the noise filter keeps, and those that it filters
CLEAN_GAUSSIAN, NOISY_GAUSSIAN = "#3b7dd8", "#e05263"


def file_colour(label: str, number: int) -> RGB:
    """Return the colour of a line or bar in a file: the student's if the label ends with its number, else the n-th."""
    return FILE_STUDENTS.get(_student(label)) or FILE_HUES[number % len(FILE_HUES)]


def page_colour(label: str, number: int) -> str:
    """Return the colour of a line or bar on a page: the student's if the label ends with its number, else the n-th."""
    if label.endswith(" averaged"):
        return AVERAGED
    return PAGE_STUDENTS.get(_student(label)) or PAGE_HUES[number % len(PAGE_HUES)]


def _student(label: str) -> int:
    """Return the student that a label ends with, such as 2 for "CAM, student 2"; 0 where it ends otherwise."""
    last = label.rsplit(" ", 1)[-1]
    return int(last) if last in ("1", "2") else 0
