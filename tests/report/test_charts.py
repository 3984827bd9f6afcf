"""Charts of an evaluation: confusion, over-activation, thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from dupl.errors import UserError
from dupl.report.figures.class_grid import class_grid, class_grid_info
from dupl.report.figures.colours import FILE_STUDENTS, file_colour
from dupl.report.figures.confusion import confusion_info, confusion_picture
from dupl.report.figures.matplotlib_theme import add_line, blank_figure
from dupl.report.figures.over_activation import overactivation_bars, rates_info
from dupl.report.figures.thresholds import BestPoint, threshold_info, threshold_picture

CLASSES = [f"class{c}" for c in range(21)]


def size(path) -> tuple[int, int]:
    with Image.open(path) as picture:
        assert np.asarray(picture.convert("L")).std() > 5, "something is drawn"
        return picture.size


def test_shares_are_of_the_truth():
    shares = confusion_info([[3, 1], [0, 0]], ["a", "b"]).shares
    assert shares[0].tolist() == [75, 25]
    assert np.isnan(shares[1]).all()


@pytest.mark.parametrize("count", [2, 21, 81])
def test_a_confusion_matrix_of_any_size(tmp_path, count):
    matrix = np.random.default_rng(0).integers(0, 50, (count, count))
    matrix[1] = 0
    names = [f"a$class_{c}" for c in range(count)]
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        confusion_picture(matrix, names, path, "Seg, student 1: val", "a protocol")
    assert max(size(paths[0])) < 3000
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_bars_with_classes_that_were_never_predicted(tmp_path):
    rates = {"CAM, student 1": [50.0, math.nan, math.nan], "CAM, student 2": [0.0, 20.0, math.nan]}
    overactivation_bars(rates, ["cat", "dog", "cow"], tmp_path / "a.png", "val", "a protocol")
    assert size(tmp_path / "a.png")[0] >= 1000
    with pytest.raises(UserError, match="no foreground class was predicted"):
        overactivation_bars({"x": [math.nan]}, ["cat"], tmp_path / "b.png", "val", "a protocol")
    assert not (tmp_path / "b.png").exists()


def test_thresholds(tmp_path):
    lines = {"CAM, student 1": [1.0, 30.0, 20.0], "CAM, both averaged": [1.0, 30.0, 20.0]}
    threshold_picture((0.2, 0.5, 0.8), lines, tmp_path / "t.png", "val", "a protocol", "mIoU (%)", 0.5)
    assert size(tmp_path / "t.png") == (1350, 720)


def test_a_student_has_its_colour():
    assert file_colour("Seg, student 2", 0) == FILE_STUDENTS[2]
    assert file_colour("Seg, both averaged", 2) not in FILE_STUDENTS.values()


def test_a_long_line_is_made_to_fit():
    figure = blank_figure(5, 2)
    add_line(figure, "many words " * 14, 0.1, 12)
    (text,) = figure.texts
    assert text.get_window_extent().x1 <= figure.bbox.width
    assert text.get_fontsize() < 12


def test_a_chart_for_each_class_that_has_points(tmp_path):
    lines = {f"c{k}": {("student 1", "recall"): [(10, 5.0), (20, 10.0 * k)]} for k in range(7)}
    class_grid(lines, tmp_path / "seven.png", "a run", "percent")
    class_grid({**lines, "empty": {("student 1", "recall"): []}}, tmp_path / "same.png", "a run", "percent")
    assert (tmp_path / "seven.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    class_grid(dict(list(lines.items())[:2]), tmp_path / "two.png", "a run", "percent")
    assert size(tmp_path / "two.png")[1] < size(tmp_path / "seven.png")[1], "one row instead of two"


@pytest.mark.parametrize("length", [3, 30])
def test_names_are_turned_where_they_have_no_room(tmp_path, length):
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dupl.report.figures.over_activation.save", lambda figure, _: drawn.append(figure))
        rates = {"CAM, student 1": [0.0, 0.4, 50.0, math.nan] * 4}
        overactivation_bars(rates, [f"{c:02}".ljust(length, "x") for c in range(16)], tmp_path, "val", "a protocol")
    (axes,) = drawn[0].axes
    assert {round(label.get_rotation()) for label in axes.get_xticklabels()} == {0 if length == 3 else 45}
    assert [text.get_text() for text in axes.texts] == ["0", "<1"] * 4, "no dash: that class is left out"


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_figure_is_the_same_file_in_each_format(tmp_path, ending, start):
    files = [tmp_path / f"{name}.{ending}" for name in ("one", "two")]
    for file in files:
        overactivation_bars({"CAM, student 1": [50.0, 0.5]}, ["cat", "dog"], file, "val", "a protocol")
    assert files[0].read_bytes().startswith(start)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_another_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="written as .png, .svg or .pdf"):
        overactivation_bars({"CAM, student 1": [50.0]}, ["cat"], tmp_path / "a.jpg", "val", "a protocol")
    assert not (tmp_path / "a.jpg").exists()


class TestInfo:
    """What figures in files and on pages share."""

    def test_rates_leave_out_classes_that_no_map_has(self):
        info = rates_info({"a": [1.0, math.nan, math.nan], "b": [math.nan, math.nan, 3.0]}, ["cat", "dog", "cow"])
        assert (info.classes, info.absent) == (["cat", "cow"], ["dog"])
        assert info.rates["a"][0] == 1.0 and math.isnan(info.rates["a"][1]) and info.rates["b"][1] == 3.0

    def test_the_first_best_threshold_counts(self):
        assert threshold_info((0.2, 0.5, 0.8), {"a": [1.0, 30.0, 30.0]}) == {"a": BestPoint(0.5, 30.0)}

    def test_a_class_without_points_is_left_out(self):
        key = ("student 1", "recall")
        info = class_grid_info({"a": {key: []}, "b": {key: [(10, 1.0), (30, 2.0)], ("student 2", "recall"): []}})
        assert info.lines == {"b": {key: [(10, 1.0), (30, 2.0)]}}
        assert (info.owners, info.measures, info.last) == (["student 1"], ["recall"], 30)
