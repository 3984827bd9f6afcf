from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dupl.data import VOC
from dupl.data.check import check_datasets
from dupl.data.mask_summary import summarize_masks
from dupl.data.voc import objects_in_xml
from dupl.errors import UserError
from dupl.registry import DATASETS


def test_layout(voc_root: Path) -> None:
    source = DATASETS.build(dict(type="VOC", root=str(voc_root), split="train"))
    assert source.names == ["2007_000001", "2007_000002"] and len(source) == 2
    assert source.K == 20 and source.has_masks
    assert source.image(0).shape == (20, 30, 3)
    assert set(np.unique(source.mask(0)).tolist()) == {0, 8, 12, 255}
    assert np.flatnonzero(source.tags(0)).tolist() == [7, 11]
    assert source.tags(1).dtype == np.float32 and source.tags(1).sum() == 1


def test_xml_and_csv_agree(voc_root: Path) -> None:
    from_xml = [VOC(str(voc_root), split).tags(0) for split in ("train", "val")]
    (voc_root / "tags.csv").write_text("image,tags\n2007_000001,cat dog\n2007_000002,person\n2007_000003,sofa cat\n")
    for name in ("2007_000001", "2007_000003"):
        (voc_root / "Annotations" / f"{name}.xml").unlink()
    from_csv = [VOC(str(voc_root), split).tags(0) for split in ("train", "val")]
    assert np.array_equal(from_xml, from_csv)


def test_masks_are_optional_and_the_named_folder_comes_first(voc_root: Path) -> None:
    (voc_root / "SegmentationClass").rename(voc_root / "SegmentationClassAug")
    assert VOC(str(voc_root), "val").mask(0) is not None
    for source in (VOC(str(voc_root), "val", masks=None), VOC(str(voc_root), "val", masks="absent")):
        assert not source.has_masks and source.mask(0) is None and source.tags(0).sum() == 2


def test_an_image_without_a_mask_in_the_first_folder_takes_the_second(voc_root: Path) -> None:
    (voc_root / "SegmentationClassAug").mkdir()
    (voc_root / "SegmentationClass/2007_000001.png").rename(voc_root / "SegmentationClassAug/2007_000001.png")
    train, val = VOC(str(voc_root), "train"), VOC(str(voc_root), "val")
    assert val.has_masks and val.mask(0) is not None
    assert [path.parent.name for path in (train.mask_file(0), train.mask_file(1)) if path] == [
        "SegmentationClassAug",
        "SegmentationClass",
    ]
    (voc_root / "SegmentationClass/2007_000002.png").unlink()
    assert train.mask(1) is None
    assert summarize_masks(train).line(train.classes).startswith("1 of 2 images have a mask, and the mIoU is of these")
    expected = voc_root / "SegmentationClassAug/2007_000002.png"
    assert train.mask_hint() == f"expected {expected}, found {expected.with_name('2007_000001.png')}"


def test_a_photo_called_JPG_or_in_another_unicode_form_is_found(voc_root: Path) -> None:  # noqa: N802
    (voc_root / "JPEGImages/2007_000001.jpg").rename(voc_root / "JPEGImages/2007_000001.JPG")
    assert VOC(str(voc_root), "train").image(0).shape == (20, 30, 3)


def test_a_list_of_paths(voc_root: Path) -> None:
    line = "/JPEGImages/2007_000003.jpg /SegmentationClassAug/2007_000003.png\n"
    (voc_root / "ImageSets/Segmentation/paths.txt").write_text(line)
    assert VOC(str(voc_root), "paths").names == ["2007_000003"]


def test_mistakes_are_named(voc_root: Path) -> None:
    with pytest.raises(UserError, match="no folder JPEGImages"):
        VOC(str(voc_root / "Annotations"), "train")
    with pytest.raises(UserError, match=r"train_aug\.txt; lists there: train, val"):
        VOC(str(voc_root), "train_aug")
    with pytest.raises(UserError, match=r"other\.csv"):
        VOC(str(voc_root), "train", tags="other.csv")
    (voc_root / "tags.csv").write_text("image,tags\n2007_000001,cat\n")
    with pytest.raises(UserError, match=r"tags\.csv: no line for 2007_000002"):
        VOC(str(voc_root), "train").tags(1)
    (voc_root / "tags.csv").unlink()
    (voc_root / "Annotations/2007_000001.xml").unlink()
    with pytest.raises(UserError, match=r"no tags for 2007_000001: .*add it, or a tags\.csv"):
        VOC(str(voc_root), "train").tags(0)


def test_xml_cannot_reach_outside(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    entity = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'
    path.write_text(f"{entity}<annotation><object><name>&x;</name></object></annotation>")
    with pytest.raises(UserError, match="document type"):
        objects_in_xml(path)
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(UserError, match="document type"):
        objects_in_xml(path)
    path.write_text("<annotation><object>")
    with pytest.raises(UserError, match=r"annotation cannot be read: .*a\.xml"):
        objects_in_xml(path)


@pytest.mark.skipif("DUPL_VOC_ANIMALS" not in os.environ, reason="DUPL_VOC_ANIMALS does not name the folder of photos")
def test_real_photos() -> None:
    root = os.environ["DUPL_VOC_ANIMALS"]
    sources = {split: VOC(root, split) for split in ("train", "val")}
    assert {split: len(source) for split, source in sources.items()} == {"train": 1785, "val": 245}
    report = check_datasets(sources)
    assert report.ok, report.lines()
    assert report.counts["val"]["masks"] == 245 and report.class_counts["train"]["person"] == 588
