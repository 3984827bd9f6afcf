from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.data import VOC, TaggedFolder, Toy
from dupl.data.check import check_dataset, check_datasets
from dupl.data.check_report import Report
from dupl.data.mask_summary import summarize_masks
from dupl.data.quick_check import quick_check
from dupl.data.start_check import check_before_training
from dupl.errors import UserError


def _check(root: Path) -> Report:
    return check_datasets({split: VOC(str(root), split) for split in ("train", "val")})


def _texts(report: Report, severity: str, name: str) -> list[str]:
    return [p.message for p in report.problems if p.severity == severity and name in p.file]


def test_sound_data_passes(voc_root: Path) -> None:
    steps: list[tuple[int, int]] = []
    sources = {split: VOC(str(voc_root), split) for split in ("train", "val")}
    report = check_datasets(sources, lambda *step: steps.append(step))
    assert report.ok and steps == [(1, 3), (2, 3), (3, 3)]
    assert report.counts["train"] == {
        "images": 2,
        "masks": 2,
        "untagged": 0,
        "in mask, not in tags": 0,
        "in tags, not in mask": 0,
    }
    assert report.class_counts["train"]["dog"] == 1 and report.class_counts["val"]["dog"] == 0
    absent = [p.file for p in report.problems]
    assert "sofa" in absent and "dog" not in absent  # no training image shows a sofa: a warning


def test_each_fault_is_found_and_none_stops_it(voc_root: Path) -> None:
    one, two = "2007_000001", "2007_000002"
    (voc_root / f"JPEGImages/{one}.jpg").unlink()
    (voc_root / f"SegmentationClass/{one}.png").write_text("broken")
    Image.fromarray(np.full((10, 10), 33, np.uint8)).save(voc_root / f"SegmentationClass/{two}.png")
    (voc_root / "Annotations/2007_000003.xml").unlink()
    report = _check(voc_root)
    assert not report.ok and report.errors == 5
    assert [text.split(":")[0] for text in _texts(report, "error", one)] == [
        "image not found",
        "mask cannot be read",
    ]
    size, labels = _texts(report, "error", two)
    assert size.startswith("the image is 30 x 20 pixels and its mask 10 x 10")
    assert labels.startswith("its mask holds labels 33; classes have 0..20")
    assert _texts(report, "error", "2007_000003")[0].startswith("no tags for 2007_000003")
    assert report.problems == _check(voc_root).problems


def test_tags_that_contradict_masks_are_counted_apart(voc_root: Path) -> None:
    (voc_root / "tags.csv").write_text("image,tags\n2007_000001,cat\n2007_000002,person car bus\n2007_000003,\n")
    report = _check(voc_root)
    assert report.ok
    assert report.counts["train"]["in mask, not in tags"] == 1
    assert report.counts["train"]["in tags, not in mask"] == 2
    assert report.counts["val"]["untagged"] == 1 and report.counts["val"]["in mask, not in tags"] == 2
    assert "its mask shows dog but its tags do not" in _texts(report, "warning", "2007_000001")
    assert "its tags name bus, car but its mask does not show it" in _texts(report, "warning", "2007_000002")


def test_leaks_and_repeats(voc_root: Path) -> None:
    (voc_root / "ImageSets/Segmentation/train.txt").write_text("2007_000001\n2007_000003\n2007_000001\n")
    report = _check(voc_root)
    assert "listed twice" in _texts(report, "error", "2007_000001")[0]
    assert "it is in train too" in _texts(report, "error", "2007_000003")[0]


def test_one_photo_under_two_names_is_a_leak(voc_root: Path) -> None:
    os.link(voc_root / "JPEGImages/2007_000001.jpg", voc_root / "JPEGImages/hard.jpg")
    os.symlink(voc_root / "JPEGImages/2007_000002.jpg", voc_root / "JPEGImages/soft.jpg")
    (voc_root / "ImageSets/Segmentation/val.txt").write_text("2007_000003\nhard\nsoft\n")
    sources = {split: VOC(str(voc_root), split, masks=None) for split in ("train", "val")}
    for name in ("hard", "soft"):
        (voc_root / f"Annotations/{name}.xml").write_text("<annotation/>")
        assert "it is in train too" in _texts(check_datasets(sources), "error", name)[0]
    (line,) = quick_check(sources)
    assert line == "val: 2 of 3 images are in train too (hard, soft), so scores are too high; remove them"


def test_what_is_found_without_reading_photos(voc_root: Path) -> None:
    lists = voc_root / "ImageSets/Segmentation"
    sources = lambda: {split: VOC(str(voc_root), split) for split in ("train", "val")}  # noqa: E731
    assert quick_check(sources()) == []
    (lists / "train.txt").write_text("2007_000001\n2007_000003\n2007_000001\n2007_000002\n")
    assert quick_check(sources()) == [
        "train: 2007_000001 listed more than once, and each line counts; remove the others",
        "val: 1 of 1 images are in train too (2007_000003), so scores are too high; remove them",
    ]
    (lists / "val.txt").write_text("2007_000003\n2007_000004\n2007_000005\n")
    with pytest.raises(UserError, match=r"val: 2 of 3 photos are missing, the first is .*2007_000004\.jpg; add them"):
        quick_check(sources())
    assert quick_check({"train": Toy("train", count=6), "val": Toy("val", count=3)}) == []


def test_classes_that_a_table_names_are_listed(folder_root: Path) -> None:
    (folder_root / "tags.csv").write_text("image,tags\na,dog\nb,cat\n")
    line = f"classes  all: as {folder_root / 'tags.csv'} names them: cat, dog; classes=[...] states and orders them"
    assert line in check_dataset(TaggedFolder(str(folder_root))).lines()
    assert check_dataset(TaggedFolder(str(folder_root), classes=["dog", "cat"])).classes == {}


def _masked(root: Path, masks: dict[str, np.ndarray]) -> TaggedFolder:
    """Make a set of the classes cat and dog, with four images and the given masks."""
    (root / "tags.csv").write_text("image,tags\na,cat\nb,dog\nsub/c,cat\nd,dog\n")
    for name, mask in masks.items():
        (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8)).save(root / "masks" / f"{name}.png")
    return TaggedFolder(str(root))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"a": [0, 255], "b": [0, 0]},
            "2 of 4 images have a mask, and the mIoU is of these alone; they hold only 0 (background) and 255 (void): "
            "the mIoU is of background alone; write the ids 1 to 2 of the classes into them",
        ),
        (
            {"a": [0, 1], "b": [0, 0], "sub/c": [1, 255], "d": [0, 1]},
            "4 of 4 images have a mask; none shows dog, so the mIoU is of 2 of 3 classes",
        ),
        (
            {"a": [0, 1], "b": [0, 2], "sub/c": [1, 255], "d": [0, 1]},
            "4 of 4 images have a mask, which show all 3 classes",
        ),
        ({}, "no image of 4 has a mask: there is no mIoU, and its tags alone (mAP, F1) judge it"),
    ],
)
def test_what_masks_hold_in_one_line(folder_root: Path, values: dict[str, list[int]], line: str) -> None:
    heights = {"a": 8, "b": 9, "sub/c": 10, "d": 11}
    masks = {name: np.resize(np.repeat(row, 6), (heights[name], 12)) for name, row in values.items()}
    source = _masked(folder_root, masks)
    assert summarize_masks(source).line(source.classes) == line
    report = check_dataset(source)
    hint = f" (expected {folder_root / 'masks/sub/c.png'})" if len(values) == 2 else ""
    assert report.masks == ({"all": line + hint} if values else {})
    assert f"masks    all: {line}{hint}" in report.lines() or not values


def test_a_missing_mask_is_expected_where_another_is_found(folder_root: Path) -> None:
    report = check_dataset(_masked(folder_root, {"a": np.ones((8, 12))}))
    expected, found = folder_root / "masks/b.png", folder_root / "masks/a.png"
    assert report.masks["all"].endswith(f"(expected {expected}, found {found})")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"a": [0, 255], "b": [0, 0], "d": [255, 255]},
            "3 of 4 images have a mask, and training ends at the first image without one; they hold only 0 "
            "(background) and 255 (void): only background can be learnt; write the ids 1 to 2 of the classes into them "
            "(expected {})",
        ),
        (
            {"a": [0, 1], "b": [0, 0], "sub/c": [1, 255], "d": [0, 1]},
            "4 of 4 images have a mask; none shows dog, which cannot be learnt",
        ),
        (
            {"a": [0, 1], "b": [0, 2], "sub/c": [1, 255], "d": [0, 1]},
            "4 of 4 images have a mask, which show all 3 classes",
        ),
    ],
)
def test_what_training_masks_hold_is_said_where_they_are_learnt(
    folder_root: Path, values: dict[str, list[int]], line: str
) -> None:
    heights = {"a": 8, "b": 9, "sub/c": 10, "d": 11}
    masks = {name: np.resize(np.repeat(row, 6), (heights[name], 12)) for name, row in values.items()}
    source = _masked(folder_root, masks)
    expected = "train: " + line.format(folder_root / "masks/sub/c.png")
    assert [one for one in check_before_training(source, None, True, True) if one.startswith("train: ")] == [expected]
    assert not any(one.startswith("train: ") for one in check_before_training(source, None, True))
    assert check_before_training(Toy("train", count=4), None, True, True) == []


def test_a_part_of_the_masks_is_looked_at(folder_root: Path) -> None:
    source = _masked(folder_root, {name: np.zeros((8, 12)) for name in ("a", "b", "sub/c", "d")})
    found = summarize_masks(source, most=2)
    assert (found.masks, found.read) == (4, 2)
    assert "they hold only 0 (background) in the 2 masks looked at" in found.line(source.classes)


def test_sets_without_masks(folder_root: Path) -> None:
    (folder_root / "tags.csv").write_text("image,tags\na,cat\nb,dog\n")
    report = check_dataset(TaggedFolder(str(folder_root)))
    assert report.ok and report.counts["all"]["masks"] == 0
    expected = f"no image has a mask: its tags alone (mAP, F1) judge it; expected {folder_root / 'masks/a.png'}"
    assert [p.message for p in report.problems] == [expected]
    Image.new("L", (12, 8), 1).save(folder_root / "images/a_mask.png")
    found = f"{expected}, found {folder_root / 'images/a_mask.png'}"
    assert [p.message for p in check_dataset(TaggedFolder(str(folder_root))).problems] == [found]
    (folder_root / "masks").mkdir()
    Image.new("L", (12, 8), 1).save(folder_root / "masks/a.png")
    assert "it has no mask" in _texts(check_dataset(TaggedFolder(str(folder_root))), "warning", "b.png")[0]


def test_class_lists_must_agree() -> None:
    train, val = Toy("train", count=12), Toy("val", count=3)
    assert check_datasets({"train": train, "val": val}).ok
    val.classes = (*val.classes, "cube")
    report = check_datasets({"train": train, "val": val})
    assert "its classes are not those of train" in report.problems[0].message


@pytest.mark.parametrize("limit", [1, None])
def test_plain_text(voc_root: Path, limit: int | None) -> None:
    for photo in (voc_root / "JPEGImages").iterdir():
        photo.unlink()
    lines = _check(voc_root).lines(limit)
    assert lines[0].startswith("error    train  ") and "image not found" in lines[0]
    assert ("error    ... and 2 more" in lines) == (limit == 1)
    assert lines[-1].startswith("3 errors, ")
    assert any(line.split() == ["cat", "1", "1"] for line in lines)
