"""Quality of pseudo-labels over training: hand-counted, against a plain loop, and without influence."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from dupl.cli import main
from dupl.data.spread import spread
from dupl.data.tagged_folder import TaggedFolder
from dupl.data.toy import Toy
from dupl.data.views import EvalView
from dupl.engine import pictures
from dupl.engine.pictures import draw
from dupl.engine.restore import restore
from dupl.engine.training.label_counts import LabelCounts, Quality
from dupl.engine.training.label_quality import measure_quality
from dupl.engine.training.quality_curves import YLABELS, class_lines, quality_curves
from dupl.engine.training.validate import check_masks
from dupl.errors import UserError
from dupl.method.cam import Present
from dupl.report.figures.start_markers import starts
from dupl.runs.run import Run
from dupl.structures import Clock

FIGURES = ("coverage", "precision", "recall", "OA", "filter_precision")


def grid(*rows: str) -> np.ndarray:
    """Labels by digit; . is 255."""
    return np.array([[255 if c == "." else int(c) for c in row] for row in rows], np.uint8)


class TestCounts:
    def test_by_hand(self):
        counts = LabelCounts(3)
        truth = grid("0011", "0012", "..22")
        label = grid("0111", "0.12", "1122")
        noisy = grid("0100", "0000", "0001") == 1
        counts.add(truth, label, noisy)
        found = counts.metrics()
        # 10 pixels of known truth: one undecided, two filtered (one rightly, one not), seven teach
        assert found["coverage"] == pytest.approx(70)
        assert found["filter_precision"] == pytest.approx(50)
        # class 1: 3 labels, all right, of 3 pixels; class 2: 2 labels, both right, of 3 pixels
        assert found["precision"] == 100
        assert found["recall"] == pytest.approx(100 * (3 / 3 + 2 / 3) / 2)
        assert found["OA"] == 0
        assert counts.rows()[2] == pytest.approx((2, 100, 200 / 3, 0))

    def test_over_activation(self):
        counts = LabelCounts(3)
        counts.add(grid("0011"), grid("0111"), np.zeros((1, 4), bool))
        found = counts.metrics()
        assert found["OA"] == pytest.approx(100 / 3)
        assert found["precision"] == pytest.approx(200 / 3)
        assert found["recall"] == 100, "of the classes that are there"
        assert np.isnan(found["filter_precision"]), "nothing was filtered"

    def test_parts_add_up(self):
        rng = np.random.default_rng(0)
        images = [
            (rng.integers(0, 3, (5, 5)).astype(np.uint8), rng.choice([0, 1, 2, 255], (5, 5)).astype(np.uint8))
            for _ in range(4)
        ]
        noise = rng.random((4, 5, 5)) < 0.2
        parts = [Quality([], np.zeros(2, np.int64)) for _ in range(3)]  # the last process has no image
        whole = Quality([LabelCounts(3)], np.zeros(2, np.int64))
        for i, (truth, label) in enumerate(images):
            part = parts[i % 2]
            part.students = part.students or [LabelCounts(3)]
            for one in (part, whole):
                one.students[0].add(truth, label, noise[i])
        merged = Quality([], np.zeros(2, np.int64))
        for part in reversed(parts):
            merged.merge(part)
        assert merged.metrics() == whole.metrics()
        assert Quality([], np.zeros(2, np.int64)).metrics() == {}


def test_against_a_plain_loop(trained):
    """Every pixel of every image, one at a time."""
    restored = restore(str(trained), None, [])
    source, clock = Toy("train", size=32, count=3), Clock(20, 24)
    model = restored.model(source.classes).train()
    found = measure_quality(model, source, [0, 2], 32, clock)
    assert model.training
    model.eval()
    totals = {s: dict.fromkeys(("valid", "taught", "out", "wrong"), 0) for s in (0, 1)}
    shared, differ = 0, 0
    for i in (0, 2):
        sample = EvalView(source, 32)[i]
        tags = sample["tags"][None]
        box = torch.tensor([[0, 32, 0, 32]])
        made = model.inspect(sample["image"][None], tags, Present.of(tags), box, clock)
        maps = []
        for s in (0, 1):
            at = lambda x: F.interpolate(x[:, None].float(), sample["mask"].shape)[0, 0]  # noqa: B023, E731
            y, n = at(made.labels[s].y), at(made.noisy[s])
            maps.append((y, n))
            for t, a, b in zip(sample["mask"].flatten(), y.flatten(), n.flatten(), strict=True):
                if t != 255:
                    totals[s]["valid"] += 1
                    totals[s]["out"] += int(b)
                    totals[s]["wrong"] += int(b and a != t)
                    totals[s]["taught"] += int(not b and a != 255)
        teach = [(y != 255) & (n == 0) for y, n in maps]
        both = teach[0] & teach[1] & (sample["mask"] != 255)
        shared += int(both.sum())
        differ += int((both & (maps[0][0] != maps[1][0])).sum())
    metrics = found.metrics()
    assert set(metrics) == {f"quality/{s}/{k}" for s in (1, 2) for k in FIGURES} | {"quality/disagreement"}
    for s, total in totals.items():
        assert found.students[s].truth.sum() == total["valid"]
        assert metrics[f"quality/{s + 1}/coverage"] == pytest.approx(100 * total["taught"] / total["valid"])
        assert found.students[s].filtered.tolist() == [total["out"], total["wrong"]]
    assert sum(t["out"] for t in totals.values()) > 0, "the filter was at work"
    assert metrics["quality/disagreement"] == pytest.approx(100 * differ / shared)


def test_before_pseudo_labels_there_is_nothing(trained):
    restored = restore(str(trained), None, [])
    source = Toy("train", size=32, count=2)
    assert measure_quality(restored.model(source.classes), source, [0, 1], 32, Clock(0, 24)).metrics() == {}


class TestMasks:
    @pytest.fixture
    def folder(self, tmp_path):
        """A tagged folder of three images and its masks."""
        toy = Toy("val", size=16, count=3)
        for name in ("images", "masks"):
            (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(toy.image(i)).save(tmp_path / "images" / f"p{i}.png")
            Image.fromarray(toy.mask(i)).save(tmp_path / "masks" / f"p{i}.png")
        (tmp_path / "tags.csv").write_text("image,tags\np0,\np1,\np2,\n")
        return tmp_path, TaggedFolder(str(tmp_path), classes=list(toy.classes))

    @pytest.mark.parametrize(
        ("mask", "told"),
        [
            (
                np.full((16, 16), 9, np.uint8),
                "data.val, mask of image p2: label 9 in a mask of 7 classes; run dupl",
            ),
            (np.zeros((4, 5), np.uint8), "data.val, mask of image p2: 4x5 pixels, its photo has 16x16; run dupl"),
        ],
    )
    def test_a_wrong_one_is_found(self, folder, mask, told):
        root, source = folder
        check_masks(source, "data.val")
        Image.fromarray(mask).save(root / "masks" / "p2.png")
        with pytest.raises(UserError, match=told):
            check_masks(source, "data.val")
        check_masks(source, "data.val", count=1)

    def test_before_training(self, folder, tiny, tmp_path, capsys):
        root, source = folder
        Image.fromarray(np.full((16, 16), 77, np.uint8)).save(root / "masks" / "p0.png")
        entry = f'{{"type": "TaggedFolder", "root": "{root}", "classes": {json.dumps(list(source.classes))}}}'
        sets = [f"data.train={entry}", f"data.val={entry}"]
        assert main(["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", *sets]) == 2
        assert "data.val, mask of image p0: label 77" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_images_are_spread(trained):
    assert spread(3, 101) == [0, 50, 100]
    assert spread(50, 4) == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def judged(tiny, tmp_path_factory):
    """Folder of a run that judged its pseudo-labels."""
    folder = tmp_path_factory.mktemp("judged") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dupl.engine.pictures.draw", lambda *_: [])
        assert main(["train", tiny, "--work-dir", str(folder), "--set", "evaluation.quality=4"]) == 0
    return folder


@pytest.mark.parametrize("pseudo", [[], [np.zeros((2, 2), np.uint8)]])
def test_a_page_without_pseudo_labels_says_why(trained, monkeypatch, pseudo):
    drawn = []
    monkeypatch.setattr(pictures, "inspect_images", lambda *_: [SimpleNamespace(pseudo=pseudo)])
    monkeypatch.setattr(pictures, "picture_page", lambda *_, caption, **__: drawn.append(caption))
    draw(Run(trained), restore(str(trained), None, []).config, "A caption.")
    told = "" if pseudo else " No pseudo-labels are made before iteration 3, where L_seg starts."
    assert drawn == [f"A caption.{told}"]


class TestInTraining:
    def test_it_influences_nothing(self, judged, trained, helpers):
        one, other = Run(judged), Run(trained)
        assert one.status.fingerprint == other.status.fingerprint
        rows = [row for row in helpers.rows(judged) if not any(key.startswith("quality/") for key in row)]
        assert rows == helpers.rows(trained)
        weights = [torch.load(run.path / "checkpoints/iter_000024.pth")["state_dict"] for run in (one, other)]
        assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])

    def test_scalars_tables_and_curves(self, judged, trained):
        run = Run(judged)
        rows = [row for row in run.scalars() if "quality/1/coverage" in row]
        assert [row["iter"] for row in rows] == [8, 16, 24]
        assert all(0 < row["quality/2/coverage"] <= 100 for row in rows)
        table = (judged / "evaluation/iter_000024/quality.csv").read_text().splitlines()
        assert table[0] == "student,class,precision,recall,OA"
        assert len(table) == 1 + 2 * len(Toy("val").classes)
        config = restore(str(judged), None, []).config
        drawn = quality_curves(config, run, starts(config.model))
        assert {path.name for path in drawn} == {f"quality_{name}.png" for name in (*YLABELS, "classes")}
        with Image.open(drawn[0]) as picture:
            assert picture.size == (1800, 1000)
        assert quality_curves(config, Run(trained), {}) == []
        lines = class_lines(run)
        assert list(lines) == list(Toy("val").classes[1:])
        _, name, precision, recall, _ = next(row.split(",") for row in table if row.startswith("2,") and row[-1] != ",")
        if name in lines:
            assert lines[name]["student 2", "precision"][-1] == (24, float(precision))
            assert lines[name]["student 2", "recall"][-1] == (24, float(recall))

    def test_without_masks_it_is_refused_before_the_run(self, tiny, tmp_path, capsys):
        root = tmp_path / "photos"
        (root / "images").mkdir(parents=True)
        Image.new("RGB", (40, 32)).save(root / "images" / "a.png")
        (root / "tags.csv").write_text("image,tags\na,cat\n")
        data = json.dumps({"type": "TaggedFolder", "root": str(root)})
        argv = ["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", f"data.train={data}", "data.val=None"]
        assert main([*argv, "evaluation.quality=2"]) == 2
        assert "evaluation.quality needs masks of data.train" in capsys.readouterr().err
        assert main([*argv, "evaluation.quality=-1"]) == 2
        assert "evaluation.quality is -1" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()
