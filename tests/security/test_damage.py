"""Randomly damaged files of every kind that is read: nothing but an answer or one clear line."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dupl.data.files import FORMATS, read_image, read_mask, read_tag_table
from dupl.data.voc import objects_in_xml
from dupl.engine.checkpoints import load
from dupl.errors import UserError
from dupl.literals import read_file

ORIENTED = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def picture(form: str, mode: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (9, 11, 3), np.uint8)
    file = io.BytesIO()
    exif = {"exif": ORIENTED} if form in ("JPEG", "PNG", "WEBP") else {}
    Image.fromarray(noise).convert(mode).save(file, form, **exif)
    return file.getvalue()


def checkpoint(zipped: bool) -> bytes:
    file = io.BytesIO()
    content = {"state_dict": {"a": torch.zeros(3)}, "meta": {"iter": 3}}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def upright(path: Path) -> object:
    return read_image(path, upright=True)


KINDS = {
    **{f"photo {form}": (picture(form, "RGB"), upright) for form in FORMATS if form != "JPEG2000"},
    **{f"mask {form}": (picture(form, "L"), read_mask) for form in ("PNG", "GIF", "TIFF", "BMP")},
    "palette": (picture("PNG", "P"), read_mask),
    "tags": (b"image,tags,split\na.jpg,cat dog,train\nb.png,,val\n", read_tag_table),
    "columns": (b"image;cat;dog\na.jpg;1;0\n", read_tag_table),
    "xml": (b"<?xml version='1.0'?><annotation><object><name>cat</name></object></annotation>", objects_in_xml),
    "recipe": (b"_base_ = []\nmodel = dict(a=[1, 2.5] * 3, b={'x': None})\n", read_file),
    "checkpoint": (checkpoint(True), load),
    "old checkpoint": (checkpoint(False), load),
}


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, added or removed, or the end cut off."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        how = rng.random()
        if how < 0.5:
            data[at : at + 1] = bytes([rng.choice((0, 127, 128, 255, rng.randrange(256)))])
        elif how < 0.7:
            del data[at : at + rng.randint(1, 20)]
        elif how < 0.9:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        else:
            del data[at:]
    return bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_line(tmp_path, kind):
    whole, read = KINDS[kind]
    file, rng, refused = tmp_path / "file", random.Random(kind), 0
    file.write_bytes(whole)
    read(file)
    for _ in range(100):
        file.write_bytes(damaged(whole, rng))
        try:
            read(file)
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused
