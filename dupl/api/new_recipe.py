"""Write a recipe for a user's own photos."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.data.photo_folder import PhotoFolder

AUTO = "auto"  # stands for a base that is chosen for this machine
TEXT = '''"""{title}: {base} on the photos of {root}.

    dupl data check {file}
    dupl train {file}
"""

_base_ = [{base!r}]

_classes = {classes!r}
{photos}
data = dict(
    train=dict(_delete_=True, {train}),
    val=dict(_delete_=True, {val}),
{more})
'''


def new_recipe(
    name: str | Path,
    data: str | Path,
    base: str = "voc/dupl",
    *,
    tags: str | Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Write a recipe that trains on a user's photos and their tags.

    Args:
        name: Of the file; ".py" is added.
        data: Folder of photos, or of ``images/``, or of one folder per class.
        base: The recipe to build on; "auto" chooses backbone, size, iterations and batch for this machine.
        tags: CSV of tags; by default ``tags.csv`` in the folder, or else the folders of the classes. Without a column
            ``split``, a fifth of the photos is held out for validation.
        tell: Called with lines on the photos, and on what was chosen and why.

    Returns:
        The file.

    Raises:
        UserError: The file exists, there are no such photos, a photo has no tag, or a split is missing.

    Example:
        >>> dupl.api.new_recipe("mine", "no/folder")
        Traceback (most recent call last):
        ...
        dupl.errors.UserError: ...
    """
    from dupl.atomic import atomic_write

    file = _file_of(name)
    if file.exists():
        raise UserError(f"{file} exists: give another name, or remove it")
    atomic_write(file, _recipe_text(file, data, base, tags, tell or (lambda line: None)))
    return file


def photo_recipe(
    data: str | Path,
    base: str = AUTO,
    *,
    tags: str | Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Write the recipe of a folder of photos beside it by the folder's name, as `new_recipe` does; keep an equal one.

    Args:
        data: As of `new_recipe`.
        base: As of `new_recipe`.
        tags: As of `new_recipe`.
        tell: As of `new_recipe`.

    Returns:
        The file, in the current folder.

    Raises:
        UserError: As `new_recipe`; also where the file is there with other text.

    Example:
        >>> dupl.api.photo_recipe("no/folder")
        Traceback (most recent call last):
        ...
        dupl.errors.UserError: ...
    """
    from dupl.atomic import atomic_write

    say = tell or (lambda line: None)
    file = _file_of(re.sub(r"\W+", "_", Path(data).resolve().name) or "photos")
    text = _recipe_text(file, data, base, tags, say)
    if not file.exists():
        atomic_write(file, text)
        say(f"wrote {file}: change any value in it and train it by `dupl train {file}`")
    elif file.read_text(encoding="utf-8") != text:
        raise UserError(
            f"{file} exists and says something else: train it as it is (dupl train {file}), or rename or remove it"
        )
    return file


def is_photo_folder(name: str | Path) -> bool:
    """Return whether a name given as a recipe is a folder of photos: no run, and no recipe of that name without photos.

    Example:
        >>> dupl.api.is_photo_folder("voc/dupl"), dupl.api.is_photo_folder("runs/tiny")
        (False, False)
    """
    from dupl.config import catalogue
    from dupl.data.class_folders import list_photos
    from dupl.runs.run import Run

    folder = Path(name)
    if not folder.is_dir() or Run(folder).exists():
        return False
    try:
        catalogue.resolve(name)
    except UserError:
        return True
    return bool(list_photos(folder))


def write_tag_table(folder: str | Path, file: str | Path) -> tuple[Path, dict[str, int]]:
    """Write a table of tags to fill in: a line per photo, with the folder of its class as its tag, or a question mark.

    Args:
        folder: Of photos, or of one folder of photos per class.
        file: The CSV to write.

    Returns:
        The file, and the number of photos by tag.

    Raises:
        UserError: The file exists, or there is no photo.

    Example:
        >>> dupl.api.write_tag_table("no/folder", "tags.csv")
        Traceback (most recent call last):
        dupl.errors.UserError: no/folder: there is no such folder of photos
    """
    from dupl.atomic import atomic_write
    from dupl.data.photo_folder import tag_table

    place, (text, counts) = Path(file), tag_table(folder)
    if place.exists():
        raise UserError(f"{place} exists: give another file (--out), or remove it")
    atomic_write(place, text)
    return place, counts


def _file_of(name: str | Path) -> Path:
    return Path(f"{name}" if str(name).endswith(".py") else f"{name}.py")


def _recipe_text(file: Path, data: str | Path, base: str, tags: str | Path | None, say: Callable[[str], None]) -> str:
    """Return the text of a recipe, and tell what it is made of."""
    from dupl.config import catalogue
    from dupl.data.photo_folder import open_photos

    values: dict[str, Any] = {}
    if base != AUTO:
        catalogue.resolve(base)
    found: PhotoFolder = open_photos(data, tags)
    parts = found.parts()
    _tell_photos(found, parts, say)
    if base == AUTO:
        base, values = _choose(parts, say)
    classes = list(found.classes)
    whole = "" if found.has_splits else f"_photos = dict({_call(found.entry)})\n"
    data_sets = {split: _call(part) for split, part in parts.items()}
    sections = _tree(values)
    more = "".join(f"    {name}={_as_dict(value)},\n" for name, value in sections.pop("data", {}).items())
    facts = dict(title=file.stem, file=file, base=base, root=str(data), classes=classes, photos=whole, more=more)
    return TEXT.format(**facts, **data_sets) + "".join(f"{n} = {_as_dict(v)}\n" for n, v in sections.items())


def _tell_photos(found: PhotoFolder, parts: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Tell how many photos there are of each class, and which are held out."""
    from dupl.terminal import counted

    each = ", ".join(f"{name} {found.counts.get(name, 0)}" for name in found.classes)
    classes = "1 class" if len(found.classes) == 1 else f"{len(found.classes)} classes"
    say(f"{counted(found.photos, 'photo')}, {classes} by {found.tagged_by}: {each}")
    if found.unlisted:
        say(f"{counted(found.unlisted, 'photo')} of the folder without a line in {found.tagged_by} are left out")
    if not found.has_splits:
        held = parts["val"]["count"]
        say(f"{held} of them are held out of training for validation; a column split (train, val) chooses others")


def _choose(parts: Mapping[str, Any], say: Callable[[str], None]) -> tuple[str, dict[str, Any]]:
    """Choose the base for this machine and the length of training for the photos; tell both."""
    from dupl.config import catalogue
    from dupl.config.scale import scaled
    from dupl.engine.suggest import PASSES, suggest_iterations, suggest_network
    from dupl.registry import DATASETS

    network = suggest_network()
    values = catalogue.load_values(network.base, None)
    schedule, photos = values["schedule"], len(DATASETS.build(dict(parts["train"])))
    iterations = suggest_iterations(photos, schedule["batch_size"], schedule["iterations"])
    say(f"network: {network.reason}")
    say(
        f"length: {iterations} iterations of {schedule['batch_size']} photos, for about {PASSES} passes over "
        f"{photos} photos, at least 300 iterations"
    )
    return network.base, {**network.values, **scaled(values, iterations)}


def _call(entry: Mapping[str, Any]) -> str:
    """Return a data set as the arguments of a ``dict(...)`` in a recipe that has assigned classes and photos above."""
    above = {"classes": "_classes", "of": "_photos"}
    return ", ".join(f"{key}={above.get(key, repr(value))}" for key, value in entry.items())


def _tree(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by path as nested sections."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    return tree


def _as_dict(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    return f"dict({', '.join(f'{name}={_as_dict(inner)}' for name, inner in value.items())})"
