from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.data import COCO, Part
from dupl.data.check import check_dataset, check_datasets
from dupl.data.class_order import InClassOrder
from dupl.data.classes import COCO_CLASSES
from dupl.data.instances import Instances
from dupl.data.outlines import paint
from dupl.data.reads import read_record
from dupl.errors import UserError
from dupl.registry import DATASETS

drawing = pytest.importorskip("pycocotools.mask")
PERSON, STOP_SIGN, BOOK = (COCO_CLASSES.index(name) for name in ("person", "stop sign", "book"))


def edit(root: Path, change) -> Path:
    """Change the JSON of val."""
    path = root / "annotations/instances_val2014.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_images_by_id_and_categories_by_rank(coco_root: Path) -> None:
    source = DATASETS.build(dict(type="COCO", root=str(coco_root), split="val"))
    assert source.names == [f"COCO_val2014_{n:012d}" for n in (9, 42, 74, 100)]
    assert source.K == 80 and len(source.classes) == 81 and source.has_masks and source.split == "val"
    assert (PERSON, STOP_SIGN, BOOK) == (1, 12, 74)  # category ids 1, 13, 84
    assert [np.flatnonzero(source.tags(i)).tolist() for i in range(4)] == [[0, 73], [0], [0, 11], []]
    assert [source.image(i).shape for i in range(4)] == [(24, 16, 3), (20, 30, 3), (20, 30, 3), (20, 30, 3)]
    grey = source.image(2)
    assert (grey[..., 0] == grey[..., 1]).all()


def test_masks(coco_root: Path) -> None:
    source = COCO(str(coco_root), "val")
    crowd = source.mask(0)
    assert crowd.shape == (24, 16) and crowd.dtype == np.uint8
    assert (crowd[:, :2] == BOOK).all(), "a crowd region is its class"
    assert crowd[3, 2] == PERSON and crowd[9, 2] == BOOK, "the smaller one lies on top"
    assert crowd[11, 12] == PERSON and crowd[1, 5] == 0, "both polygons, but not the one of two points"
    assert set(np.unique(source.mask(2))) == {0, STOP_SIGN}, "all of the larger person is covered"
    assert not source.mask(3).any(), "no object: background"


def test_part_empty_and_shards_without_a_class(coco_root: Path) -> None:
    root = str(coco_root)
    assert len(COCO(root, "val", empty=False)) == 3
    part = COCO(root, "val", part=2, empty=False)
    assert part.names == COCO(root, "val").names[:2] and part.split == "val_part"
    assert not any(part.tags(i)[STOP_SIGN - 1] for i in range(2))
    assert not COCO(root, "train", masks=None).has_masks and COCO(root, "train", masks=None).mask(0) is None


def test_check_passes(coco_root: Path) -> None:
    report = check_datasets({split: COCO(str(coco_root), split) for split in ("train", "val")})
    assert report.ok, report.lines()
    assert report.counts["val"]["masks"] == 4 and report.counts["val"]["untagged"] == 1
    assert report.counts["val"]["in tags, not in mask"] == 1  # the covered person
    assert "val_part" in check_dataset(COCO(str(coco_root), "val", part=3)).counts


def test_table_and_png_come_first(coco_root: Path) -> None:
    by_json = COCO(str(coco_root), "val")
    folder = coco_root / "masks/val2014"
    folder.mkdir(parents=True)
    rows = ["image,tags"]
    for i, name in enumerate(by_json.names):
        present = by_json.tags(i)
        rows.append(f"{name}.jpg,{';'.join(COCO_CLASSES[k + 1] for k in np.flatnonzero(present))}")
        if i:  # of the first one there is none: an interrupted conversion
            Image.fromarray(by_json.mask(i)).save(folder / f"{name}.png")
    (coco_root / "tags_val2014.csv").write_text("\n".join(rows) + "\n")
    by_table = COCO(str(coco_root), "val")
    assert "_instances" not in vars(by_table), "the JSON is not read without need"
    for i in range(4):
        assert np.array_equal(by_json.tags(i), by_table.tags(i)) and np.array_equal(by_json.mask(i), by_table.mask(i))
    (coco_root / "annotations/instances_val2014.json").unlink()
    with pytest.raises(UserError, match=r"mask not found: .*0009\.png"):
        COCO(str(coco_root), "val").mask(0)


@pytest.mark.parametrize("text", ["{[]: 1}", '{{"a": 1}: 2}', "{1: 2}"])
def test_names_that_are_none(coco_root: Path, text: str) -> None:
    path = coco_root / "annotations/instances_val2014.json"
    path.write_text(text)
    with pytest.raises(UserError, match="annotations cannot be read"):
        Instances(path, COCO_CLASSES)


def test_layout_and_encoding_of_the_file_do_not_matter(coco_root: Path) -> None:
    path = coco_root / "annotations/instances_val2014.json"
    content = json.loads(path.read_text())
    content["images"][3]["file_name"] = "fótó.jpg"
    path.write_text(json.dumps(content))
    escaped = Instances(path, COCO_CLASSES)
    masks = [escaped.mask(row) for row in range(4)]
    path.write_text(json.dumps(content, indent=3, ensure_ascii=False), encoding="utf-8")
    indented = Instances(path, COCO_CLASSES)
    assert indented.files == escaped.files and "fótó" in indented.names
    assert all(np.array_equal(indented.mask(row), mask) for row, mask in enumerate(masks))


def test_run_lengths_as_pycocotools_has_them(coco_root: Path) -> None:
    rng = np.random.default_rng(0)
    for shape in ((13, 9), (40, 70)):
        truth = rng.random(shape) < 0.3
        truth[3:8, 2:7] = True
        rle = drawing.encode(np.asfortranarray(truth.astype(np.uint8)))
        mask = np.zeros(shape, np.uint8)
        paint(mask, {"size": list(shape), "counts": rle["counts"].decode()}, 5)
        assert np.array_equal(mask == 5, truth)


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        (None, "there are neither polygons nor run lengths"),
        ({"size": [24, 16], "counts": [5, 5]}, "cover 10 of 384 pixels"),
        ({"size": [24, 16], "counts": [-1, 385]}, "not whole numbers of pixels"),
        ({"size": [16, 24], "counts": [384]}, r"its size is \[16, 24\], the image's \[24, 16\]"),
        ({"size": [24, 16], "counts": "é"}, "compressed text"),
        ({"size": [24, 16], "counts": "0"}, "cover 0 of"),
        ([[1, 2, 3]], "pairs of numbers"),
        ([["a"] * 6], "pairs of numbers"),
        ([[0, 0, 1e12, 0, 5, 5]], "far outside the image of 16 x 24"),
        ([[0, 0, float("nan"), 0, 5, 5]], "far outside"),
    ],
)
def test_broken_outlines_are_one_line(coco_root: Path, outline: object, message: str) -> None:
    def change(content: dict) -> None:
        content["annotations"][2]["segmentation"] = outline

    edit(coco_root, change)
    with pytest.raises(UserError, match=rf"instances_val2014\.json: annotations number 2 in \S+0009\.jpg: .*{message}"):
        COCO(str(coco_root), "val").mask(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("annotations"), "no list 'annotations'"),
        (lambda c: c["images"][1].pop("height"), "images number 1: there is no number 'height'"),
        (lambda c: c["images"][1].update(height=24.5), "images number 1: 'height' is not a whole number"),
        (lambda c: c["images"][1].update(id=74), "two images have the same id"),
        (lambda c: c["images"][1].update(file_name="../../secret.jpg"), "leads out of the folder"),
        (lambda c: c["images"][1].update(width=10**9), "24|1000000000 x 24 pixels"),
        (lambda c: c["annotations"][1].update(image_id=5), "annotations number 1: there is no image 5"),
        (lambda c: c["annotations"][1].update(category_id=12), "annotations number 1: there is no category 12"),
        (lambda c: c["annotations"][1].update(area="big"), "annotations number 1: there is no number 'area'"),
        (lambda c: c["annotations"].append(3), "annotations number 5 is not an object"),
        (lambda c: c["categories"][0].update(name="tooth brush"), "not COCO's 80: 'tooth brush' is not at its place"),
        (lambda c: c["categories"].pop(0), "not COCO's 80: there are 79"),
        (lambda c: c.update(images=[], annotations=[]), "no images; check split"),
    ],
)
def test_other_files_are_refused(coco_root: Path, change, message: str) -> None:
    path = edit(coco_root, change)
    with pytest.raises(UserError, match=message) as caught:
        COCO(str(coco_root), "val")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_file_is_named(coco_root: Path) -> None:
    path = coco_root / "annotations/instances_val2014.json"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(UserError, match=r"instances_val2014\.json \(.* \(char \d+\)\); download"):
        COCO(str(coco_root), "val")
    path.write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"annotations cannot be read: \S+\.json \(.*can't decode byte 0x89"):
        COCO(str(coco_root), "val")
    path.write_bytes(b"[]")
    with pytest.raises(UserError, match="does not hold one JSON object"):
        COCO(str(coco_root), "val")


def test_mistakes_are_named(coco_root: Path, monkeypatch) -> None:
    with pytest.raises(UserError, match="no split 'minival'"):
        COCO(str(coco_root), "minival")
    with pytest.raises(UserError, match="no folder val2014"):
        COCO(str(coco_root / "annotations"), "val")
    with pytest.raises(UserError, match="part is 0"):
        COCO(str(coco_root), "val", part=0)
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    with pytest.raises(UserError, match=r'pip install "\.\[coco\]"'):
        COCO(str(coco_root), "val").mask(1)
    (coco_root / "annotations/instances_val2014.json").unlink()
    with pytest.raises(UserError, match=r"annotations not found: .*dupl data prepare coco"):
        COCO(str(coco_root), "val")


def test_corrected_masks_are_other_data(coco_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed PNG, or a changed outline in the JSON, changes the digest of the masks, also within a part."""
    monkeypatch.setenv("DUPL_CACHE", str(tmp_path / "cache"))
    root = str(coco_root)

    def records() -> list[dict[str, object]]:
        whole = COCO(root, "val", part=2)
        part = Part(dict(type="COCO", root=root, split="val", part=2), held=True, count=1)
        ordered = InClassOrder(whole, (whole.classes[0], *whole.classes[:0:-1]))
        return [read_record(source, {}, masks=True) for source in (whole, part, ordered)]

    def changed(before: list[dict[str, object]]) -> list[set[str]]:
        pairs = zip(before, records(), strict=True)
        return [{key for key in old if old[key] != new[key]} for old, new in pairs]

    painted = records()
    edit(coco_root, lambda content: content["annotations"][0].update(area=1.0))
    assert changed(painted) == [{"masks", "id"}] * 3

    masks = coco_root / "masks/val2014"
    masks.mkdir(parents=True)
    source = COCO(root, "val", part=2)
    for i, name in enumerate(source.names):
        Image.fromarray(source.mask(i)).save(masks / f"{name}.png")
    assert [source.mask_file(i) for i in range(2)] == [masks / f"{name}.png" for name in source.names]
    drawn = records()
    for i, name in enumerate(source.names):
        Image.fromarray(np.full_like(source.mask(i), PERSON)).save(masks / f"{name}.png")
    assert changed(drawn) == [{"masks", "id"}] * 3
    assert COCO(root, "val", masks=None).mask_file(0) is None
