"""What a folder of a user's photos holds: where the photos are, their tags, their classes and their splits."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dupl import cells
from dupl.data.class_folders import list_photos
from dupl.data.files import IMAGE_SUFFIXES
from dupl.data.part import Part
from dupl.data.tag_table import UNFILLED, read_tag_table
from dupl.data.tagged_folder import TaggedFolder
from dupl.errors import UserError

TABLE = "tags.csv"
DEFAULTS = {"images": "images", "masks": "masks", "tags": TABLE}  # of TaggedFolder
SPLITS = ("train", "val")
HELD_OUT = 0.2  # of the photos, for validation, where nothing says which
SEEDS = 100  # of draws of that share


@dataclass(frozen=True)
class PhotoFolder:
    """A folder of photos with their tags.

    Attributes:
        entry: The data set of all photos, as a recipe states it.
        classes: Foreground classes.
        counts: Photos of each class.
        photos: Number of photos.
        tagged_by: Where the tags come from, in words.
        has_splits: Whether the table, or lists beside it, say which photos are for training and for validation.
        unlisted: Photos of the folder that such a table does not name.
    """

    entry: dict[str, Any]
    classes: tuple[str, ...]
    counts: dict[str, int]
    photos: int
    tagged_by: str
    has_splits: bool
    unlisted: int

    def parts(self) -> dict[str, dict[str, Any]]:
        """Return the data sets ``train`` and ``val`` as a recipe states them.

        Where the user says no split, a fifth of the photos is held out, drawn so that each class with several photos
        is in both parts, if there is such a draw.

        Raises:
            UserError: The user's splits lack one of the two, or there are too few photos to hold one out.
        """
        if self.has_splits:
            for split in SPLITS:
                TaggedFolder(**_arguments(self.entry), split=split)
            return {split: {**self.entry, "split": split} for split in SPLITS}
        held = max(1, round(HELD_OUT * self.photos))
        least = (0, sum(count < 2 for count in self.counts.values()))  # classes that cannot be in both parts
        best, fewest = {}, (len(self.classes) + 1, 0)
        for seed in range(SEEDS):
            draw = {"type": "Part", "of": self.entry, "count": held, "seed": seed}
            if (lacking := self._lacking(draw)) < fewest:
                best, fewest = draw, lacking
            if fewest <= least:
                break
        return {split: {**best, "held": split == "val", "split": split} for split in SPLITS}

    def _lacking(self, draw: dict[str, Any]) -> tuple[int, int]:
        """Return how many classes a draw leaves without a photo for training, and for validation."""
        part = Part(draw["of"], held=True, count=draw["count"], seed=draw["seed"])
        held, found = set(part.positions), (set[int](), set[int]())
        for i in range(len(part.whole)):
            found[i in held].update(part.whole.tags(i).nonzero()[0].tolist())
        return len(self.classes) - len(found[0]), len(self.classes) - len(found[1])


def open_photos(folder: str | Path, tags: str | Path | None = None) -> PhotoFolder:
    """Find photos and their tags, and refuse what no model can be trained on.

    Args:
        folder: Photos, or a folder ``images/`` of them, or one folder of photos per class.
        tags: CSV of tags; None takes ``tags.csv`` in the folder, or else the names of the folders of classes.

    Raises:
        UserError: There is no photo, a photo has no line in the table, there is one class that every photo shows, or
            the table is wrong.
    """
    root, (images, photos) = Path(folder), _find_photos(Path(folder))
    table = Path(tags) if tags is not None else root / TABLE if (root / TABLE).is_file() else None
    if table is None and any("/" not in photo for photo in photos):
        raise UserError(
            f"{root}: nothing says what the photos show: add --tags CSV (`dupl data tags {root}` writes one to fill "
            "in), or sort the photos into one folder per class"
        )
    masks = "masks" if images == "images" else None
    places = {"images": images, "masks": masks, "tags": None if table is None else _relative(table, root)}
    changed = {name: value for name, value in places.items() if value != DEFAULTS[name]}
    entry: dict[str, Any] = {"type": "TaggedFolder", "root": str(root), **changed}
    if table is not None:
        read_tag_table(table)  # here, so that messages name the table as the user does
    whole = TaggedFolder(**_arguments(entry))
    splits = table is not None and (
        whole.has_split_column or all((root / f"{split}.txt").is_file() for split in SPLITS)
    )
    unlisted = _unlisted(whole, root / images, photos, table)
    if unlisted and not splits:
        more = f" and {len(unlisted) - 1} more" if unlisted[1:] else ""
        raise UserError(f"{unlisted[0]}{more}: no line in {table}; add one per photo, or move the photo away")
    classes = whole.classes[1:]
    counts = Counter(classes[k] for i in range(len(whole)) for k, on in enumerate(whole.tags(i)) if on)
    if len(classes) == 1 and counts[classes[0]] == len(whole):
        raise UserError(
            f"{table or root}: every photo shows {classes[0]}, the only class: add photos of another class, or photos "
            "without it (with an empty cell in the table), from which it can be told apart"
        )
    source = f"the folders of {root}" if table is None else str(table)
    entry["classes"] = list(classes)
    return PhotoFolder(entry, classes, dict(counts), len(whole), source, splits, len(unlisted))


def tag_table(folder: str | Path) -> tuple[str, dict[str, int]]:
    """Return a table of tags to fill in, as CSV, and the number of photos by tag.

    A photo in the folder of a class has its name as the tag, any other a question mark, which is refused until it is
    replaced.

    Args:
        folder: As of `open_photos`.

    Raises:
        UserError: There is no photo.
    """
    images, photos = _find_photos(Path(folder))
    sorted_ = all("/" in photo for photo in photos)
    rows = [(photo, photo.split("/")[0] if sorted_ else UNFILLED) for photo in photos]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["image", "tags"], *([cells.written(c) for c in r] for r in rows)])
    return text.getvalue(), dict(Counter(tag for _, tag in rows))


def _find_photos(root: Path) -> tuple[str, list[str]]:
    """Return the folder of images below a root, and the photos in it by relative name.

    Raises:
        UserError: There is no photo.
    """
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder of photos")
    images = "images" if (root / "images").is_dir() else "."
    photos = list_photos(root / images)
    if not photos:
        raise UserError(f"{root / images} holds no photos ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return images, photos


def _unlisted(whole: TaggedFolder, folder: Path, photos: list[str], table: Path | None) -> list[Path]:
    """Return the photos that the table does not name; refuse lines of the table without a photo."""
    for i in range(len(whole)):
        if not whole.photo_file(i).is_file():
            raise UserError(f"{table}: there is no photo {whole.photo_file(i)}; add it, or remove its line")
    named = {whole.photo_file(i).resolve() for i in range(len(whole))}
    return [folder / photo for photo in photos if (folder / photo).resolve() not in named]


def _arguments(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "type"}


def _relative(table: Path, root: Path) -> str:
    """Return the path of a table from the folder of photos, so that a recipe holds no absolute path."""
    return Path(os.path.relpath(table.resolve(), root.resolve())).as_posix()
