"""Faults of data sets that are found without reading a photo: only folders are listed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from dupl.data.base import ImageSet
from dupl.errors import UserError

Identity = tuple[int, int]  # device and inode: equal for one file under two names


def quick_check(sources: Mapping[str, ImageSet]) -> list[str]:
    """Return one line for each kind of fault: names listed twice, and photos shared with "train".

    Args:
        sources: Data sets by the name of their split.

    Raises:
        UserError: Photos are missing, so that training would end when it reads the first of them.
    """
    lines: list[str] = []
    files = {split: photo_identities(source) for split, source in sources.items()}
    for split, source in sources.items():
        _check_present(split, source, files[split])
        if repeated := [name for name, times in Counter(source.names).items() if times > 1]:
            lines.append(f"{split}: {_some(repeated)} listed more than once, and each line counts; remove the others")
        if split != "train" and "train" in sources:
            shared = shared_with_train(sources["train"], source, files["train"], files[split])
            if shared:
                count = f"{len(shared)} of {len(source)} images"
                lines.append(
                    f"{split}: {count} are in train too ({_some(shared)}), so scores are too high; remove them"
                )
    return lines


def shared_with_train(
    train: ImageSet, other: ImageSet, train_files: Mapping[int, Identity], other_files: Mapping[int, Identity]
) -> list[str]:
    """Return the names of images of another split that train has too, under the same name or as the same file."""
    names, files = set(train.names), set(train_files.values())
    return sorted({name for i, name in enumerate(other.names) if name in names or other_files.get(i) in files})


def photo_identities(source: ImageSet) -> dict[int, Identity]:
    """Return the identity of each photo's file by position; photos that are missing or made by code are left out."""
    folders: dict[Path, dict[str, Identity]] = {}
    found = {}
    for i in range(len(source)):
        photo = source.photo_file(i)
        if photo is None:
            return {}
        if photo.parent not in folders:
            folders[photo.parent] = _list(photo.parent)
        identity = folders[photo.parent].get(photo.name) or _identity(photo)
        if identity is not None:
            found[i] = identity
    return found


def _list(folder: Path) -> dict[str, Identity]:
    """Return the identities of a folder's files by name; only links are looked at one by one."""
    found: dict[str, Identity] = {}
    try:
        device = os.stat(folder).st_dev
        for entry in os.scandir(folder):
            if not entry.is_symlink():
                found[entry.name] = device, entry.inode()
            elif (target := _identity(entry.path)) is not None:
                found[entry.name] = target
    except OSError:
        return found
    return found


def _identity(path: Path | str) -> Identity | None:
    """Return the identity of a file, of its target if it is a link; None where it is missing."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_present(split: str, source: ImageSet, files: Mapping[int, Identity]) -> None:
    """Refuse a data set of which photos are missing."""
    missing = [i for i in range(len(source)) if i not in files and source.photo_file(i) is not None]
    if missing:
        raise UserError(
            f"{split}: {len(missing)} of {len(source)} photos are missing, the first is {source.where(missing[0])}; "
            "add them, or remove their names from the list"
        )


def _some(names: list[str]) -> str:
    """Return the first names of a list."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
