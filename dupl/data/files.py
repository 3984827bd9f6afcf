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

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jp2", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
# The formats that Pillow may detect, whatever a file's name; others (EPS) are programs that it would have run.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
LOSSY = ("JPEG", "JPEG2000")  # formats of masks that are refused: they change label ids at edges
_UNREADABLE = (  # what Pillow raises for damaged files
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    struct.error,
    MemoryError,
)


@contextmanager
def opened(path: Path, what: str) -> Iterator[Image.Image]:
    """Open an image file; turn whatever goes wrong while it is read into one line."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            yield picture
    except FileNotFoundError:
        raise UserError(f"{what} not found: {path}; add the file or remove its name from the list") from None
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{what} cannot be read: {path} is larger than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels ({error}); "
            "reduce it or cut it into tiles"
        ) from None
    except _UNREADABLE as error:
        reason = str(error) or "not enough memory"
        raise UserError(f"{what} cannot be read: {path} ({reason}); replace the file") from None


def read_image(path: str | Path, upright: bool = False) -> NDArray[np.uint8]:
    """Read a photo of any mode (grey, palette, RGBA, CMYK, 16 bit) as RGB, (H, W, 3).

    Transparency is dropped; the first frame of an animation is read. Of 16 bits the upper 8 are kept. A 16-bit file
    without any value above 16383 is refused, because 10, 12 or 14-bit data in it would become nearly black.

    Args:
        path: The image file.
        upright: Whether to rotate the photo as its EXIF orientation says; otherwise the stored pixels are returned.

    Raises:
        UserError: The file is missing, damaged, or its range of brightness is not known (float, 12-bit data).
    """
    with opened(Path(path), "image") as picture:
        deep = _has_16_bits(picture)
        turned = ImageOps.exif_transpose(picture) if upright else picture
        if turned.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it to white
            values = np.clip(np.asarray(turned), 0, 65535).astype(np.uint16)
            _check_16_bits(int(values.max()))
            return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2)
        if turned.mode == "F":
            raise ValueError("its pixels are floats of unknown range; save it with 8 or 16 bits")
        if "transparency" in turned.info:
            turned = turned.convert("RGBA")
        pixels = np.array(turned if turned.mode == "RGB" else turned.convert("RGB"))
        if deep:  # Pillow has kept the upper 8 bits of 16-bit colours
            _check_16_bits(int(pixels.max()) << 8)
        return pixels


def _has_16_bits(picture: Image.Image) -> bool:
    """Return whether an opened file stores 16 bits per channel of colour, as Pillow's decoder is told to read it."""
    for tile in getattr(picture, "tile", ()):
        raw = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
        if isinstance(raw, str) and raw.startswith(("RGB", "LA")) and ";16" in raw:
            return True
    return False


def _check_16_bits(brightest: int) -> None:
    """Refuse 16-bit values that do not use the range; an image of zeros alone is black at any depth."""
    if 0 < brightest < 1 << 14:
        bits = brightest.bit_length()
        raise ValueError(
            f"its brightest value takes {bits} of 16 bits, so it would be nearly black; scale it to 8 bits"
        )


def read_mask(path: str | Path) -> NDArray[np.uint8]:
    """Read the label ids of a palette or grey mask, (H, W).

    Raises:
        UserError: The file is missing, damaged, lossy (JPEG) or in colour, or holds ids above 255.
    """
    with opened(Path(path), "mask") as picture:
        if picture.format in LOSSY:
            raise ValueError(f"it is a {picture.format} file, which changes label ids; draw or export it as PNG")
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
