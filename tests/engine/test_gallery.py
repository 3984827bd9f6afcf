"""The gallery over training: what it holds, that it changes nothing, and that it can be switched off."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from dupl.cli import main
from dupl.data.spread import spread
from dupl.data.toy import Toy
from dupl.engine import build
from dupl.engine.inspect_images import inspect_images
from dupl.engine.restore import restore
from dupl.engine.training import viewer as viewing
from dupl.engine.training.viewer import BINS, Viewer, recorded_losses
from dupl.report.figures.contact_sheet import CELL, contact_sheet
from dupl.report.figures.image_row import ImageRow
from dupl.structures import Clock


@pytest.fixture(scope="module")
def bare(tiny, tmp_path_factory):
    """Folder of the same run, without a gallery."""
    folder = tmp_path_factory.mktemp("bare") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dupl.engine.pictures.draw", lambda *_: [])
        assert main(["train", tiny, "--work-dir", str(folder), "--set", "evaluation.gallery=0"]) == 0
    return folder


def test_it_influences_nothing(bare, trained, helpers):
    assert not (bare / "gallery").exists()
    helpers.assert_same_run(bare, trained)
    status = [json.loads((run / "status.json").read_text())["fingerprint"] for run in (bare, trained)]
    assert status[0] == status[1]


def test_every_evaluation_has_one(trained):
    files = sorted((trained / "gallery").glob("*.json"))
    assert [json.loads(f.read_text())["iter"] for f in files] == [8, 16, 24]
    first, last = (json.loads(f.read_text()) for f in (files[0], files[-1]))
    assert [image["name"] for image in last["images"]] == [Toy("val", size=32, count=8).names[i] for i in (0, 2, 5, 7)]
    steps = [(c["kind"], c["student"]) for c in last["columns"]]
    assert steps[:2] == [("Image", 0), ("Truth", 0)]
    assert steps[2:] == [(kind, s) for kind in ("CAM", "Pseudo-label", "Prediction") for s in (1, 2)]
    with Image.open(files[-1].with_suffix(".webp")) as sheet:
        assert sheet.size == (CELL * len(steps), CELL * 4)
    assert all(image["size"] == [160, 160] for image in first["images"]), "enlarged by a whole factor"


def test_losses_are_those_that_the_filter_fitted(trained):
    """Histogram and mixture against the filter asked by hand, on one image."""
    restored = restore(str(trained), "last", [])
    source = build.build_dataset(restored.config, "val")
    model, clock = restored.model(source.classes), Clock(23, 24)
    seen = []
    model.noise_filter.watch = lambda *found: seen.append(found)
    inspect_images(model, source, [2], 32, 0.5, clock)
    before = model.noise_filter.watch
    with recorded_losses(model) as found:
        inspect_images(model, source, [2], 32, 0.5, clock)
    assert model.noise_filter.watch is before
    assert len(found) == len(seen) == 2
    for entry, (losses, chosen, mixture) in zip(found, seen, strict=True):
        values = losses[0][chosen[0]].numpy()
        assert sum(entry["counts"]) == len(values) > 20
        counts, _ = np.histogram(values.astype(float), BINS, (entry["low"], entry["high"]))
        assert counts.tolist() == entry["counts"]
        assert entry["mean"] == mixture.mean[0].tolist()
    stored = json.loads((trained / "gallery/iter_000024.json").read_text())["images"][1]["losses"]
    for entry, kept in zip(found, stored, strict=True):
        assert kept["mean"] == pytest.approx(entry["mean"], rel=1e-4)
        assert 0 <= kept["filtered"] <= 100


def test_what_one_has_looked_at_the_next_is_given(trained, monkeypatch):
    restored = restore(str(trained), "last", [])
    source, asked = build.build_dataset(restored.config, "val"), []
    viewer = Viewer(restored.model(source.classes), source, restored.config.evaluation)
    monkeypatch.setattr(viewing, "inspect_images", lambda *a: asked.append(a[2]) or inspect_images(*a))
    panels, losses = viewer.view(2, 24, 24)
    more, all_losses = viewer.view(3, 24, 24)
    assert asked == [spread(2, len(source)), [i for i in spread(3, len(source)) if i not in spread(2, len(source))]]
    assert [more[0], more[-1]] == panels and [all_losses[0], all_losses[-1]] == losses
    assert [panel.name for panel in more] == [source.names[i] for i in spread(3, len(source))]
    viewer.view(2, 25, 25)
    assert asked[2:] == [spread(2, len(source))], "another iteration is looked at anew"


def test_before_the_filter_acts_there_are_no_losses(trained):
    restored = restore(str(trained), "last", [])
    source = build.build_dataset(restored.config, "val")
    model = restored.model(source.classes)
    with recorded_losses(model) as found:
        inspect_images(model, source, spread(2, len(source)), 32, 0.5, Clock(4, 24))
    assert found == []


def test_a_contact_sheet_cuts_up_into_its_panes():
    """Images of several shapes; a pane that is missing is said to be."""
    rng = np.random.default_rng(0)
    tall, wide = rng.integers(0, 256, (300, 100, 3), np.uint8), np.full((50, 80, 3), 200, np.uint8)
    empty = dict(cams=[], cam_labels=None, pseudo=[], noisy=[])
    panels = [
        ImageRow(
            "a", tall, np.zeros((300, 100), np.uint8), prediction=[np.ones((300, 100), np.uint8)], tags=("x",), **empty
        ),
        ImageRow("b", wide, None, prediction=[], tags=(), **empty),
    ]
    data, described = contact_sheet(panels, ["background", "<x>"])
    assert [(c["kind"], c["student"]) for c in described["columns"]] == [("Image", 0), ("Truth", 0), ("Prediction", 1)]
    assert [image["size"] for image in described["images"]] == [[59, CELL], [160, 100]]
    assert [image["filled"] for image in described["images"]] == [[True, True, True], [True, False, False]]
    assert "<x>" in [key["text"] for key in described["legend"]]
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert abs(sheet[CELL + 16 : CELL + 84, 16:144] - 200).max() < 4, "away from the borders, which WebP blurs"


@pytest.mark.parametrize("value", ["-1", "1.5"])
def test_a_wrong_size_is_told_before_training(tiny, tmp_path, capsys, value):
    argv = ["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", f"evaluation.gallery={value}"]
    assert main(argv) == 2
    assert "evaluation.gallery is" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_torch_state_is_left_alone(trained):
    restored = restore(str(trained), "last", [])
    source = build.build_dataset(restored.config, "val")
    model = restored.model(source.classes).train()
    state = torch.get_rng_state()
    with recorded_losses(model):
        inspect_images(model, source, [0], 32, 0.5, Clock(23, 24))
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
