"""Reading one field of a struct in a MATLAB 5 file; a damaged file is an error and nothing worse.

scipy reads such files too, but some damaged ones end the process by a segmentation fault, which a test shows.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

HEADER = 128  # bytes before the first element
UINT8, UINT32, INT32, MATRIX, COMPRESSED = 2, 6, 5, 14, 15  # kinds of elements
STRUCT, UINT8_ARRAY = 2, 9  # kinds of arrays
MOST = 1 << 28  # bytes of a compressed element after decompression


def read_labels(data: bytes, variable: str, field: str) -> NDArray[np.uint8]:
    """Return a field of a 1 x 1 struct that is a uint8 array with two axes.

    Args:
        data: Content of the file.
        variable: Name of the struct.
        field: Name of the field.

    Raises:
        ValueError: The file is not a MATLAB 5 file, is damaged, or has no such field.
    """
    try:
        if data[124:128] != b"\x00\x01IM":
            raise ValueError("it is not a little-endian MATLAB 5 file")
        at = HEADER
        while at < len(data):
            kind, content, at = _element(data, at)
            if kind == COMPRESSED:
                inflate = zlib.decompressobj()
                content = inflate.decompress(content, MOST)
                if inflate.unconsumed_tail or not inflate.eof:
                    raise ValueError("a compressed part is incomplete or too large")
                kind, content, _ = _element(content, 0)
            if kind == MATRIX and _name(content) == variable:
                return _labels(_field(content, field))
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"it is damaged: {error}") from None
    raise ValueError(f"it has no variable {variable}")


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Return kind and content of the element at a position, and the position of the next one."""
    kind, size = struct.unpack_from("<II", data, at)
    if kind >> 16:  # up to four bytes are stored in the tag itself
        kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        after = at + 8
    else:
        start = at + 8
        after = start + size + (-size % 8 if kind != COMPRESSED else 0)
    content = data[start : start + size]
    if len(content) < size:
        raise ValueError("it is truncated")
    return kind, content, after


def _head(matrix: bytes) -> tuple[int, tuple[int, ...], str, int]:
    """Return an array's kind, shape and name, and the position of its content."""
    kind, flags, at = _element(matrix, 0)
    if kind != UINT32:
        raise ValueError("an array has no flags")
    kind, shape, at = _element(matrix, at)
    if kind != INT32 or len(shape) % 4:
        raise ValueError("an array has no shape")
    _, name, at = _element(matrix, at)
    return (
        struct.unpack_from("<I", flags)[0] & 0xFF,
        struct.unpack(f"<{len(shape) // 4}i", shape),
        name.decode("ascii"),
        at,
    )


def _name(matrix: bytes) -> str:
    """Return an array's name."""
    return _head(matrix)[2]


def _field(matrix: bytes, field: str) -> bytes:
    """Return the array that is a field of a struct."""
    kind, shape, _, at = _head(matrix)
    if kind != STRUCT or math.prod(shape) != 1:
        raise ValueError("its variable is not a 1 x 1 struct")
    _, width, at = _element(matrix, at)
    _, names, at = _element(matrix, at)
    (size,) = struct.unpack_from("<i", width)
    if size < 1:
        raise ValueError("its fields have no names")
    for start in range(0, len(names), size):
        kind, content, at = _element(matrix, at)
        if names[start : start + size].split(b"\0")[0] == field.encode() and kind == MATRIX:
            return content
    raise ValueError(f"it has no field {field}")


def _labels(matrix: bytes) -> NDArray[np.uint8]:
    """Return an array of bytes with two axes."""
    kind, shape, _, at = _head(matrix)
    content_kind, content, _ = _element(matrix, at)
    if kind != UINT8_ARRAY or content_kind != UINT8 or len(shape) != 2 or min(shape) < 1:
        raise ValueError("its labels are not bytes with two axes")
    if math.prod(shape) != len(content):
        raise ValueError(f"it has {len(content)} labels for {shape[1]} x {shape[0]} pixels")
    return np.frombuffer(content, np.uint8).reshape(shape, order="F").copy()
