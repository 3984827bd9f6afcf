"""The benchmark of the final protocol: how photos are dealt out, what it computes, and that weights go over."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from dupl.config import catalogue
from dupl.data.voc import VOC
from dupl.engine.build import build_model
from dupl.method.released_layout import convert

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def final(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("final")


@pytest.fixture
def photos(tmp_path):
    """Seven photos with masks in VOC layout."""
    root = tmp_path / "voc"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    for i in range(7):
        Image.new("RGB", (150, 70), (9 * i, 0, 0)).save(root / f"JPEGImages/p{i}.jpg")
        mask = np.full((70, 150), i, np.uint8)
        mask[:, 128:] = 255
        Image.fromarray(mask).save(root / f"SegmentationClass/p{i}.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("".join(f"p{i}\n" for i in range(7)))
    return root


def test_photos_are_dealt_out(final, photos, tmp_path):
    chunks = final.lay_out(photos, "val", None, 2, tmp_path / "all", False)
    assert chunks == {"chunk0": 4, "chunk1": 3}
    assert VOC(str(tmp_path / "all/data"), "chunk1").names == ["p1", "p3", "p5"]
    assert final.lay_out(photos, "val", 4, 2, tmp_path / "few", True) == {"chunk0": 2, "chunk1": 2}
    cut = VOC(str(tmp_path / "few/data"), "chunk0")
    assert cut.names == ["p0", "p4"]
    assert cut.image(1).shape == (64, 128, 3)
    assert (cut.mask(1) == 4).all() and cut.mask(1).shape == (64, 128)
    with pytest.raises(SystemExit, match="too few for 4 chunks"):
        final.lay_out(photos, "val", None, 4, tmp_path / "none", False)


def test_times_and_scores_are_of_all_chunks(final):
    phase = final.Phase("the CRF", photos=[4, 2])
    half, none = np.array([[1, 1], [0, 2]]), np.array([[0, 4], [0, 2]])
    for spent in ((8.0, 12.0, [half]), (2.0, 2.0, [none])):
        phase.add("off", 4 if spent[0] == 8 else 2, spent)
    assert phase.wall["off"] == [2, 1]
    assert phase.cpu["off"] == [3, 1]
    assert phase.total("off") == 2 * 4 + 1 * 2
    assert phase.scores("off") == [pytest.approx(100 * (1 / 6 + 4 / 9) / 2)], "of the counts added up"
    phase.wall["released"], phase.cpu["released"], phase.counts["released"] = [4, 2], [9, 9], phase.counts["off"]
    report = dict(
        phases=[phase],
        chunks={"chunk0": 4, "chunk1": 2},
        machine=dict(cpu="a CPU", cores=2, load_before=0.1),
        code=dict(commit="0123456789abc", dirty=False),
        versions={},
        threads=2,
        capability="computes bfloat16 (amx_bf16)",
        split="val",
        cut="",
        date="",
        shares={"network": 0.75, "CRF": 0.25},
        maps=["Pixels whose label differs: none."],
    )
    text = final.markdown(report)
    assert "| in all | 20 s | 10 s | 0.50x, at most 0.5x | | |" in text
    assert "in one process: network 0.750 s (75 %), CRF 0.250 s (25 %)." in text
    assert "Pixels whose label differs: none." in text


def test_pixels_that_differ_are_counted(final, tmp_path):
    maps = importlib.import_module("final_maps")
    logits = np.zeros((1, 3, 2, 2), np.float32)
    logits[0, 1, 0, 0] = 1
    for folder in ("released/logits/c/branch1", "released/segs/c"):
        (tmp_path / folder).mkdir(parents=True)
    np.save(tmp_path / "released/logits/c/branch1/p.npy", {"msc_seg": logits})
    Image.fromarray(np.full((2, 2), 2, np.uint8)).save(tmp_path / "released/segs/c/p.png")
    for part, value in (("final", 0), ("final-crf-torch", 2)):
        folder = tmp_path / f"ours/c_off/{part}/labels/1"
        folder.mkdir(parents=True)
        Image.fromarray(np.full((2, 2), value, np.uint8)).save(folder / "p.png")
    (line,) = maps.differing(tmp_path, ["c"], ["released", "off"], 1)
    assert line.endswith("released and off: 25.0000 % without CRF, 0.0000 % after it.")


def test_the_weights_go_over_and_come_back(final, tiny, tmp_path):
    model = build_model(catalogue.load(tiny), 5, torch.device("cpu"))
    measures = final.Ours.export(SimpleNamespace(model=model), str(tmp_path))
    assert measures == {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "img_size": 32}
    released = torch.load(tmp_path / "weights.pt")
    assert released["branch1.decoder.conv7.weight"].shape == (16, 16, 3, 3)
    assert released["branch2.classifier.weight"].shape == (4, 32, 1, 1)
    state = model.state_dict()
    back = convert(released, set(state))
    assert all(torch.equal(back[key], state[key]) for key in state if key.startswith("students."))


def test_a_missing_checkout_is_told(tmp_path):
    command = [sys.executable, str(FOLDER / "final.py"), "RUN", "--images", "DIR", "--reference", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "no tools/eval_seg_voc.py there" in done.stderr
