from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.data import TaggedFolder
from dupl.errors import UserError
from dupl.registry import DATASETS, class_names

TABLE = "image,tags,split\na.jpg,cat,train\nb,dog cat,train\nsub/c.JPG,,val\nd,dog,val\n"


def test_reads_images_and_tags(folder_root: Path) -> None:
    (folder_root / "tags.csv").write_text(TABLE)
    source = DATASETS.build(dict(type="TaggedFolder", root=str(folder_root)))
    assert source.classes == ("background", "cat", "dog") and source.names == ["a", "b", "sub/c", "d"]
    assert [source.tags(i).tolist() for i in range(4)] == [[1, 0], [1, 1], [0, 0], [0, 1]]
    assert [source.image(i).shape[0] for i in range(4)] == [8, 9, 10, 11]
    assert not source.has_masks and source.mask(0) is None


def test_splits_by_column_or_list_share_their_classes(folder_root: Path) -> None:
    (folder_root / "tags.csv").write_text(TABLE)
    train, val = (TaggedFolder(str(folder_root), split=split) for split in ("train", "val"))
    assert train.names == ["a", "b"] and val.names == ["sub/c", "d"] and train.classes == val.classes
    (folder_root / "tags.csv").write_text(TABLE.replace(",split", "").replace(",train", "").replace(",val", ""))
    (folder_root / "val.txt").write_text("sub/c\nd.jpeg\n")
    assert TaggedFolder(str(folder_root), split="val").names == ["sub/c", "d"]
    with pytest.raises(UserError, match="split 'train' is not defined"):
        TaggedFolder(str(folder_root), split="train")
    (folder_root / "val.txt").write_text("e\n")
    with pytest.raises(UserError, match=r"val\.txt: e has no line in"):
        TaggedFolder(str(folder_root), split="val")


def test_masks_may_be_partial(folder_root: Path) -> None:
    (folder_root / "tags.csv").write_text(TABLE)
    (folder_root / "masks/sub").mkdir(parents=True)
    Image.fromarray(np.full((10, 12), 2, np.uint8)).save(folder_root / "masks/sub/c.png")
    source = TaggedFolder(str(folder_root))
    assert source.has_masks and source.mask(0) is None
    mask = source.mask(2)
    assert mask is not None and mask.shape == (10, 12) and (mask == 2).all()
    assert not TaggedFolder(str(folder_root), split="train").has_masks


def test_photos_stand_upright(folder_root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(folder_root / "images/a.jpg", exif=exif)
    (folder_root / "tags.csv").write_text(TABLE)
    assert TaggedFolder(str(folder_root)).image(0).shape == (8, 4, 3)
    (folder_root / "masks").mkdir()
    for upright in (None, True, False):
        assert TaggedFolder(str(folder_root), upright=upright).image(0).shape == (8, 4, 3)


def test_names_in_another_unicode_form_are_found(folder_root: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    (folder_root / "masks").mkdir()
    Image.new("RGB", (6, 5)).save(folder_root / f"images/{decomposed}.jpg")
    Image.new("L", (6, 5), 1).save(folder_root / f"masks/{decomposed}.png")
    for stated in (f"{composed}.jpg", composed):
        (folder_root / "tags.csv").write_text(f"image,tags\n{stated},cat\n", encoding="utf-8")
        source = TaggedFolder(str(folder_root))
        mask = source.mask(0)
        assert source.image(0).shape == (5, 6, 3) and mask is not None and mask.all()
        (folder_root / "val.txt").write_text(f"{decomposed}\n", encoding="utf-8")
        assert TaggedFolder(str(folder_root), split="val").names == [composed]


def test_hidden_files_are_no_images(folder_root: Path) -> None:
    (folder_root / "images/._a.jpg").write_bytes(b"\0\5\x16\7 resource fork")
    (folder_root / "tags.csv").write_text("image,tags\na,cat\n")
    assert TaggedFolder(str(folder_root)).image(0).shape == (8, 12, 3)


def test_given_classes_fix_the_ids(folder_root: Path) -> None:
    (folder_root / "tags.csv").write_text(TABLE)
    for classes in (["dog", "cat", "cow"], ["background", "dog", "cat", "cow"]):
        source = TaggedFolder(str(folder_root), classes=classes)
        assert source.classes == ("background", "dog", "cat", "cow") and source.tags(0).tolist() == [0, 1, 0]


def test_mistakes_are_named(folder_root: Path) -> None:
    root, table = str(folder_root), folder_root / "tags.csv"
    with pytest.raises(UserError, match=r"table of tags not found: .*tags\.csv"):
        TaggedFolder(root)
    table.write_text(TABLE)
    with pytest.raises(UserError, match="folder of images not found"):
        TaggedFolder(root, images="photos")
    with pytest.raises(UserError, match=r"line 3: unknown class 'dog'"):
        TaggedFolder(root, classes=["cat"])
    with pytest.raises(UserError, match="name each once"):
        TaggedFolder(root, classes=["cat", "dog", "cat"])
    with pytest.raises(UserError, match="no image of split 'test'; its splits are train, val"):
        TaggedFolder(root, split="test")
    for rest in ("c.jpg,dog\n", "".join(f"{i}.jpg,dog\n" for i in range(20_000))):
        table.write_text('image,tags\na.jpg,cat\n"b.jpg,cat\n' + rest)
        with pytest.raises(UserError, match="close the quote that begins a cell"):
            TaggedFolder(root)
    table.write_text("image,tags\na.jpg,\n")
    with pytest.raises(UserError, match="no image has a tag"):
        TaggedFolder(root)
    table.write_text("image,tags\ngone.jpg,cat\na,cat\n")
    Image.new("RGB", (2, 2)).save(folder_root / "images/a.png")
    source = TaggedFolder(root)
    with pytest.raises(UserError, match=r"image not found: .*gone\.jpg"):
        source.image(0)
    assert source.where(0).endswith("gone.jpg")
    with pytest.raises(UserError, match=r"may be a\.jpg and a\.png; write the extension"):
        source.image(1)


def test_stated_classes_are_known_where_the_photos_are_not(tmp_path: Path) -> None:
    arguments = dict(type="TaggedFolder", root=str(tmp_path / "moved"), split="train")
    assert class_names(dict(train=dict(arguments, classes=["dog", "cat"]))) == ("background", "dog", "cat")
    with pytest.raises(UserError, match="folder of images not found"):
        class_names(dict(train=arguments))
