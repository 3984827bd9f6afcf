"""Names in exported tables are no formulas for a spreadsheet, and come back as they were."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dupl import cells
from dupl.data.tag_table import read_tag_table
from dupl.data.tagged_folder import TaggedFolder
from dupl.errors import UserError
from dupl.runs.evaluation_files import CLASS_COLUMNS, read_confusion, read_evaluation
from dupl.runs.pixel_counts import read_pixel_counts
from dupl.runs.run import Run

EVIL = ['=HYPERLINK("http://x","y")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "'=1", "＝1"]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.mark.parametrize("text", EVIL)
def test_a_formula_becomes_text_and_comes_back(text):
    assert cells.written(text).startswith("'")
    assert cells.read(cells.written(text)) == text


@pytest.mark.parametrize("value", ["cat", "a=b", "", "'quoted'", "-1.5", "+2e-3", "-1.5 -2.0", -1.5, None, 3, "1"])
def test_names_and_numbers_stay(value):
    assert cells.written(value) == value
    assert value is None or cells.read(str(value)) == str(value)


@given(st.text(alphabet=st.sampled_from("'=+-@\t\ra1 .")))
def test_any_text_comes_back_and_is_no_formula(text):
    written = cells.written(text)
    assert cells.read(written) == text
    if written.startswith(FORMULA):
        assert [float(word) for word in written.split(" ")], "a number"


def test_an_evaluations_files(tmp_path):
    """Classes and images called like formulas, through the files of an evaluation and back."""
    run, names = Run(tmp_path), ["background", *(name for name in EVIL if name.isprintable())]
    count = len(names)
    matrix = np.arange(count * count).reshape(count, count)
    run.write_json("e/metrics.json", {"metrics": {"seg/1/mIoU": 1.0}})
    run.write_csv("e/per_class.csv", list(CLASS_COLUMNS), [("seg/1", name, *[-1.5] * 5) for name in names])
    run.write_csv(
        "e/confusion.csv",
        ["map", "truth", *names],
        [("seg/1", n, *r) for n, r in zip(names, matrix.tolist(), strict=True)],
    )
    diagonal = np.diagonal(matrix)
    columns = zip(names, diagonal, matrix.sum(0) - diagonal, matrix.sum(1) - diagonal, strict=True)
    rows = [("seg/1", "=image", n, *map(int, v)) for n, *v in columns]
    run.write_csv("e/per_image.csv", ["map", "image", "class", "TP", "FP", "FN"], rows)
    for file in (tmp_path / "e").glob("*.csv"):
        for cell in (cell for row in csv.reader(io.StringIO(file.read_bytes().decode())) for cell in row):
            assert not cell.startswith(FORMULA) or float(cell)
    assert [row.class_name for row in read_evaluation(tmp_path / "e").per_class] == names
    assert read_confusion(tmp_path / "e")[0] == names
    images = read_pixel_counts(tmp_path / "e").frame()
    assert set(images["image"]) == {"=image"} and list(images["class"]) == names


@pytest.mark.parametrize("name", ["a\rb", "a\nb", "\t=1", "\0", ""])
def test_a_class_with_a_line_end_is_refused(tmp_path, name):
    (tmp_path / "images").mkdir()
    (tmp_path / "tags.csv").write_text("image,tags\na.jpg,cat\n")
    with pytest.raises(UserError, match="a class is called"):
        TaggedFolder(str(tmp_path), classes=["cat", name])


def test_a_table_of_tags_that_we_wrote_comes_back(tmp_path):
    rows = [["image", "tags"], ["=a.jpg", "=x"], ["-b.jpg", "@y;=x"]]
    with open(tmp_path / "tags.csv", "w", newline="") as file:
        csv.writer(file).writerows([cells.written(cell) for cell in row] for row in rows)
    table = read_tag_table(tmp_path / "tags.csv", ["=x", "@y"])
    assert table.tags == {"=a": ("=x",), "-b": ("@y", "=x")}


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "sub/../../a.jpg", "a\0.jpg"])
def test_an_image_outside_the_folder_is_refused(tmp_path, name):
    (tmp_path / "tags.csv").write_text(f"image,tags\nb.jpg,cat\n{name},cat\n")
    with pytest.raises(UserError, match="line 3: the name .* leads out of the folder"):
        read_tag_table(tmp_path / "tags.csv")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, '{"state": ' + "9" * 5000 + "}"])
def test_json_made_to_break_the_reader(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(UserError, match="status.json is corrupt"):
        _ = Run(tmp_path).status
    (tmp_path / "scalars.jsonl").write_text(f"{json.dumps({'iter': 1})}\n{text}\n")
    with pytest.raises(UserError, match="line 2 is corrupt"):
        Run(tmp_path).scalars()


@pytest.mark.parametrize("name", ["cat/dog", "../../cat", "/cat", "a\\b"])
def test_a_class_called_like_a_path_stays_in_its_folder(tmp_path, monkeypatch, name):
    """`dupl infer` names files of CAMs after classes."""
    (cam,) = cams_of(tmp_path, monkeypatch, "photo", name)
    assert cam.name.startswith("photo_") and cam.is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "photo.png"]


@pytest.mark.parametrize("stem", ["a" * 251, "ä" * 125])
def test_a_photo_with_the_longest_name_has_its_pictures(tmp_path, monkeypatch, stem):
    (cam,) = cams_of(tmp_path, monkeypatch, stem, "cat")
    assert cam.name.startswith(stem[:100]) and cam.suffix == ".jpg"
    assert (tmp_path / "out" / "masks" / f"{stem}.png").is_file()


def cams_of(tmp_path, monkeypatch, stem, name):
    """The files of CAMs of one photo and one class."""
    from PIL import Image

    from dupl.engine import infer
    from dupl.engine.predict import Prediction

    Image.new("RGB", (8, 8)).save(tmp_path / f"{stem}.png")
    cams = {name: np.zeros((8, 8), np.float32)}
    found = Prediction(np.zeros((8, 8), np.uint8), np.ones(1, np.float32), cams, ("background", name))
    monkeypatch.setattr(infer, "infer_image", lambda *_: found)

    class Model:
        def eval(self) -> None:
            """Nothing to do."""

    infer.infer(Model(), [tmp_path / f"{stem}.png"], ["background", name], 8, tmp_path / "out")
    return list((tmp_path / "out" / "cams").iterdir())
