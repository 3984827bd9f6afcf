"""SBD's annotations (MATLAB files): read as scipy reads them, and no damage does more than an error."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from dupl.data.prepare.mat import read_labels
from dupl.data.prepare.sbd import read_mat
from dupl.errors import UserError


def annotation(height: int, width: int, compressed: bool) -> bytes:
    """A file as SBD has them: sparse boundaries in cells, the mask, the classes."""
    rng = np.random.default_rng(height)
    cells = np.empty((20, 1), object)
    for k in range(20):
        cells[k, 0] = csc_matrix((rng.random((height, width)) > 0.9).astype(float))
    truth = {"Boundaries": cells, "Segmentation": rng.integers(0, 21, (height, width), np.uint8)}
    file = io.BytesIO()
    savemat(file, {"before": 1.0, "GTcls": {**truth, "CategoriesPresent": np.arange(3)}}, do_compression=compressed)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3), (2, 2), (5, 7), (50, 33)])
def test_as_scipy_reads_them(height, width, compressed):
    data = annotation(height, width, compressed)
    read = loadmat(io.BytesIO(data))["GTcls"]["Segmentation"][0, 0]
    ours = read_labels(data, "GTcls", "Segmentation")
    assert ours.dtype == np.uint8 and np.array_equal(ours, read)


def test_a_damaged_compression_is_one_line(tmp_path):
    packed = zlib.compress(b"x" * 100)
    packed = packed[:10] + b"\xff" * 8 + packed[18:]
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + struct.pack("<II", 15, len(packed))
    (tmp_path / "a.mat").write_bytes(head + packed)
    with pytest.raises(UserError, match="annotation cannot be read: .*incorrect data check"):
        read_mat(tmp_path / "a.mat")


def test_a_bomb(monkeypatch):
    monkeypatch.setattr("dupl.data.prepare.mat.MOST", 1000)
    packed = zlib.compress(bytes(100_000))
    head = annotation(1, 1, False)[:128]
    with pytest.raises(ValueError, match="incomplete or too large"):
        read_labels(head + struct.pack("<II", 15, len(packed)) + packed, "GTcls", "Segmentation")


@pytest.mark.parametrize("compressed", [True, False])
def test_no_damage_does_more_than_an_error(compressed):
    """Some of these end scipy's reader, and the process with it, by a segmentation fault."""
    whole, rng, read = annotation(4, 5, compressed), random.Random(0), 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(124, len(data))
            data[at : at + rng.choice((0, 1, 1, 1, 4))] = bytes(
                rng.choices((0, 1, 5, 14, 127, 255), k=rng.randint(0, 2))
            )
        try:
            found = read_labels(bytes(data), "GTcls", "Segmentation")
            read += found.ndim == 2
        except ValueError as error:
            assert "\n" not in str(error)
    assert read < 3000
