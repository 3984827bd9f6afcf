"""Charts and tables across runs, against figures by hand."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dupl.api.analysis import class_measure
from dupl.errors import UserError
from dupl.report.figures.contact_sheet import contact_sheet
from dupl.report.figures.image_row import ImageRow
from dupl.report.pages.image_comparison import image_chart, image_table, pictures_of, side_by_side
from dupl.report.run_comparison import class_table, courses, folder_rates
from dupl.report.run_comparison_charts import course_chart, trade_chart

RUNS = {"one": ["a", "b"], "other": ["c"]}


def test_courses_are_means_over_runs():
    rows = [
        (f, "train", t, "cam/1/mIoU", v) for f, t, v in (("a", 5, 1.0), ("b", 5, 3.0), ("a", 10, 4.0), ("c", 5, 7.0))
    ]
    rows += [("a", "final", 5, "cam/1/mIoU", 99.0), ("a", "train", 5, "seg/1/mIoU", 99.0)]
    frame = pd.DataFrame(rows, columns=["fingerprint", "protocol", "iteration", "metric", "value"])
    found = courses(frame, "cam/1/mIoU", RUNS)
    assert found.values.tolist() == [["one", 5, 2, 1, 3, 2], ["one", 10, 4, 4, 4, 1], ["other", 5, 7, 7, 7, 1]]
    chart = course_chart(frame, "cam/1/mIoU", RUNS)
    assert [trace.name for trace in chart.data if trace.showlegend is not False] == ["one", "other"]
    band = chart.data[0]
    assert (band.x, band.y) == ((5, 10, 10, 5), (3.0, 4.0, 4.0, 1.0)), "there and back"
    alone = course_chart(frame, "cam/1/mIoU", {"other": ["c"]}, rows=["one", "other"])
    assert alone.data[-1].line.color == chart.data[-1].line.color, "the colour is the row's, whichever rows are drawn"
    assert (chart.layout.xaxis.tick0, chart.layout.xaxis.dtick) == (0, 1), "no marks between ten iterations"
    assert alone.layout.showlegend, "a single line is named too"
    with pytest.raises(UserError, match="nothing of none: cam/1/mIoU"):
        courses(frame, "cam/1/mIoU", {"none": ["d"]})


def counts(rows):
    return pd.DataFrame(rows, columns=["fingerprint", "map", "class", "OA", "IoU"])


def test_classes_are_means_over_runs():
    nan = math.nan
    table = counts(
        [("a", "cam/1", "cat", 10.0, 50.0), ("b", "cam/1", "cat", 20.0, 70.0), ("c", "cam/1", "cat", 5.0, 90.0)]
        + [("a", "cam/1", "dog", nan, 0.0), ("b", "cam/1", "dog", 40.0, 2.0), ("c", "cam/1", "dog", nan, 0.0)]
        + [("a", "seg/1", "cat", 99.0, 99.0)]
    )
    found = class_table(table, "cam/1", "OA", RUNS)
    assert found["one"].to_dict() == {"cat": 15.0, "dog": 40.0}, "a run that never predicts it does not count"
    assert math.isnan(found["other"]["dog"])
    chart = trade_chart(found, class_table(table, "cam/1", "IoU", RUNS))
    assert [(trace.name, trace.x, trace.y) for trace in chart.data if trace.name] == [
        ("one", (15.0, 40.0), (60.0, 1.0)),
        ("other", (5.0,), (90.0,)),
    ]
    assert [(t.x, t.y) for t in chart.data if not t.name] == [((15.0, 5.0), (60.0, 90.0))], "a class of both is joined"
    with pytest.raises(UserError, match="several evaluations of one run"):
        class_table(pd.concat([table, table]), "cam/1", "OA", RUNS)


def test_images_are_ranked_by_what_the_second_loses():
    rows = [
        ("a", "seg/1", "i", "cat", 8, 1, 1),
        ("a", "seg/1", "i", "dog", 0, 5, 0),
        ("a", "seg/1", "j", "cat", 1, 1, 0),
    ]
    rows += [
        ("c", "seg/1", "i", "cat", 2, 0, 8),
        ("c", "seg/1", "j", "cat", 1, 0, 0),
        ("c", "cam/1", "j", "cat", 0, 1, 1),
    ]
    pixels = pd.DataFrame(rows, columns=["fingerprint", "map", "image", "class", "TP", "FP", "FN"])
    found = image_table(pixels, "seg/1", {"<a>": ["a"], "c": ["c"]})
    assert found.index.tolist() == ["i", "j"]
    assert found.loc["i"].tolist() == pytest.approx([80, 20, -60]), "dog is not in the mask"
    assert found.loc["j"].tolist() == pytest.approx([50, 100, 50])
    assert image_chart(found).layout.xaxis.title.text.startswith("&lt;a&gt;")
    with pytest.raises(UserError, match="give two"):
        image_table(pixels, "seg/1", {"a": ["a"]})


def shot(shade: int) -> dict:
    image = np.full((60, 90, 3), shade, np.uint8)
    labels = np.zeros((60, 90), np.uint8)
    panels = [ImageRow(name, image, labels, [], None, [], [], prediction=[labels], tags=()) for name in ("<i>", "j")]
    sheet, described = contact_sheet(panels, ["background"])
    return {"iter": 1, "sheet": sheet, **described}


def test_pictures_are_cut_from_the_sheets():
    pictures = pictures_of(shot(200), "j")
    assert list(pictures) == ["Image", "Truth", "Prediction 1"]
    picture = np.asarray(Image.open(io.BytesIO(pictures["Image"]))).astype(int)
    assert picture.shape[:2] == (117, 176)
    assert abs(picture[8:-8, 8:-8] - 200).max() < 4
    assert pictures_of(shot(200), "k") == {}


def test_side_by_side():
    html = side_by_side({"first": shot(200), "second": shot(200)}, ["<i>", "elsewhere"])
    assert html.count("<tr>") == 2
    assert html.count("<img") == 3 + 1, "image and truth once"
    cells = [row.count("<td>") for row in html.split("<tr>")[1:]]
    assert cells == [3, 3] and html.count("Prediction 1</th>") == 1, "what belongs together stands below each other"
    assert "<i>" not in html
    with pytest.raises(UserError, match="larger evaluation.gallery"):
        side_by_side({"first": shot(200)}, ["elsewhere"])


def test_rates_of_a_folder(tmp_path):
    (tmp_path / "metrics.json").write_text('{"metrics": {}}')
    lines = ["map,class,IoU,precision,recall,OA,pixels", "cam/1,cat,50.0,80.0,60.0,20.0,7", "cam/1,dog,,,,,0"]
    (tmp_path / "per_class.csv").write_text("\n".join(lines) + "\n")
    found = folder_rates(tmp_path, "cam/1", "OA")
    assert found["cat"] == 20.0
    assert math.isnan(found["dog"])
    assert folder_rates(tmp_path, "cam/1", "recall")["cat"] == 60.0
    with pytest.raises(UserError, match="nothing of seg/1"):
        folder_rates(tmp_path, "seg/1", "OA")


def test_an_unknown_measure():
    with pytest.raises(UserError, match="measure is 'iou'; give one of IoU, OA, precision, recall"):
        class_table(pd.DataFrame(), "cam/1", "iou", RUNS)


@pytest.mark.parametrize("runs", ["0123456789ab", {"mine": "0123456789ab"}])
def test_a_single_fingerprint_is_no_group(tmp_path, runs):
    with pytest.raises(UserError, match="give lists of fingerprints by label"):
        class_measure(tmp_path, runs)
    with pytest.raises(UserError, match="give lists of fingerprints by label"):
        courses(pd.DataFrame({"fingerprint": [], "protocol": [], "metric": []}), "cam/1/mIoU", runs)
