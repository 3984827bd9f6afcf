"""Photos are turned by their EXIF orientation, and masks lie on them wherever they were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from dupl.data import COCO, VOC, Part, TaggedFolder
from dupl.data.check import check_dataset
from dupl.data.orientation import check_orientations
from dupl.errors import UserError


def _save(photo: Path, mask: Path | None, turn: int, size: tuple[int, int], drawn_upright: bool) -> None:
    """Save a photo of size (width, height) with a white quarter, and a mask of that quarter."""
    labels = np.zeros(size[::-1], np.uint8)
    labels[: size[1] // 2, : size[0] // 2] = 1
    exif = Image.Exif()
    exif[0x0112] = turn
    picture = Image.fromarray(labels * 255)
    picture.save(photo, exif=exif, quality=95)
    if mask is not None:
        with Image.open(photo) as stored:
            shown = ImageOps.exif_transpose(stored) if drawn_upright else stored
            Image.fromarray((np.asarray(shown) > 127).astype(np.uint8)).save(mask)


def _folder(tmp_path: Path, turn: int, size: tuple[int, int], drawn_upright: bool, **more: object) -> TaggedFolder:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "tags.csv").write_text("image,tags\na.jpg,cat\n")
    _save(tmp_path / "images/a.jpg", tmp_path / "masks/a.png", turn, size, drawn_upright)
    return TaggedFolder(str(tmp_path), **more)  # type: ignore[arg-type]


def _agreement(source: TaggedFolder | VOC | Part) -> float:
    """Return the IoU of the white quarter of the photo with its mask."""
    mask = source.mask(0)
    assert mask is not None
    image = source.image(0)[..., 0] > 127
    assert image.shape == mask.shape
    return float((image & (mask > 0)).sum() / (image | (mask > 0)).sum())


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
@pytest.mark.parametrize("drawn_upright", [True, False])
@pytest.mark.parametrize("upright", [None, True, False])
def test_the_size_of_the_mask_decides(tmp_path: Path, turn: int, drawn_upright: bool, upright: bool | None) -> None:
    source = _folder(tmp_path, turn, (48, 32), drawn_upright, upright=upright)
    assert source.image(0).shape == (48, 32, 3)
    assert _agreement(source) == 1
    check_orientations(source, "data.val")


@pytest.mark.parametrize(("turn", "size"), [*((t, (48, 32)) for t in (2, 3, 4)), *((t, (32, 32)) for t in range(2, 9))])
def test_where_the_size_cannot_tell_the_data_set_must_say(tmp_path: Path, turn: int, size: tuple[int, int]) -> None:
    for drawn_upright in (True, False):
        source = _folder(tmp_path, turn, size, drawn_upright)
        with pytest.raises(UserError, match=r"a\.jpg has EXIF orientation .*upright=True in the data set if"):
            source.mask(0)
        with pytest.raises(UserError, match=r"data\.val: masks of a may lie on .*upright=False if on the stored"):
            check_orientations(source, "data.val")
        report = check_dataset(source)
        assert report.errors == 1 and "upright=True" in report.problems[0].message
        said = _folder(tmp_path, turn, size, drawn_upright, upright=drawn_upright)
        check_orientations(said, "data.val")
        assert _agreement(said) == 1
        part = Part(dict(type="TaggedFolder", root=str(_two(tmp_path))), held=True, count=1)
        with pytest.raises(UserError, match="data.val: masks of"):
            check_orientations(part, "data.val")


def _two(root: Path) -> Path:
    """Give a folder a second photo that is like the first."""
    for place in ("images/a.jpg", "masks/a.png"):
        file = root / place
        file.with_stem("b").write_bytes(file.read_bytes())
    (root / "tags.csv").write_text("image,tags\na.jpg,cat\nb.jpg,cat\n")
    return root


@pytest.mark.parametrize("turn", [1, 0, 9])
def test_nothing_to_turn(tmp_path: Path, turn: int) -> None:
    source = _folder(tmp_path, turn, (48, 32), drawn_upright=False)
    check_orientations(source, "data.val")
    assert source.image(0).shape == (32, 48, 3) and _agreement(source) == 1


def test_photos_without_masks_are_turned(tmp_path: Path) -> None:
    source = _folder(tmp_path, 6, (48, 32), drawn_upright=True)
    (tmp_path / "masks/a.png").rename(tmp_path / "masks/b.png")
    for found in (source, TaggedFolder(str(tmp_path), masks=None)):
        assert found.image(0).shape == (48, 32, 3) and found.mask(0) is None
    _save(tmp_path / "images/a.jpg", None, 3, (48, 32), drawn_upright=False)
    check_orientations(TaggedFolder(str(tmp_path)), "data.train")  # no mask, nothing to refuse
    assert TaggedFolder(str(tmp_path)).image(0)[20:, 30:].min() > 200  # the quarter is turned to the lower right


@pytest.mark.parametrize("drawn_upright", [True, False])
def test_voc_follows_the_same_rule(voc_root: Path, drawn_upright: bool) -> None:
    photo, mask = (voc_root / place for place in ("JPEGImages/2007_000003.jpg", "SegmentationClass/2007_000003.png"))
    _save(photo, mask, 6, (48, 32), drawn_upright)
    assert _agreement(VOC(str(voc_root), "val")) == 1
    _save(photo, mask, 3, (48, 32), drawn_upright)
    with pytest.raises(UserError, match="masks of 2007_000003 may lie"):
        check_orientations(VOC(str(voc_root), "val"), "data.val")
    assert _agreement(VOC(str(voc_root), "val", upright=drawn_upright)) == 1


@pytest.mark.parametrize("turn", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("size", [(40, 24), (32, 32)])
def test_coco_has_its_masks_on_the_stored_pixels(tmp_path: Path, turn: int, size: tuple[int, int]) -> None:
    name = "COCO_val2014_000000000009"
    for folder in ("val2014", "masks/val2014"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tags_val2014.csv").write_text(f"image,tags\n{name}.jpg,person\n")
    _save(tmp_path / f"val2014/{name}.jpg", tmp_path / f"masks/val2014/{name}.png", turn, size, drawn_upright=False)
    source = COCO(str(tmp_path), "val")
    check_orientations(source, "data.val")
    with Image.open(tmp_path / f"val2014/{name}.jpg") as stored:
        assert source.image(0).shape[:2] == ImageOps.exif_transpose(stored).size[::-1]
    assert _agreement(source) > 0.98
