"""The archives of the public data sets: their addresses, sizes, checksums and contents.

The checksums are the published ones: VOC and SBD as in torchvision, COCO as in TensorFlow Datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """An archive to download and unpack.

    Attributes:
        name: File name.
        url: Its address at its owner.
        size: Its size in bytes; None where unknown.
        digest: Checksum, "md5:..." or "sha256:..."; None where none is known: the first download is then trusted
            and its checksum recorded, and a later one must have the same.
        inside: Folder in the archive from which files are taken.
        take: Files and folders to unpack, relative to `inside`.
        to: Folder below the root to unpack them to.
        holds: Its content once unpacked, relative to the root: the number of files of a folder, 1 for a file.
        unpacked: Its size on disk once unpacked, in bytes, at most; 0 where unknown.
    """

    name: str
    url: str
    size: int | None = None
    digest: str | None = None
    inside: str = ""
    take: tuple[str, ...] = ()
    to: str = ""
    holds: Mapping[str, int] = field(default_factory=dict)
    unpacked: int = 0

    def is_unpacked(self, root: Path) -> bool:
        """Return whether all of its content is below the root; each file is complete, as files appear in one step."""
        return bool(self.holds) and all(count(root / path) >= number for path, number in self.holds.items())

    def bytes_left(self, root: Path) -> int:
        """Return the number of bytes still to be unpacked, at most; 0 where unknown."""
        return max(0, self.unpacked - sum(used(root / path) for path in self.holds))


def used(path: Path) -> int:
    """Return the size in bytes of all files in a folder; 0 for anything else."""
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else 0


def count(path: Path) -> int:
    """Return the number of files in a folder without hidden ones; 1 for a file, 0 where there is neither."""
    if path.is_dir():
        return sum(not file.name.startswith(".") for file in path.iterdir())
    return int(path.is_file())


VOC_TRAINVAL = Archive(
    name="VOCtrainval_11-May-2012.tar",
    url="https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    size=1_999_639_040,
    digest="md5:6cd6e144f989b92b3379bac3b3de84fd",
    inside="VOCdevkit/VOC2012",
    take=("Annotations", "ImageSets/Segmentation", "JPEGImages", "SegmentationClass"),
    holds={"JPEGImages": 17_125, "Annotations": 17_125, "SegmentationClass": 2_913, "ImageSets/Segmentation": 3},
    unpacked=1_999_639_040,
)
SBD_BENCHMARK = Archive(
    name="benchmark.tgz",
    url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
    size=1_419_539_633,
    digest="md5:82b4d87ceb2ed10f6038a1cba92111cb",
    inside="benchmark_RELEASE/dataset",
    take=("cls", "train.txt", "val.txt"),
    to="sbd",
    holds={"sbd/cls": 11_355, "sbd/train.txt": 1, "sbd/val.txt": 1},
)
COCO_ANNOTATIONS = Archive(
    name="annotations_trainval2014.zip",
    url="http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
    size=252_872_794,
    digest="sha256:031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
    inside="annotations",
    take=("instances_train2014.json", "instances_val2014.json"),
    to="annotations",
    holds={"annotations/instances_train2014.json": 1, "annotations/instances_val2014.json": 1},
)
COCO_TRAIN = Archive(
    name="train2014.zip",
    url="http://images.cocodataset.org/zips/train2014.zip",
    size=13_510_573_713,
    digest="sha256:ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
    take=("train2014",),
    holds={"train2014": 82_783},
    unpacked=13_510_573_713,
)
COCO_VAL = Archive(
    name="val2014.zip",
    url="http://images.cocodataset.org/zips/val2014.zip",
    size=6_645_013_297,
    digest="sha256:fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
    take=("val2014",),
    holds={"val2014": 40_504},
    unpacked=6_645_013_297,
)
