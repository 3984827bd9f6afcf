"""Photos and masks at their worst, through evaluation, the final protocol, the CRF and inference."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from dupl.config import catalogue
from dupl.config.schema import CRF
from dupl.data.base import ImageSet
from dupl.engine import build, infer, memory, predict
from dupl.engine.evaluation.cache import LabelCache, LogitCache
from dupl.engine.evaluation.crf import dense_crf, pool
from dupl.engine.evaluation.evaluate import evaluate, evaluate_by
from dupl.engine.evaluation.final import FinalProtocol
from dupl.engine.evaluation.selection import MapSelection
from dupl.errors import UserError
from dupl.method.dupl import DuPL
from dupl.runs.tallies import confusion

CLASSES = ("background", "circle", "square", "triangle", "cross", "star", "ring")
SETTINGS = dict(size=32, cam_threshold=0.5, batch_size=3, subset=None)


class Some(ImageSet):
    """Images with tags and masks as they are given."""

    has_masks, classes = True, CLASSES

    def __init__(self, *items: tuple[NDArray[np.uint8], tuple[int, ...], NDArray[np.uint8]]) -> None:
        self.items, self.names = items, [f"p{i}" for i in range(len(items))]

    def image(self, i: int) -> NDArray[np.uint8]:
        return self.items[i][0]

    def tags(self, i: int) -> NDArray[np.float32]:
        return np.array([float(k in self.items[i][1]) for k in range(1, len(CLASSES))], np.float32)

    def mask(self, i: int) -> NDArray[np.uint8]:
        return self.items[i][2]


def item(height: int, width: int, label: int = 255, tags: tuple[int, ...] = ()) -> Any:
    image = np.random.default_rng(height + width).integers(0, 256, (height, width, 3), np.uint8)
    return image, tags, np.full((height, width), label, np.uint8)


@pytest.fixture(scope="module")
def model(tiny: str) -> DuPL:
    return build.build_model(catalogue.load(tiny), len(CLASSES), torch.device("cpu")).eval()


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "cores", lambda: 0)


# Masks


def test_masks_of_void_alone_measure_nothing(model: DuPL) -> None:
    """NaN, which is written as null: not 0, not 100, and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate(model, Some(item(20, 30, tags=(1,)), item(9, 9)), SETTINGS)
    assert all(math.isnan(value) for name, value in found.metrics.items() if not name.startswith("cls/"))
    assert all(not tally.matrix.any() for tally in found.tallies.values())
    maps = [name for name in found.tallies if not name.startswith("aux_cam/")]  # those have metrics alone
    assert len(found.class_rows()) == len(maps) * len(CLASSES)


def test_a_single_class_an_empty_one_and_one_pixel(model: DuPL) -> None:
    dot = item(20, 30, 0, (2,))
    dot[2][4, 5] = 2
    found = evaluate(model, Some(dot, item(8, 8, 0, (1,)), item(1, 1, 3, (3,))), SETTINGS)
    table = {(row.label_map, row.class_name): row for row in found.class_rows()}
    for name in {label_map for label_map, _ in table}:
        assert table[name, "square"].pixels == 1 and table[name, "triangle"].pixels == 1, "one pixel of truth each"
        assert table[name, "square"].iou in (0.0, *(100 / k for k in range(1, 601)))
        for absent in ("circle", "cross", "star", "ring"):
            assert table[name, absent].pixels == 0 and math.isnan(table[name, absent].iou), "no truth, no IoU"
        assert 0 <= found.metrics[f"{name}/mIoU"] <= 100


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([(1, 1), (1, 7), (4, 5)]))
def test_confusion_against_a_loop(seed: int, classes: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice([*range(classes), 255], size).astype(np.uint8)
    said = rng.integers(0, classes, size).astype(np.uint8)
    counts = np.zeros((classes, classes), int)
    for t, s in zip(truth.flat, said.flat, strict=True):
        if t != 255:
            counts[t, s] += 1
    assert np.array_equal(confusion(truth, said, classes), counts)


# Sizes


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("present_only", [False, True])
def test_tiny_photos_by_the_final_protocol(model: DuPL, size: tuple[int, int], present_only: bool) -> None:
    protocol = FinalProtocol(dict(scales=(1.0, 0.1, 1.5)), MapSelection.of([], 2), CRF(), "torch", present_only)
    source = Some(item(*size, 1, (1,)), item(*size, 0))
    for found in evaluate_by(protocol, model, source, SETTINGS).values():
        assert set(found.tallies) == {"seg/1", "seg/2", "seg/mean"}
        assert all(tally.matrix.sum() == 2 * size[0] * size[1] for tally in found.tallies.values())
        assert math.isfinite(found.metrics["seg/best/mIoU"])


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 1)])
def test_the_crf_of_a_few_pixels_keeps_what_is_sure(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    sure = np.full((1, 3, *size), 1e-6, np.float32)
    sure[:, 2] = 1
    assert (dense_crf.refine(dense_crf.RefineJob(image, sure), CRF(), "torch") == 2).all()
    even = np.full((1, 3, *size), 1 / 3, np.float32)
    assert (dense_crf.refine(dense_crf.RefineJob(image, even, (0, 2)), CRF(), "torch") < 3).all()
    nothing = np.zeros((1, 3, *size), np.float32)  # clipped, and so even
    assert dense_crf.refine(dense_crf.RefineJob(image, nothing), CRF(), "torch").shape == (1, *size)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("tags", [None, (), ("circle", "ring")])
def test_inference_of_tiny_photos(model: DuPL, size: tuple[int, int], tags: Any) -> None:
    found = predict.infer_image(model, item(*size)[0], CLASSES, 32, tags)
    assert found.mask.shape == size and np.isfinite(found.scores).all()
    assert all(heat.shape == size and np.isfinite(heat).all() for heat in found.cams.values())
    if tags is not None:
        assert set(found.cams) == set(tags)


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 40), st.integers(1, 40), st.integers(1, 400))
def test_strips_are_the_whole_in_pieces(h: int, w: int, height: int, width: int, most: int) -> None:
    maps = [torch.randn(1, 3, h, w, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]
    whole = [F.interpolate(m, (height, width), mode="bilinear", align_corners=False) for m in maps]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "MOST", most)
        pieces = list(predict.strips(maps, (height, width)))
    assert all(piece[0][0].numel() <= max(most, 3 * width) for _, piece in pieces), "a row at least"
    rows = [row for part, _ in pieces for row in range(part.start, part.stop)]
    assert rows == list(range(height))
    for student, expected in enumerate(whole):
        joined = torch.cat([piece[student] for _, piece in pieces], 2)
        assert torch.allclose(joined, expected, atol=1e-5)
    if 3 * width * height <= most:
        assert len(pieces) == 1 and torch.equal(pieces[0][1][0], whole[0]), "as ever where it fits"


def test_a_large_photo_is_labelled_in_strips_and_shown_reduced(model, tmp_path, monkeypatch) -> None:
    Image.fromarray(item(90, 70)[0]).save(tmp_path / "a.png")
    outs = [tmp_path / "whole", tmp_path / "strips"]
    infer.infer(model, [tmp_path / "a.png"], CLASSES, 32, outs[0], tags={"a": ("circle",)})
    monkeypatch.setattr(predict, "MOST", 7 * 70 * 8)
    monkeypatch.setattr(infer, "LARGEST", 40)
    infer.infer(model, [tmp_path / "a.png"], CLASSES, 32, outs[1], tags={"a": ("circle",)})
    whole, cut = (np.asarray(Image.open(out / "masks" / "a.png")) for out in outs)
    assert whole.shape == cut.shape == (90, 70) and (whole != cut).mean() < 1e-3
    for picture in ("overlays/a.jpg", "cams/a_circle.jpg"):
        assert Image.open(outs[0] / picture).size == (70, 90)
        assert Image.open(outs[1] / picture).size == (24, 30), "every third pixel"


# Memory


def test_maps_that_do_not_fit_are_told_before(model: DuPL, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system would kill the process without a word."""
    monkeypatch.setattr(memory, "ALWAYS_FREE", 1000)
    monkeypatch.setattr(memory, "free", lambda: 3 << 30)
    memory.require(10, 21, (500, 375), "photo a", "less")
    with pytest.raises(UserError, match=r"photo a has 8000x6000 pixels: .* 21 classes .* 38 GiB, and 3 GiB are free"):
        memory.require(10, 21, (6000, 8000), "photo a", "less")
    source = Some(item(30, 20, 1, (1,)))
    monkeypatch.setattr(memory, "free", lambda: 5000)
    protocol = FinalProtocol(dict(scales=(1.0,)), MapSelection.of([], 2))
    with pytest.raises(UserError, match="photo p0 has 20x30 pixels"):
        evaluate_by(protocol, model, source, SETTINGS)
    with pytest.raises(UserError, match="mask of image p0 has 20x30 pixels"):
        evaluate(model, source, SETTINGS)
    monkeypatch.setattr(memory, "free", lambda: None)
    evaluate(model, source, SETTINGS)


def test_free_memory_is_that_of_the_machine_or_its_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    machine = memory.free()
    assert machine is None or machine > 1 << 20
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("7000000\n")
    assert (memory.free() is None) == (machine is None)
    (tmp_path / "memory.max").write_text("8000000\n")
    assert memory.free() == 1_000_000


# Files kept between two commands, damaged: made anew (each of these was an error once)


def test_kept_files_of_odd_zips_are_none(tmp_path: Path) -> None:
    logits = LogitCache(tmp_path / "logits", {})
    logits.write("a", 0, [np.zeros((3, 2, 2), np.float32)])
    file = logits.path("a", 0)
    whole = file.read_bytes()
    at = whole.index(b"PK\x01\x02")
    for place, value in ((at + 6, 255), (at + 10, 99)):  # version of zip that it needs; compression
        file.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        assert logits.read("a", 0) is None
    labels = LabelCache(tmp_path / "labels", {})
    labels.write("a", {"seg/1": np.zeros((4, 4), np.uint8)})
    path = labels.path("a", "seg/1")
    png = path.read_bytes()
    at = png.index(b"IDAT")
    path.write_bytes(png[: at - 4] + b"\x7f\xff\xff\xff" + png[at:])  # claims 2 GiB
    assert labels.read("a", ["seg/1"]) is None or (labels.read("a", ["seg/1"])["seg/1"] == 0).all()
