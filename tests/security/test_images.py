"""Photos from elsewhere: only formats that hold pixels are decoded, whatever a file is called."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from dupl.data.files import FORMATS, read_image, read_mask
from dupl.errors import UserError

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(%pipe%touch /tmp/x) (w) file\nshowpage\n"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.eps"])
def test_a_program_of_postscript_is_never_run(tmp_path, monkeypatch, name):
    def run(*_, **__):
        pytest.fail("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    (tmp_path / name).write_bytes(EPS)
    for read in (read_image, read_mask):
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path / name)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_a_decompression_bomb(tmp_path, side):
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1 << 16), 9)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    with pytest.raises(UserError, match=r"cannot be read: .* is larger than [\d,]+ pixels .*decompression bomb.*tiles"):
        read_image(tmp_path / "a.png")


def test_a_bomb_in_a_text_of_the_file(tmp_path):
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 27), 9))
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:33] + text + whole[33:])
    try:
        assert read_mask(tmp_path / "a.png").shape == (2, 2)
    except UserError as error:
        assert "cannot be read" in str(error)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "JPEG2000"])
def test_what_is_taken_is_still_read(tmp_path, form):
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(tmp_path / "a.img", form)
    assert abs(int(read_image(tmp_path / "a.img").mean()) - 100) <= 2
