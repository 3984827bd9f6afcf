from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.data import VOC, TaggedFolder, Toy
from dupl.data.check import check_dataset, check_datasets
from dupl.data.check_report import Report


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


def test_sets_without_masks(folder_root: Path) -> None:
    (folder_root / "tags.csv").write_text("image,tags\na,cat\nb,dog\n")
    report = check_dataset(TaggedFolder(str(folder_root)))
    assert report.ok and report.counts["all"]["masks"] == 0
    assert [p.message for p in report.problems] == ["no image has a mask: it cannot be evaluated"]
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
