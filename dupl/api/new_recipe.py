"""Write a recipe for a user's own data."""

from __future__ import annotations

from pathlib import Path

from dupl.errors import UserError

TEXT = '''"""{title}: {base} on the photos of {root}.

    dupl data check {file}
    dupl train {file}
"""

_base_ = [{base!r}]

_classes = {classes!r}

data = dict(
    train=dict(_delete_=True, type="TaggedFolder", root={root!r}, split={train!r}, classes=_classes),
    val=dict(_delete_=True, type="TaggedFolder", root={root!r}, split={val!r}, classes=_classes),
)
'''


def new_recipe(name: str | Path, data: str | Path, base: str = "voc/dupl") -> Path:
    """Write a recipe that trains a shipped one on a folder of tagged photos.

    Args:
        name: Of the file; ".py" is added.
        data: Folder with ``images/`` and ``tags.csv``, as docs/how-to/own-data.md describes it, with the
            splits train and val.
        base: The recipe to build on.

    Returns:
        The file.

    Raises:
        UserError: The file exists, the folder is no such data set, or a split of it is missing.

    Example:
        >>> dupl.api.new_recipe("mine", "no/folder")
        Traceback (most recent call last):
        ...
        dupl.errors.UserError: ...
    """
    from dupl.atomic import atomic_write
    from dupl.config import catalogue
    from dupl.data.tagged_folder import TaggedFolder

    file = Path(f"{name}" if str(name).endswith(".py") else f"{name}.py")
    if file.exists():
        raise UserError(f"{file} exists: give another name, or remove it")
    catalogue.resolve(base)
    classes = [one for one in TaggedFolder(str(data)).classes if one != "background"]
    for split in ("train", "val"):
        TaggedFolder(str(data), split=split, classes=classes)
    facts = dict(title=file.stem, file=file, base=base, root=str(data), classes=classes, train="train", val="val")
    atomic_write(file, TEXT.format(**facts))
    return file
