"""A data set in the PASCAL VOC layout: JPEGImages, ImageSets/Segmentation, masks, Annotations or tags.csv."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.data.classes import VOC_CLASSES
from dupl.data.files import read_image, read_mask, read_text, without_suffix
from dupl.data.folder_index import FolderIndex, told_places
from dupl.data.orientation import upright_mask
from dupl.data.tag_table import TagTable, read_tag_table
from dupl.errors import UserError
from dupl.places import find_data
from dupl.registry import DATASETS

_SECOND_PATH = re.compile(r"\s+(?=\S*/)")  # what separates the path of a photo from that of its mask


@DATASETS.register_module()
class VOC(ImageSet):
    """PASCAL VOC 2012, or any set in its layout and with its 21 classes.

    Photos are `JPEGImages/ID.jpg`; the lines of `ImageSets/Segmentation/SPLIT.txt` are the ids of a split.
    Tags come from a CSV (`tags`, or `tags.csv` in the root if it exists), else from all objects, difficult
    ones too, of `Annotations/ID.xml`. Masks are optional: training never reads them. Photos are turned upright
    by their EXIF orientation, and masks with them, see `dupl.data.orientation`; VOC's own photos have none.
    """

    classes = VOC_CLASSES

    def __init__(
        self,
        root: str,
        split: str,
        masks: str | None = "SegmentationClassAug",
        tags: str | None = None,
        upright: bool | None = None,
    ) -> None:
        """Read the list of ids and the table of tags; photos, masks and annotations are read on request.

        Args:
            root: Folder that holds JPEGImages.
            split: Name of a list in ImageSets/Segmentation, without .txt.
            masks: Folder of the masks in the root; an image without a mask there takes that of SegmentationClass.
                None ignores masks.
            tags: CSV of tags, relative to the root or absolute.
            upright: Whether masks were drawn on photos turned by their EXIF orientation. It counts only where the
                size of a mask cannot tell; None then refuses.

        Raises:
            UserError: The root, list or table is missing, the list is empty, or the table names an unknown class.
        """
        self.root = find_data(root)
        self.split = split
        if not (self.root / "JPEGImages").is_dir():
            raise UserError(
                f"there is no folder JPEGImages in {self.root}; set its place with "
                "--set data.train.root=DIR data.val.root=DIR or by DUPL_DATA=FOLDER, or make it with dupl data prepare"
            )
        self.names = read_ids(self.root / "ImageSets" / "Segmentation" / f"{split}.txt")
        table = self.root / (tags or "tags.csv")
        self._table: TagTable | None = None
        if tags is not None or table.is_file():
            self._table = read_tag_table(table, self.classes[1:])
        self.upright = upright
        self._photos = FolderIndex(self.root / "JPEGImages", (".jpg",))
        folders = [] if masks is None else list(dict.fromkeys([self.root / masks, self.root / "SegmentationClass"]))
        self._mask_folders = [folder for folder in folders if folder.is_dir()]
        # a list such as `test` may have none at all
        self.has_masks = any(self.mask_file(i) is not None for i in range(len(self.names)))

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return photo i, upright, RGB, (H, W, 3)."""
        return read_image(self.photo_file(i), upright=True)

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each foreground class of photo i, (20,)."""
        name = self.names[i]
        if self._table is None:
            return self._tag_vector(self._annotated(name))
        if name not in self._table.tags:
            raise UserError(f"{self._table.path}: no line for {name}; add one or remove it from the list {self.split}")
        return self._tag_vector(self._table.tags[name])

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        """Return mask i on the upright photo, (H, W); None where this photo has none.

        Raises:
            UserError: It is damaged, or may lie on either form of a turned photo.
        """
        path = self.mask_file(i)
        return None if path is None else upright_mask(read_mask(path), self.photo_file(i), self.upright)

    def where(self, i: int) -> str:
        """Return the file of photo i."""
        return str(self.photo_file(i))

    def photo_file(self, i: int) -> Path:
        """Return the file of photo i; its name may have another Unicode form than the id, or the extension .JPG."""
        path = self._photos.folder / f"{self.names[i]}.jpg"
        if not path.is_file() and len(found := self._photos.find(self.names[i])) == 1:
            return found[0]
        return path

    def mask_file(self, i: int) -> Path | None:
        """Return the file of mask i, of the first folder that has it; None where none has."""
        places = (folder / f"{self.names[i]}.png" for folder in self._mask_folders)
        return next((path for path in places if path.is_file()), None)

    def mask_hint(self) -> str:
        """Return where the first missing mask is expected, and a file that may be meant."""
        for i, name in enumerate(self.names):
            if self.mask_file(i) is None:
                folder = next(iter(self._mask_folders), self.root / "SegmentationClass")
                return told_places(folder / f"{name}.png", self.photo_file(i), (folder, self._photos.folder, self.root))
        return ""

    def _annotated(self, name: str) -> set[str]:
        """Return the classes of all objects in an annotation."""
        path = self.root / "Annotations" / f"{name}.xml"
        if not path.is_file():
            raise UserError(f"no tags for {name}: {path} not found; add it, or a tags.csv to {self.root}")
        return annotated_classes(path)


def annotated_classes(path: Path) -> set[str]:
    """Return the classes of all objects in a VOC annotation.

    Raises:
        UserError: The file cannot be read, or names a class that VOC does not have.
    """
    found = objects_in_xml(path)
    if unknown := sorted(found - set(VOC_CLASSES[1:])):
        raise UserError(f"{path}: unknown class '{unknown[0]}'; only the 20 classes of VOC are known")
    return found


def objects_in_xml(path: Path) -> set[str]:
    """Return the class names of the objects (not of their parts) in a VOC annotation.

    A document type is refused, so that no entity expands and nothing outside the file is read.

    Raises:
        UserError: The file is unreadable, not XML, or declares a document type.
    """
    trail: list[str] = []
    names: list[str] = []

    def start(tag: str, _: dict[str, str]) -> None:
        trail.append(tag)
        if trail == ["annotation", "object", "name"]:
            names.append("")

    def text(data: str) -> None:
        if trail == ["annotation", "object", "name"]:
            names[-1] += data

    def refuse(*_: object) -> None:
        raise UserError(f"{path}: it declares a document type, which no VOC annotation does; remove it")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: trail.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (OSError, expat.ExpatError, LookupError, ValueError) as error:  # the last two come from unknown encodings
        raise UserError(f"annotation cannot be read: {path} ({error}); replace the file") from None
    return {name.strip() for name in names}


def read_ids(path: Path) -> list[str]:
    """Return the ids of a list of images, one per line; an id may contain spaces.

    A line may also be the path of a photo, followed by that of its mask; the id is then the photo's name.

    Raises:
        UserError: The file is missing or empty.
    """
    if not path.is_file():
        others = ", ".join(sorted(other.stem for other in path.parent.glob("*.txt"))) or "none"
        raise UserError(f"list of images not found: {path}; lists there: {others}")
    lines = [line.strip() for line in read_text(path, "list of images").splitlines() if line.strip()]
    if not lines:
        raise UserError(f"list of images is empty: {path}; write one id per line")
    return [without_suffix(PurePosixPath(_SECOND_PATH.split(line)[0]).name) if "/" in line else line for line in lines]
