"""Classes that a table names itself are taken by stated rules, and doubtful text is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dupl.data import VOC, TaggedFolder
from dupl.data.tag_table import read_tag_table
from dupl.data.voc import read_ids
from dupl.errors import UserError


def _table(tmp_path: Path, text: str) -> Path:
    (tmp_path / "tags.csv").write_text(text, encoding="utf-8")
    return tmp_path / "tags.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,tags\na,cat\nb,nan\n", "line 3: 'nan' as a tag; leave the cell empty"),
        ("image,tags\na,None\n", "line 2: 'None' as a tag"),
        ("image,tags\na,\"['cat', 'dog']\"\n", "line 2: \"['cat'\" as a tag"),
        ("image,tags\na,Cat\nb,cat\n", "line 3: class 'cat' beside 'Cat' ("),
        ("image,tags\na,caf\u00e9\nb,cafe\u0301\n", "line 3: class 'cafe\u0301' beside 'caf\u00e9' ("),
        ("image,tags\na,traffic light;dog\n", "line 2: 'traffic light' may be one tag or several"),
        ("image,tags\na,0\nb,1\n", "class '0' is a number, and its id in masks is not known"),
        ("image,tags\na,1\nb,cat\n", "class '1' is a number"),
        ("image,tags\na,1.0\nb,2.0\n", "class '1.0' is a number"),
        ("image,1,10,2\na,1,0,0\n", "class '1' is a number"),
        ("image,Cat,cat\na,1,0\n", "line 1: class 'cat' beside 'Cat'"),
        ("image,tags\na,cat background\n", "line 2: 'background' is no tag"),
        ("image,background,cat\na,1,1\n", "a column 'background', which every image has"),
    ],
)
def test_doubtful_text_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_tag_table(_table(tmp_path, text))
    assert message in str(caught.value) and "tags.csv" in str(caught.value)


def test_numbers_1_to_k_are_ordered_by_value(tmp_path: Path) -> None:
    rows = "".join(f"image{k},{k}\n" for k in (10, 2, *range(1, 10, 2), 4, 6, 8, 11))
    assert read_tag_table(_table(tmp_path, "image,tags\n" + rows)).classes == tuple(str(k) for k in range(1, 12))


def test_stated_classes_are_taken_as_they_stand(tmp_path: Path) -> None:
    path = _table(tmp_path, "image,tags\na,nan;Cat\nb,cat;traffic light\n")
    classes = ("nan", "cat", "Cat", "traffic light")
    assert read_tag_table(path, classes).tags == {"a": ("nan", "Cat"), "b": ("cat", "traffic light")}


@pytest.mark.parametrize("text", ["image,tags\na,background\n", "image,background,cat\na,1,0\n"])
def test_background_is_no_tag_of_stated_classes_either(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="background"):
        read_tag_table(_table(tmp_path, text), ("cat", "dog"))


def test_background_never_sets_the_last_class(voc_root: Path) -> None:
    with pytest.raises(UserError, match="'background' is no foreground class"):
        VOC(str(voc_root), "train")._tag_vector(["background"])


def test_classes_and_splits_as_numbers(folder_root: Path) -> None:
    (folder_root / "tags.csv").write_text("image,tags,split\na,cat,0\nb,dog,1\n")
    assert TaggedFolder(str(folder_root), split=0).names == ["a"]  # type: ignore[arg-type]
    for classes in ([1, 2], "cat"):
        with pytest.raises(UserError, match="give a list of names"):
            TaggedFolder(str(folder_root), classes=classes)  # type: ignore[arg-type]


def test_ids_with_spaces_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("cat (1)\ncat (2)\n2007_000032\n")
    assert read_ids(path) == ["cat (1)", "cat (2)", "2007_000032"]
    path.write_text("/JPEGImages/cat (1).jpg /Masks/cat (1).png\n/JPEGImages/v1.5.jpg\t/Masks/v1.5.png\nphotos/b.JPG\n")
    assert read_ids(path) == ["cat (1)", "v1.5", "b"]
