"""Label maps in other formats, read back: by pycocotools and supervision, and by the rules of their formats."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dupl.data.export import FORMATS, open_export
from dupl.data.export.polygons import polygons_of
from dupl.errors import UserError

CLASSES = ("background", "cat", "traffic light", "dog")


def painted() -> np.ndarray:
    """A ring with an island of another class in it, two pieces of one class, and void."""
    labels = np.zeros((40, 56), np.uint8)
    labels[4:30, 4:34] = 1
    labels[10:22, 10:28] = 0
    labels[14:18, 14:20] = 3
    labels[2:8, 44:54] = 2
    labels[30:39, 40:56] = 2
    labels[0, 0] = 255
    return labels


LABELS = {"a": painted(), "sub/b": np.zeros((9, 5), np.uint8), "c": np.full((3, 4), 2, np.uint8)}


@pytest.fixture
def out(tmp_path) -> Path:
    """A folder with all label maps in all formats."""
    exports = [open_export(name, tmp_path, CLASSES) for name in FORMATS]
    for export in exports:
        for name, labels in LABELS.items():
            export.add(name, tmp_path / "photos" / f"{name}.jpg", labels)
        export.close()
    return tmp_path


def inside(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels whose centres lie in a polygon by the even-odd rule."""
    y, x = (axis.ravel() + 0.5 for axis in np.mgrid[:height, :width])
    found = np.zeros(height * width, bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (y1 > y) != (y2 > y)
        if y1 != y2:
            found ^= crosses & (x < x1 + (x2 - x1) * (y - y1) / (y2 - y1))
    return found.reshape(height, width)


def drawn(shapes: list[tuple[int, np.ndarray]], labels: np.ndarray) -> np.ndarray:
    """A label map from polygons."""
    found = np.zeros_like(labels)
    for k, polygon in shapes:
        found[inside(polygon, *labels.shape)] = k
    return found


def without_void(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 255, 0, labels)


@pytest.mark.parametrize("seed", range(20))
def test_polygons_hold_exactly_the_pixels(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 24, 2)) < rng.random()
    found = np.zeros(mask.shape, bool)
    for polygon in polygons_of(mask):
        found ^= inside(polygon, *mask.shape)
    assert (found == mask).all()


def test_straight_sides_have_no_points_between():
    (polygon,) = polygons_of(np.ones((30, 40), bool))
    assert len(polygon) == 8, "the corners of a rectangle, cut by half a pixel"
    assert polygon.min() == 0 and polygon.max(axis=0).tolist() == [40, 30]


def test_coco_by_pycocotools(out):
    coco = pytest.importorskip("pycocotools.coco", reason='pycocotools is not installed: pip install ".[coco]"')
    with contextlib.redirect_stdout(io.StringIO()):
        read = coco.COCO(str(out / "coco.json"))
    assert {k: one["name"] for k, one in read.cats.items()} == {1: "cat", 2: "traffic light", 3: "dog"}
    assert [image["file_name"] for image in read.imgs.values()] == ["a.jpg", "sub/b.jpg", "c.jpg"]
    for image, labels in zip(read.imgs.values(), LABELS.values(), strict=True):
        found = np.zeros_like(labels)
        for one in read.loadAnns(read.getAnnIds(imgIds=image["id"])):
            mask = read.annToMask(one).astype(bool)
            assert one["area"] == mask.sum()
            x, y, width, height = one["bbox"]
            assert mask[y : y + height, x : x + width].sum() == mask.sum()
            assert mask[y].any() and mask[:, x].any() and mask[y + height - 1].any() and mask[:, x + width - 1].any()
            found[mask] = one["category_id"]
        assert (found == without_void(labels)).all()


def read_yolo(out: Path, name: str, size: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
    lines = (out / "yolo" / "labels" / f"{name}.txt").read_text().splitlines()
    numbers = [line.split() for line in lines]
    return [(int(n[0]) + 1, np.array(n[1:], float).reshape(-1, 2) * (size[1], size[0])) for n in numbers]


def read_labelme(out: Path, name: str, size: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
    found = json.loads((out / "labelme" / f"{name}.json").read_text())
    assert (found["imageHeight"], found["imageWidth"]) == size
    assert {shape["shape_type"] for shape in found["shapes"]} <= {"polygon"}
    photo = (out / "labelme" / f"{name}.json").parent / found["imagePath"]
    assert photo.resolve() == (out / "photos" / f"{name}.jpg").resolve()
    return [(CLASSES.index(shape["label"]), np.array(shape["points"])) for shape in found["shapes"]]


def read_cvat(out: Path, name: str, size: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
    root = ElementTree.parse(out / "cvat.xml").getroot()
    assert [label.text for label in root.findall("meta/task/labels/label/name")] == list(CLASSES[1:])
    (image,) = (one for one in root.findall("image") if one.get("name") == f"{name}.jpg")
    assert (int(image.get("height")), int(image.get("width"))) == size
    shapes = image.findall("polygon")
    points = [[pair.split(",") for pair in shape.get("points").split(";")] for shape in shapes]
    return [(CLASSES.index(s.get("label")), np.array(p, float)) for s, p in zip(shapes, points, strict=True)]


READERS = {"yolo": read_yolo, "labelme": read_labelme, "cvat": read_cvat}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("form", READERS)
def test_polygons_read_back(out, form, name):
    labels = LABELS[name]
    assert (drawn(READERS[form](out, name, labels.shape), labels) == without_void(labels)).all()


@pytest.mark.parametrize("form", READERS)
def test_polygons_by_pycocotools(out, form):
    """Its rule at borders and slits differs from that of pixel centres by a pixel."""
    drawing = pytest.importorskip("pycocotools.mask", reason='pycocotools is not installed: pip install ".[coco]"')
    labels = LABELS["a"]
    shapes = READERS[form](out, "a", labels.shape)
    assert len(shapes) == 4, "a ring, an island, two pieces"
    for k in (1, 2, 3):
        polygons = [polygon.ravel().tolist() for label, polygon in shapes if label == k]
        found = drawing.decode(drawing.merge(drawing.frPyObjects(polygons, *labels.shape))) > 0
        truth = labels == k
        assert (found & truth).sum() / (found | truth).sum() > 0.9


@pytest.mark.parametrize("form", ["yolo", "labelme", "coco"])
def test_by_supervision(out, form):
    """Its polygons hold the pixels on their border too."""
    reader = pytest.importorskip("supervision", reason="supervision is not installed").DetectionDataset
    photos, places = str(out / "photos"), {"annotations_directory_path": str(out / form)}
    for name in ("a", "c"):  # it reads one folder of photos
        (out / "photos").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((*LABELS[name].shape, 3), np.uint8)).save(out / "photos" / f"{name}.jpg")
    if form == "yolo":
        places = {"annotations_directory_path": str(out / "yolo" / "labels")}
        places["data_yaml_path"] = str(out / "yolo" / "data.yaml")
    if form == "coco":
        places = {"annotations_path": str(out / "coco.json")}
        (out / "photos" / "sub").mkdir()
        Image.fromarray(np.zeros((9, 5, 3), np.uint8)).save(out / "photos" / "sub" / "b.jpg")
    read = getattr(reader, f"from_{form}")(images_directory_path=photos, force_masks=True, **places)
    assert sorted(read.classes) == sorted(CLASSES[1:])
    seen = {Path(path).stem: found for path, _, found in read}
    assert {"a", "c"} <= seen.keys()
    for name in ("a", "c"):
        truth = LABELS[name]
        for k, label in enumerate(CLASSES[1:], 1):
            pairs = zip(seen[name].mask, seen[name].class_id, strict=True)
            masks = [mask for mask, c in pairs if read.classes[c] == label]
            found = np.any(masks, axis=0) if masks else np.zeros(truth.shape, bool)
            assert not ((truth == k) & ~found).any(), "no pixel is lost"
            assert (found & (truth != k)).sum() <= (0 if form == "coco" else 0.06 * truth.size), label


def test_yolo_names_its_classes(out):
    yaml = pytest.importorskip("yaml", reason="PyYAML, which wandb needs, is not installed")
    assert yaml.safe_load((out / "yolo" / "data.yaml").read_text())["names"] == dict(enumerate(CLASSES[1:]))
    assert (out / "yolo" / "labels" / "sub" / "b.txt").read_text() == "", "an image of background"


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no export pascal: choose coco, yolo, labelme, cvat"):
        open_export("pascal", tmp_path, CLASSES)
