"""The files that wandb leaves: few of a run recorded offline, and with it all that an upload reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.cli import main
from dupl.engine.training.tracked_pictures import NOISE, pictures, sheet
from dupl.report.figures.image_row import ImageRow
from dupl.track.records import TrackedTable
from dupl.track.wandb_process import Tracker

pytest.importorskip("wandb", reason='wandb is not installed: pip install ".[wandb]"')


def read(log: Path) -> list[dict]:
    """Return the records that wandb's own reader finds in a .wandb file."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def files(run: Path) -> list[str]:
    """Return everything below ``wandb`` that is no folder, links among it."""
    return sorted(str(file.relative_to(run)) for file in (run / "wandb").rglob("*") if not file.is_dir())


def staged_by(records: list[dict]) -> set[str]:
    """Return the files that the artifacts of a record name."""
    artifacts = [record["artifact"] for record in records if record["type"] == "artifact"]
    return {entry["local_path"] for one in artifacts for entry in one["manifest"]["contents"]}


def test_a_run_leaves_a_handful_of_files(tiny, tmp_path):
    run = tmp_path / "run"
    sets = ["--set", "schedule.iterations=4", "evaluation.interval=2"]
    assert main(["train", tiny, "--work-dir", str(run), "--wandb", "offline", *sets]) == 0
    found = files(run)
    assert len(found) <= 12, found
    assert len([name for name in found if name.endswith(".png")]) == 2, "one picture for each evaluation"
    (log,) = run.glob("wandb/offline-run-*/*.wandb")
    assert staged_by(read(log)) == {str(file) for file in run.glob("wandb/data/artifacts/staging/*")}
    (status,) = run.glob("wandb/offline-run-*/files/status.json")
    assert json.loads(status.read_text())["state"] == "finished", "an upload sends the status of the end"


def test_equal_tables_of_two_records_keep_their_copies(tmp_path):
    table, told = TrackedTable(["a"], [[1], [None]]), []
    for _ in range(2):
        tracker = Tracker(tmp_path, {"mode": "offline", "id": "abc", "project": "dupl"}, told.append)
        tracker.log({"first": table, "second": TrackedTable(["b"], [[2]])})
        tracker.close()
    assert told == []
    named = set().union(*(staged_by(read(log)) for log in tmp_path.glob("wandb/offline-run-*/*.wandb")))
    assert len(named) == 4
    assert named == {str(file) for file in tmp_path.glob("wandb/data/artifacts/staging/*")}


@pytest.fixture
def row():
    """An image of one class with two students."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 2, (24, 32)).astype(np.uint8) for _ in range(2)]
    cams = [part.astype(np.float32) for part in labels]
    noisy = [part == 1 for part in labels]
    photo = rng.integers(0, 255, (24, 32, 3)).astype(np.uint8)
    return ImageRow("x", photo, labels[0], cams, labels, labels, noisy, labels, ("cat",))


def test_pictures_have_label_maps_and_class_names(row, tmp_path):
    """Online, every picture has label maps to overlay; they are recorded here without a server."""
    told: list[str] = []
    tracker = Tracker(tmp_path, {"mode": "offline", "id": "abc", "project": "dupl"}, told.append)
    tracker.log({"iter": 8, **pictures([row] * 4, ["background", "cat"])})
    tracker.close()
    assert told == []
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    records, labels = read(log), {}
    for config in (r["config"]["update"] for r in records if r["type"] == "config"):
        labels.update(config.get("_wandb", {}).get("mask/class_labels", {}))
    (item,) = (r["history"]["item"] for r in records if r["type"] == "history")
    for kind, mask in {"cam": "CAM", "label": "pseudo-label", "prediction": "prediction"}.items():
        for s in (1, 2):
            key = f"pictures/{kind}/{s}"
            assert item[f"{key}.count"] == 4
            for masks, photo in zip(item[f"{key}.all_masks"], item[f"{key}.filenames"], strict=True):
                assert set(masks) == {mask, "truth"}
                size = Image.open(next(tmp_path.glob(f"wandb/*/files/{photo}"))).size
                for one in masks.values():
                    ids = np.asarray(Image.open(next(tmp_path.glob(f"wandb/*/files/{one['path']}"))))
                    assert ids.shape[:2] == size[::-1]
            names = labels[f"{key}_wandb_delimeter_{mask}"]["value"]
            assert (names["0"], names[str(NOISE)], names["255"]) == ("background", "filtered as noise", "undecided")


def test_a_sheet_shows_pictures_above_the_losses(row):
    mixture = {"weight": [0.5, 0.5], "mean": [0.2, 0.8], "variance": [0.1, 0.1], "fitted": True}
    losses = {"low": 0.0, "high": 1.0, "counts": [3, 1], **mixture, "gamma": 0.9, "eta": 0.1, "filtered": 0.0}
    classes = ["background", "cat"]
    plain = sheet([row], [[]], classes, "run, iteration 8")
    assert list(plain) == ["pictures/sheet"]
    full = sheet([row], [[losses, losses]], classes, "run, iteration 8")
    assert set(full) == {"pictures/sheet", "noise/1/losses", "noise/2/losses"}
    above, both = plain["pictures/sheet"][0], full["pictures/sheet"][0]
    assert both.image.shape[0] > above.image.shape[0] and both.caption == "run, iteration 8"
    assert np.array_equal(both.image[: len(above.image), : above.image.shape[1]], above.image)
    assert sheet([], [], classes, "no image") == {}
