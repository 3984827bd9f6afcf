"""Reading photos, masks and text files; whatever is wrong with a file becomes one line."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dupl.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
# The formats that Pillow may detect, whatever a file's name; others (EPS) are programs that it would have run.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_UNREADABLE = (  # what Pillow raises for damaged files
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    struct.error,
    MemoryError,
    Image.DecompressionBombError,
)


@contextmanager
def _opened(path: Path, what: str) -> Iterator[Image.Image]:
    """Open an image file; turn whatever goes wrong while it is read into one line."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            yield picture
    except FileNotFoundError:
        raise UserError(f"{what} not found: {path}; add the file or remove its name from the list") from None
    except _UNREADABLE as error:
        reason = str(error) or "not enough memory"
        raise UserError(f"{what} cannot be read: {path} ({reason}); replace the file") from None


def read_image(path: str | Path, upright: bool = False) -> NDArray[np.uint8]:
    """Read a photo of any mode (grey, palette, RGBA, CMYK, 16 bit) as RGB, (H, W, 3).

    Transparency is dropped; 16-bit grey keeps its upper 8 bits; the first frame of an animation is read.

    Args:
        path: The image file.
        upright: Whether to rotate the photo as its EXIF orientation says; otherwise the stored pixels are returned.

    Raises:
        UserError: The file is missing, damaged or has a mode without a defined brightness (float).
    """
    with _opened(Path(path), "image") as picture:
        turned = ImageOps.exif_transpose(picture) if upright else picture
        if turned.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it to white
            values = np.clip(np.asarray(turned), 0, 65535).astype(np.uint16) >> 8
            return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)
        if turned.mode == "F":
            raise ValueError("its pixels are floats of unknown range; save it with 8 or 16 bits")
        if "transparency" in turned.info:
            turned = turned.convert("RGBA")
        return np.array(turned if turned.mode == "RGB" else turned.convert("RGB"))


def read_mask(path: str | Path) -> NDArray[np.uint8]:
    """Read the label ids of a palette or grey mask, (H, W).

    Raises:
        UserError: The file is missing, damaged or in colour, or holds ids above 255.
    """
    with _opened(Path(path), "mask") as picture:
        if picture.mode not in ("P", "L", "1") and not picture.mode.startswith("I"):
            raise ValueError(f"its mode is {picture.mode}; save label ids as a palette or grey PNG")
        ids = np.array(picture)
        if ids.dtype != np.bool_ and (ids.min() < 0 or ids.max() > 255):
            raise ValueError("it holds label ids outside 0..255")
        return ids.astype(np.uint8)


def read_text(path: Path, what: str) -> str:
    """Return a text file's content (UTF-8, a byte-order mark is allowed).

    Args:
        path: The file.
        what: What it is, for messages.

    Raises:
        UserError: The file is missing, unreadable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{what} not found: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{what} cannot be read: {path} ({error}); save it as UTF-8 text") from None


def without_suffix(name: str) -> str:
    """Return an image's name without its extension, if that is one of `IMAGE_SUFFIXES`."""
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else path.as_posix()
