from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.data.classes import VOC_CLASSES, colormap
from dupl.data.files import read_image, read_mask, without_suffix
from dupl.data.tag_table import read_tag_table
from dupl.errors import UserError


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA", "CMYK", "1", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "photo.tif"
    Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (4, 5, 3) and image.dtype == np.uint8 and image.min() >= 250


def test_sixteen_bit_grey_keeps_its_upper_bits(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, :, 1].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_few_bits_in_sixteen_are_refused(tmp_path: Path, bits: int) -> None:
    values = np.zeros((8, 8), np.uint16)
    values[0, 0] = 2**bits - 1
    Image.fromarray(values).save(tmp_path / "few.png")
    with pytest.raises(UserError, match=rf"few\.png \(its brightest value takes {bits} of 16 bits.*scale it to 8"):
        read_image(tmp_path / "few.png")
    values[0, 0] = 2**14
    Image.fromarray(values).save(tmp_path / "many.tif")
    assert read_image(tmp_path / "many.tif").max() == 64
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "black.png")
    assert not read_image(tmp_path / "black.png").any()


@pytest.mark.parametrize(("bits", "read"), [(12, False), (16, True)])
def test_sixteen_bit_colours(tmp_path: Path, bits: int, read: bool) -> None:
    rows = b"".join(b"\0" + (2**bits - 1).to_bytes(2, "big") * 3 * 4 for _ in range(4))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    if read:
        assert read_image(tmp_path / "deep.png").tolist() == np.full((4, 4, 3), 255).tolist()
    else:
        with pytest.raises(UserError, match="12 of 16 bits"):
            read_image(tmp_path / "deep.png")


@pytest.mark.parametrize("form", ["JPEG", "JPEG2000"])
def test_lossy_masks_are_refused(tmp_path: Path, form: str) -> None:
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "mask.png", form)
    with pytest.raises(UserError, match=rf"mask\.png \(it is a {form} file, which changes label ids; .*PNG"):
        read_mask(tmp_path / "mask.png")


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (3, 3), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    picture.save(tmp_path / "p.png", transparency=bytes([255, 10]))
    assert read_image(tmp_path / "p.png")[0, 0].tolist() == [200, 100, 50]


def test_orientation_is_applied_on_request_only(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (4, 8, 3)
    assert read_image(tmp_path / "turned.jpg", upright=True).shape == (8, 4, 3)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image not found: .*gone\.jpg"):
        read_image(tmp_path / "gone.jpg")
    (tmp_path / "text.jpg").write_text("not a photo")
    with pytest.raises(UserError, match=r"image cannot be read: .*text\.jpg"):
        read_image(tmp_path / "text.jpg")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:1500])
    with pytest.raises(UserError, match=r"cut\.jpg.*truncated"):
        read_image(tmp_path / "cut.jpg")
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(UserError, match="8 or 16 bits"):
        read_image(tmp_path / "float.tif")


def test_masks(tmp_path: Path) -> None:
    ids = np.array([[0, 3], [20, 255]], np.uint8)
    grey, palette = Image.fromarray(ids), Image.fromarray(ids)
    palette.putpalette(colormap().ravel().tolist())
    for name, picture in (
        ("grey", grey),
        ("palette", palette),
        ("deep", Image.fromarray(ids.astype(np.uint16))),
    ):
        picture.save(tmp_path / f"{name}.png")
        assert read_mask(tmp_path / f"{name}.png").tolist() == ids.tolist()
    palette.convert("RGB").save(tmp_path / "colour.png")
    with pytest.raises(UserError, match=r"colour\.png.*RGB.*grey PNG"):
        read_mask(tmp_path / "colour.png")
    Image.fromarray(np.array([[300]], np.uint16)).save(tmp_path / "high.png")
    with pytest.raises(UserError, match=r"outside 0\.\.255"):
        read_mask(tmp_path / "high.png")


def test_tag_table_forms_agree(tmp_path: Path) -> None:
    texts = {
        "space": "image,tags\na.jpg,cat dog\nb,\nc.png,dog\n",
        "comma": '\ufeffimage,tags\r\na.jpg,"dog, cat"\r\nb,""\r\nc.png,dog\r\n',
        "semicolon": "image;tags\na.jpg;cat,dog\nb;\nc.png;dog\n",
        "onehot": "image,cat,dog\na.jpg,1,1\nb,0,\nc.png,0,1.0\n",
    }
    for form, text in texts.items():
        (tmp_path / form).write_text(text, encoding="utf-8")
        table = read_tag_table(tmp_path / form)
        assert table.classes == ("cat", "dog")
        assert {name: set(tags) for name, tags in table.tags.items()} == {
            "a": {"cat", "dog"},
            "b": set(),
            "c": {"dog"},
        }


def test_class_names_with_spaces(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    path.write_text('image,tags\na,traffic light\nb,"cat; traffic light"\n')
    table = read_tag_table(path, ("cat", "traffic light"))
    assert table.tags == {"a": ("traffic light",), "b": ("cat", "traffic light")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,tags\na.jpg,cat\na.png,dog\n", "line 3: there is already a line for a.png"),
        ("image,tags\na,cat\nb,cow\n", "line 3: unknown class 'cow'; the classes are cat, dog"),
        ("name,tags\na,cat\n", "the first line has no column 'image'"),
        ("image\na\n", "there is neither a column 'tags' nor one per class"),
        ("image,tags\n", "there are no images in it"),
        ("", "no column 'image'"),
        ("image,tags\n,cat\n", "line 2: the image's name is empty"),
        ("image,tags\na,cat,dog\n", "line 2: more cells than columns"),
        ("image,cat\na,perhaps\n", "line 2: 'perhaps' in column 'cat'; write 1 or 0"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tags.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_tag_table(path, ("cat", "dog"))
    assert str(path) in str(caught.value) and message in str(caught.value)


def test_only_image_extensions_are_taken_off() -> None:
    assert [without_suffix(name) for name in ("a.JPG", "x/b.v2", "c")] == ["a", "x/b.v2", "c"]


def test_colours_are_the_official_ones() -> None:
    colours = colormap()
    assert len(VOC_CLASSES) == 21 and colours.shape == (256, 3)
    official = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {label: tuple(colours[label].tolist()) for label in official} == official
