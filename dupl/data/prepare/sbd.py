"""Preparing SBD, which adds masks to VOC's photos: `SegmentationClassAug` and the list `train_aug`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dupl.data.classes import VOC_CLASSES
from dupl.data.prepare import archives
from dupl.data.prepare.disk import estimate_missing, write_file, writing
from dupl.data.prepare.mat import read_labels
from dupl.data.prepare.steps import Place, PrepareStep
from dupl.data.prepare.voc import LISTS, tags
from dupl.data.prepare.writing import save_list, save_mask
from dupl.data.voc import read_ids
from dupl.errors import UserError

MASKS = "SegmentationClassAug"


def steps(place: Place) -> list[PrepareStep]:
    """Return the steps that add SBD to VOC 2012 below the root.

    Raises:
        UserError: VOC 2012 is missing or incomplete.
    """
    root = place.root
    for part in ("JPEGImages", "SegmentationClass", LISTS / "train.txt", LISTS / "val.txt"):
        if not (root / part).exists():
            raise UserError(
                f"SBD extends VOC 2012, but {root / part} is missing; first run dupl data prepare voc --root {root}"
            )
    return [
        place.unpacked(archives.SBD_BENCHMARK),
        PrepareStep(MASKS, lambda: _has_masks(root), lambda: _write_masks(place)),
        PrepareStep("train_aug.txt", (root / LISTS / "train_aug.txt").is_file, lambda: _write_train_aug(root)),
        tags(place),
    ]


def _mask_ids(root: Path) -> tuple[set[str], set[str]]:
    """Return the ids with a mask of VOC, and those with a mask of SBD only."""
    own = {path.stem for path in (root / "SegmentationClass").glob("*.png")}
    sbd = {name for split in ("train", "val") for name in read_ids(root / "sbd" / f"{split}.txt")}
    return own, sbd - own


def _has_masks(root: Path) -> bool:
    """Return whether every mask of VOC and SBD is in the folder."""
    if not (root / MASKS).is_dir() or not (root / "sbd" / "train.txt").is_file():
        return False
    own, added = _mask_ids(root)
    return own | added <= {path.stem for path in (root / MASKS).glob("*.png")}


def _write_masks(place: Place) -> str:
    """Write the missing masks: VOC's own unchanged, SBD's where VOC has none."""
    own, added = _mask_ids(place.root)
    names = sorted(own | added)
    folder = place.root / MASKS
    with writing(folder, MASKS, lambda: estimate_missing(folder / f"{name}.png" for name in names)):
        for done, name in enumerate(names):
            place.tick(f"write {MASKS}", done, len(names))
            target = folder / f"{name}.png"
            if target.is_file():
                continue
            if name in own:
                write_file(target, [(place.root / "SegmentationClass" / f"{name}.png").read_bytes()])
            else:
                save_mask(target, read_mat(place.root / "sbd" / "cls" / f"{name}.mat"))
    return f"{len(own):,} masks of VOC and {len(added):,} of SBD"


def read_mat(path: Path) -> NDArray[np.uint8]:
    """Return the label ids of an SBD annotation, (H, W); it has no void.

    Raises:
        UserError: The file is missing, damaged or not an annotation of SBD.
    """
    try:
        mask = read_labels(path.read_bytes(), "GTcls", "Segmentation")
        if mask.max() >= len(VOC_CLASSES):
            raise ValueError(f"its mask has labels other than 0..{len(VOC_CLASSES) - 1}")
    except FileNotFoundError:
        raise UserError(f"annotation not found: {path}; run `dupl data prepare sbd` again with the archive") from None
    except (OSError, ValueError) as error:
        raise UserError(f"annotation cannot be read: {path} ({error}); delete it and run the command again") from None
    return np.ascontiguousarray(mask)


def _write_train_aug(root: Path) -> str:
    """Write the list train_aug: all images of SBD and of VOC's train, without those of VOC's val."""
    listed = {split: set(read_ids(root / LISTS / f"{split}.txt")) for split in ("train", "val")}
    sbd = {name for split in ("train", "val") for name in read_ids(root / "sbd" / f"{split}.txt")}
    names = sorted((sbd | listed["train"]) - listed["val"])
    absent = [name for name in names if not (root / "JPEGImages" / f"{name}.jpg").is_file()]
    if absent:
        missing = f"{len(absent)} photos of SBD are not in {root / 'JPEGImages'}, such as {absent[0]}.jpg"
        raise UserError(f"{missing}; unpack all of VOC 2012 there")
    with writing(root, "train_aug.txt", lambda: 12 * len(names)):
        save_list(root / LISTS / "train_aug.txt", names)
    return f"{len(names):,} images"
