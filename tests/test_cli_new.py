"""``dupl new``: a recipe for one's own photos."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dupl import api
from dupl.cli import main


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of three tagged photos, from the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mydata" / "images").mkdir(parents=True)
    for name in "abc":
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "mydata" / "images" / f"{name}.jpg")
    table = tmp_path / "mydata" / "tags.csv"
    table.write_text("image,tags,split\na.jpg,cat dog,train\nb.jpg,dog,train\nc.jpg,cat,val\n")
    return table


def test_the_recipe_reads_and_names_the_classes(photos, capsys):
    assert main(["new", "mine", "--data", "mydata"]) == 0
    assert capsys.readouterr().out == "mine.py\n"
    config = api.load_recipe("mine.py")
    assert config.data.train.to_dict() == {
        "type": "TaggedFolder",
        "root": "mydata",
        "split": "train",
        "classes": ["cat", "dog"],
    }
    assert config.data.val.split == "val"
    assert config.model == api.load_recipe("voc/dupl").model


def refused(capsys, *words):
    assert main(["new", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


def test_what_cannot_be_is_refused_in_a_line(photos, capsys, tmp_path):
    assert "nowhere" in refused(capsys, "mine", "--data", "nowhere")
    assert "no recipe no/such" in refused(capsys, "mine", "--data", "mydata", "--base", "no/such")
    assert not (tmp_path / "mine.py").exists()
    assert main(["new", "mine", "--data", "mydata"]) == 0
    capsys.readouterr()
    assert "mine.py exists" in refused(capsys, "mine", "--data", "mydata")
    photos.write_text("image,tags,split\na.jpg,cat dog,train\n")
    assert "val" in refused(capsys, "other", "--data", "mydata")
