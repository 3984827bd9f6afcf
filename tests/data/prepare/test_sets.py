from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy.io import savemat

from dupl import cli
from dupl.data import COCO, VOC
from dupl.data.check import check_datasets
from dupl.data.files import read_mask
from dupl.data.prepare import coco
from dupl.data.prepare.sbd import read_mat
from dupl.data.prepare.steps import Place, PrepareStep, run
from dupl.errors import Held, UserError
from dupl.structures import IGNORE


@pytest.fixture
def prepare(monkeypatch):
    """Runs the command; returns what it says of each step."""

    def prepare(*words: object) -> list[str]:
        said = io.StringIO()
        monkeypatch.setattr("dupl.cli.data.stderr", lambda: Console(file=said, width=200))
        arguments = cli.build_parser().parse_args(["data", "prepare", *map(str, words)])
        assert arguments.run(arguments) == 0
        return [line for line in said.getvalue().splitlines() if not line.endswith(" ...")]

    return prepare


def test_voc_and_sbd_from_the_server(host, voc_archives, prepare, tmp_path: Path, capsys) -> None:
    root = tmp_path / "voc12"
    host.cuts = [2_000]
    assert prepare("voc", "--root", root) == [
        f"voc.tar: unpacked from {root}/archives/voc.tar",
        "tags.csv: 4 images",
    ]
    assert not (root / "SegmentationObject").exists() and not (root / "SegmentationClassAug").exists()
    assert prepare("sbd", "--root", root) == [
        f"sbd.tgz: unpacked from {root}/archives/sbd.tgz",
        "SegmentationClassAug: 3 masks of VOC and 2 of SBD",
        "train_aug.txt: 4 images",
        "tags.csv: 5 images, 1 of them tagged by their mask",
    ]
    listed = (root / "ImageSets/Segmentation/train_aug.txt").read_text().split()
    assert listed == ["2007_01", "2007_02", "2008_01", "2008_02"], "sorted, SBD and VOC's train, without VOC's val"


def test_result_passes_the_check(voc_archives, prepare, tmp_path: Path) -> None:
    root = tmp_path / "voc12"
    for name in ("voc", "sbd"):
        prepare(name, "--root", root, "--from", voc_archives)
    sets = {"train": VOC(str(root), "train_aug"), "val": VOC(str(root), "val")}
    report = check_datasets(sets)
    assert report.ok and report.counts["train"]["masks"] == 4, report.lines()
    own = (root / "SegmentationClass/2007_01.png").read_bytes()
    assert (root / "SegmentationClassAug/2007_01.png").read_bytes() == own, "VOC's own masks win"
    assert IGNORE in read_mask(root / "SegmentationClassAug/2007_01.png")
    further = Image.open(root / "SegmentationClassAug/2008_02.png")
    assert further.mode == "P" and set(np.unique(np.array(further))) == {0, 7, 15}
    assert np.flatnonzero(sets["train"].tags(3)).tolist() == [6, 14], "by its mask: it has no annotation"
    assert not (root / "archives/voc.tar").exists(), "what is given is used where it is"


def test_what_is_done_is_skipped_and_what_is_lost_is_made_again(host, voc_archives, prepare, tmp_path: Path) -> None:
    root = tmp_path / "voc12"
    for name in ("voc", "sbd"):
        prepare(name, "--root", root)
    asked = len(host.asked)
    host.files.clear()
    for archive in (root / "archives").glob("*.t*"):
        archive.unlink()  # once unpacked they may go
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and ".lock" not in path.name}
    for name in ("voc", "sbd"):
        assert all(line.endswith(": done already") for line in prepare(name, "--root", root))
    assert len(host.asked) == asked and all(path.stat().st_mtime_ns == time for path, time in before.items())

    lost = [root / path for path in ("SegmentationClassAug/2008_01.png", "ImageSets/Segmentation/train_aug.txt")]
    content = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    said = prepare("sbd", "--root", root)
    assert ["done already" in line for line in said] == [True, False, False, True]
    assert [path.read_bytes() for path in lost] == content

    (root / "JPEGImages/2007_03.jpg").unlink()
    said = prepare("voc", "--root", root, "--from", voc_archives)
    assert said[0].startswith("voc.tar: unpacked from") and (root / "JPEGImages/2007_03.jpg").is_file()


def test_lines_of_tags_that_are_there_are_kept(voc_archives, prepare, tmp_path: Path) -> None:
    root = tmp_path / "voc12"
    root.mkdir()
    (root / "tags.csv").write_text("image,tags\n2007_01.jpg,cat\nmine,sheep\n")
    prepare("voc", "--root", root, "--from", voc_archives)
    lines = (root / "tags.csv").read_text().splitlines()
    assert lines == [
        "image,tags",
        "2007_01,cat",
        "2007_02,person",
        "2007_03,sofa",
        "2008_01,bird tvmonitor",
        "mine,sheep",
    ]


def test_dry_run_writes_nothing(host, voc_archives, prepare, tmp_path: Path, capsys, monkeypatch) -> None:
    root = tmp_path / "voc12"
    prepare("voc", "--root", root, "--dry-run")
    listing = capsys.readouterr().out.splitlines()
    assert listing[0].startswith("todo  voc.tar: ") and listing[0].endswith(f"kB to download, from {host.url}/voc.tar")
    assert listing[1] == "todo  tags.csv" and listing[2].startswith("room  about ") and "missing" not in listing[2]
    assert not root.exists() and not host.asked
    prepare("voc", "--root", root, "--dry-run", "--mirror", "https://mirror.example/sets/")
    assert "https://mirror.example/sets/voc.tar" in capsys.readouterr().out
    prepare("voc", "--root", root, "--dry-run", "--from", voc_archives)
    assert f"todo  voc.tar: from {voc_archives}/voc.tar" in capsys.readouterr().out
    prepare("voc", "--root", root, "--from", voc_archives)
    prepare("voc", "--root", root, "--dry-run")
    assert capsys.readouterr().out.startswith("done  voc.tar\ndone  tags.csv\nroom  about 0 bytes needed")
    monkeypatch.setattr("dupl.data.prepare.steps.free", lambda _: 0)
    (root / "tags.csv").unlink()
    prepare("sbd", "--root", root, "--dry-run")
    assert " 0 bytes free; " in capsys.readouterr().out


def test_a_wrong_archive(host, voc_archives, prepare, tmp_path: Path) -> None:
    root, given = tmp_path / "voc12", voc_archives / "voc.tar"
    content = given.read_bytes()
    given.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match=r"voc\.tar is not the right file: its MD5 is .*packed/voc\.tar"):
        prepare("voc", "--root", root, "--from", voc_archives)
    assert given.is_file(), "the user's own file is left where it is"
    with pytest.raises(UserError, match="--from .*nowhere: there is no such folder"):
        prepare("voc", "--root", root, "--from", tmp_path / "nowhere")


def test_sbd_needs_voc(prepare, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"JPEGImages is missing; first run dupl data prepare voc --root \S+voc12$"):
        prepare("sbd", "--root", tmp_path / "voc12")


def test_photos_that_voc_lacks(voc_archives, prepare, tmp_path: Path) -> None:
    root = tmp_path / "voc12"
    prepare("voc", "--root", root, "--from", voc_archives)
    (root / "JPEGImages/2008_02.jpg").unlink()
    with pytest.raises(UserError, match=r"1 photos of SBD are not in \S+JPEGImages, such as 2008_02\.jpg"):
        prepare("sbd", "--root", root, "--from", voc_archives)


def test_disk_full_while_converting(voc_archives, prepare, tmp_path: Path, full_disk) -> None:
    root = tmp_path / "voc12"
    prepare("voc", "--root", root, "--from", voc_archives)
    prepare("sbd", "--root", root, "--from", voc_archives)
    masks = root / "SegmentationClassAug"
    for path in masks.iterdir():
        path.unlink()
    full_disk(500)
    with pytest.raises(UserError, match="disk full: no space for SegmentationClassAug"):
        prepare("sbd", "--root", root)
    for path in masks.iterdir():
        Image.open(path).load()
    full_disk(None)
    prepare("sbd", "--root", root)
    assert len(list(masks.iterdir())) == 5


@pytest.mark.parametrize(
    "content",
    [
        dict(GTcls=dict(Segmentation=np.full((4, 4), 21, np.uint8))),
        dict(GTcls=dict(Segmentation=np.zeros((4, 4)))),
        dict(GTcls=dict(Boundaries=np.zeros((4, 4)))),
        dict(GTcls=np.zeros((4, 4))),
        dict(other=1),
        None,
    ],
)
def test_broken_mat_files(tmp_path: Path, content) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(b"no mat file")
    if content is not None:
        savemat(path, content)
    with pytest.raises(UserError, match=r"annotation cannot be read: .*a\.mat"):
        read_mat(path)
    path.unlink()
    with pytest.raises(UserError, match=r"annotation not found: .*a\.mat"):
        read_mat(path)


def test_coco(host, coco_archives, prepare, tmp_path: Path, coco_root: Path) -> None:
    pytest.importorskip("pycocotools")
    root = tmp_path / "coco14"
    said = prepare("coco", "--root", root)
    assert said[3:] == [
        "tags_val2014.csv: 4 images, 1 of them without objects",
        "masks/val2014: 4 masks",
        "tags_train2014.csv: 4 images, 1 of them without objects",
        "masks/train2014: 4 masks",
    ]
    assert {path.name for path in (root / "annotations").iterdir()} == {
        "instances_train2014.json",
        "instances_val2014.json",
    }
    made, direct = COCO(str(root), "val"), COCO(str(coco_root), "val")
    assert made.names == direct.names and "_instances" not in vars(made)
    for i in range(4):
        assert np.array_equal(made.tags(i), direct.tags(i)) and np.array_equal(made.mask(i), direct.mask(i))
        assert np.array_equal(made.image(i), direct.image(i))
    report = check_datasets({split: COCO(str(root), split, empty=False) for split in ("train", "val")})
    assert report.ok, report.lines()

    assert all(line.endswith("done already") for line in prepare("coco", "--root", root))
    (root / "masks/val2014" / f"{made.names[1]}.png").unlink()
    (root / "tags_train2014.csv").unlink()
    said = prepare("coco", "--root", root)
    assert [n for n, line in enumerate(said) if "done already" not in line] == [4, 5]


def test_coco_needs_pycocotools_before_the_download(host, coco_archives, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    with pytest.raises(UserError, match=r'pip install "\.\[coco\]"'):
        coco.steps(Place(tmp_path / "coco14"))
    assert not host.asked and not (tmp_path / "coco14").exists()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    def second() -> str:
        with pytest.raises(Held, match="is at work on this data set"):
            run(tmp_path, [], print)
        return ""

    run(tmp_path, [PrepareStep("first", lambda: False, second)], lambda _: None)
    run(tmp_path, [], print)


def test_an_archive_of_another_version(voc_archives, prepare, tmp_path: Path, monkeypatch) -> None:
    from dataclasses import replace

    from dupl.data.prepare import archives

    place = Place(tmp_path / "voc12", voc_archives)
    step = place.unpacked(replace(archives.VOC_TRAINVAL, holds={"JPEGImages": 6}))
    with pytest.raises(UserError, match="does not hold all of JPEGImages; it may be another version"):
        step.run()
