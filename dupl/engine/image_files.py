"""The image files that a command is given, and those that it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dupl.data.files import IMAGE_SUFFIXES
from dupl.errors import UserError

# Pictures that are not read: their formats need programs that this package does not use.
OTHER_SUFFIXES = (".heic", ".heif", ".avif", ".jxl", ".psd", ".svg", ".eps", ".dng", ".cr2", ".cr3", ".nef", ".arw")


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Return files as given, and of folders the images in them, sorted; hidden files of folders do not count.

    Raises:
        UserError: A path is missing, a folder holds no image, or two images have the same name.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [f for f in _visible(path) if f.suffix.lower() in IMAGE_SUFFIXES and not f.is_dir()]
            if not inside:
                others = "; ".join(left_out([path]))
                known = ", ".join(sorted(IMAGE_SUFFIXES))
                raise UserError(f"{path} holds no images ({known})" + (f"; {others}" if others else ""))
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"no image {path}: there is no such file or folder")
    seen: dict[str, Path] = {}
    for file in files:
        if file.stem in seen:
            raise UserError(f"{seen[file.stem]} and {file} would both be written as {file.stem}: infer them apart")
        seen[file.stem] = file
    return files


def left_out(paths: Sequence[Path]) -> list[str]:
    """Return one line for each folder that holds pictures of other formats, or sub-folders, which are not read."""
    lines = []
    for path in paths:
        inside = _visible(path) if path.is_dir() else []
        others = [f.name for f in inside if f.suffix.lower() in OTHER_SUFFIXES and not f.is_dir()]
        folders = [f.name for f in inside if f.is_dir()]
        parts = []
        if others:
            parts.append(f"{_some(others)} (convert them to JPEG or PNG)")
        if folders:
            parts.append(f"the sub-folders {_some(folders)} (name them on the command line)")
        if parts:
            lines.append(f"left out of {path}: {' and '.join(parts)}")
    return lines


def _visible(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted, without hidden files, such as "._a.jpg" of macOS."""
    return sorted(f for f in folder.iterdir() if not f.name.startswith("."))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
