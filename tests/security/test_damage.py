"""Randomly damaged files of every kind that is read: nothing but an answer or one clear line (benchmarks/fuzz.py)."""

from __future__ import annotations

import importlib.util
import json
import random
import struct
import sys
from pathlib import Path

import pytest

from dupl.errors import UserError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
fuzz = importlib.util.module_from_spec(spec)
sys.modules["fuzz"] = fuzz  # where its dataclasses look themselves up
spec.loader.exec_module(fuzz)

KINDS = fuzz.files()
SLOW = ("plan", "sweep", "recipe")


def laid_out(name: str, folder: Path) -> tuple[fuzz.Kind, Path]:
    return KINDS[name], fuzz.lay_out({name: KINDS[name]}, None, folder)[name]


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_one_line(tmp_path, name):
    if name == "COCO":
        needs_pycocotools()
    kind, file = laid_out(name, tmp_path)
    rng, refused = random.Random(name), 0
    for _ in range(10 if name in SLOW else 60):
        file.write_bytes(fuzz.damaged(kind.whole, rng))
        went = fuzz.outcome(kind, file)
        assert went in ("answer", "refused"), went
        refused += went == "refused"
    assert refused or name.startswith("kept"), "what is kept is made anew instead"


def needs_pycocotools():
    pytest.importorskip("pycocotools", reason='pycocotools is not installed: pip install ".[coco]"')


def test_what_goes_wrong_is_noticed(tmp_path):
    """The machinery tells errors, several lines and endless work from an answer."""

    def several(_: Path) -> None:
        raise UserError("one\ntwo")

    def endless(_: Path) -> None:
        while True:
            pass

    for read, begins in ((int, "TypeError"), (several, "several lines"), (endless, "Slow, ")):
        assert fuzz.outcome(fuzz.Kind(b"", read), tmp_path, limit=0.1).startswith(begins)
    assert fuzz.outcome(fuzz.Kind(b"", str), tmp_path) == "answer"


def test_values_of_json_are_replaced_one_at_a_time():
    whole, rng = {"a": [1, {"b": 2}]}, random.Random(0)
    made = [json.loads(fuzz.replaced(json.dumps(whole).encode(), rng)) for _ in range(200)]
    assert sum(one != whole for one in made) > 190 and {"a": [1, {"b": None}]} in made and {"a": [1]} in made
    assert fuzz.replaced(b'{"iter": 1}\n{"iter": 2}\n', rng).endswith(b'\n{"iter": 2}\n'), "of lines the first"


# What it found, once: none of these was one line.


@pytest.mark.parametrize("name", ["mask PNG", "photo PNG", "palette"])
def test_a_piece_of_a_png_that_claims_gigabytes(tmp_path, monkeypatch, name):
    kind, file = laid_out(name, tmp_path)
    at = kind.whole.index(b"IDAT")
    file.write_bytes(kind.whole[: at - 4] + struct.pack(">I", 2**31 - 1) + kind.whole[at:])
    assert fuzz.outcome(kind, file) in ("answer", "refused"), "as far as there is memory"

    def lack(*_):
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_end", lack)
    with pytest.raises(UserError, match=r"cannot be read: .* \(not enough memory\)"):
        kind.read(file)


def test_a_polygon_with_a_number_of_400_digits(tmp_path):
    needs_pycocotools()
    kind, file = laid_out("COCO", tmp_path)
    file.write_bytes(kind.whole.replace(b"8.5", b"9" * 400))
    with pytest.raises(UserError, match="number 0 in 0.jpg: a polygon holds a number of hundreds of digits"):
        kind.read(file)


def test_a_tiff_whose_offsets_are_text(tmp_path):
    kind, file = laid_out("mask TIFF", tmp_path)
    assert b"\x11\x01\x04\x00" in kind.whole  # StripOffsets, whole numbers
    file.write_bytes(kind.whole.replace(b"\x11\x01\x04\x00", b"\x11\x01\x02\x00"))
    with pytest.raises(UserError, match="cannot be read"):
        kind.read(file)
