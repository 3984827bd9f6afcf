"""Tags from the names of folders: photos that are sorted into one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dupl.data.files import IMAGE_SUFFIXES
from dupl.data.found_classes import FoundClasses
from dupl.data.tag_table import TagTable, check_class_name
from dupl.errors import UserError


def read_class_folders(folder: Path, classes: Sequence[str] | None = None) -> TagTable:
    """Return the tags of photos that lie in one folder per class; hidden files and folders do not count.

    Args:
        folder: It holds the folders of the classes, and no photo beside them.
        classes: The foreground classes allowed; None allows all folders.

    Raises:
        UserError: A photo lies in no folder of a class, or the name of a folder is no class, or not one of these.
    """
    found = FoundClasses()
    table = TagTable(folder, (), {}, {}, {})
    for name in list_photos(folder):
        path = Path(name)
        if len(path.parts) < 2:
            raise UserError(f"{folder / name} lies in no folder of a class: move it into one, or write a table of tags")
        tag, key = path.parts[0], path.with_suffix("").as_posix()
        where = str(folder / tag)
        check_class_name(tag, where)
        if classes is None:
            found.add(tag, (tag,), where)
        elif tag not in classes:
            raise UserError(f"{where}: unknown class '{tag}'; the classes are {', '.join(classes)}")
        if key in table.tags:
            raise UserError(f"{folder / table.files[key]} and {path.name} have one name: rename one of them")
        table.tags[key], table.files[key] = (tag,), name
    known = tuple(classes) if classes is not None else found.ordered(folder)
    return TagTable(folder, known, table.tags, table.files, {})


def list_photos(folder: Path) -> list[str]:
    """Return the photos below a folder by relative name, sorted, without hidden files and folders."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    shown = (path for path in found if not any(part.startswith(".") for part in path.parts))
    return sorted(path.as_posix() for path in shown if not (folder / path).is_dir())
