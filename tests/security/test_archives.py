"""Archives of data sets from elsewhere: nothing leads out of its folder, nothing grows beyond measure.

tests/data/prepare/test_unpack.py holds the plain cases (names, links, devices, bombs); here are those that lie.
"""

from __future__ import annotations

import copy
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from dupl.data.classes import COCO_CLASSES
from dupl.data.instances import Instances
from dupl.data.prepare.archives import Archive
from dupl.data.prepare.unpack import unpack
from dupl.errors import UserError

ARCHIVE = Archive("set", "", take=("photos",), to="here")


def taken(path: Path, root: Path) -> int:
    """Bytes that unpacking leaves, refused or not."""
    with pytest.raises(UserError) as told:
        unpack(path, ARCHIVE, root, lambda *_: None)
    assert "\n" not in str(told.value)
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def test_one_content_under_many_entries(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photos/a.jpg", bytes(1_000_000))
        archive.filelist += [copy.copy(archive.filelist[0]) for _ in range(300)]
    assert path.stat().st_size < 30_000
    assert taken(path, tmp_path / "root") <= 100 * 30_000 + 1_000_000


def test_a_zip_that_lies_about_its_size(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photos/a.jpg", bytes(50_000_000))
        archive.filelist[0].file_size = 10
    assert taken(path, tmp_path / "root") <= 10


def test_a_tar_that_lies_about_its_size(tmp_path):
    entry = tarfile.TarInfo("photos/a.jpg")
    entry.size = 1 << 40
    (tmp_path / "set.tar").write_bytes(entry.tobuf() + bytes(10_000))
    assert taken(tmp_path / "set.tar", tmp_path / "root") == 0


def test_a_link_to_write_through(tmp_path):
    link = tarfile.TarInfo("photos/out")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
    file = tarfile.TarInfo("photos/out/a.jpg")
    file.size = 3
    (tmp_path / "outside").mkdir()
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.addfile(link)
        archive.addfile(file, io.BytesIO(b"abc"))
    assert taken(tmp_path / "set.tar", tmp_path / "root") == 0
    assert not any((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg"])
def test_annotations_that_name_a_photo_outside(tmp_path, name):
    categories = [{"id": n, "name": c} for n, c in enumerate(COCO_CLASSES[1:], 1)]
    image = {"id": 1, "file_name": name, "height": 4, "width": 4}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [image], "annotations": [], "categories": categories}))
    with pytest.raises(UserError, match="leads out of the folder of images"):
        Instances(path, COCO_CLASSES)


def test_annotations_nested_without_end(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [' + "[" * 100_000)
    with pytest.raises(UserError, match="annotations cannot be read"):
        Instances(tmp_path / "a.json", COCO_CLASSES)
