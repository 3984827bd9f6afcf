"""Evaluation by the protocol of training time, and data without masks."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from dupl.cli import main
from dupl.data.tagged_folder import TaggedFolder
from dupl.data.toy import Toy
from dupl.engine import build
from dupl.engine.evaluation.evaluate import evaluate
from dupl.engine.evaluation.result import known_metrics
from dupl.engine.restore import restore
from dupl.errors import UserError
from dupl.method.cam import Maps
from dupl.runs.run import Run

SETTINGS = dict(size=32, cam_threshold=0.5, batch_size=3, subset=dict(name="", classes=[]))


class Oracle(nn.Module):
    """Knows the masks; ``noise`` spoils what it says of each image, in the same way each time.

    Args:
        source: Images of one size, which are asked for in order.
        noise: Size of what is added to logits, maps and scores.
    """

    def __init__(self, source, noise: float = 0.0) -> None:
        super().__init__()
        self.students = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
        self.source, self.noise, self.seen = source, noise, 0

    def predict(self, images, present):
        batch = range(self.seen, self.seen + len(images))
        self.seen += len(images)
        answers = []
        for student in range(2):
            parts = [self.one(i, student, present.index.shape[1]) for i in batch]
            scores, logits, maps = (torch.stack(p) for p in zip(*parts, strict=True))
            answers.append((scores, logits, Maps(maps, maps)))
        return answers

    def one(self, i, student, slots):
        generator = torch.Generator().manual_seed(10 * i + student)
        noise = lambda x: x + self.noise * torch.rand(x.shape, generator=generator)  # noqa: E731
        mask = torch.from_numpy(self.source.mask(i)).long()
        truth = F.one_hot(mask.masked_fill(mask == 255, 0), self.source.K + 1).permute(2, 0, 1).float()
        tags = torch.from_numpy(self.source.tags(i))
        logits, heat, scores = noise(truth), noise(truth[1:][tags > 0]), noise(2 * tags - 1)
        return scores, logits, F.pad(heat, (0, 0, 0, 0, 0, slots - len(heat)))


@pytest.fixture(scope="module")
def toy():
    return Toy("val", size=32, count=7)


def test_a_perfect_prediction_is_perfect(toy):
    found = evaluate(Oracle(toy), toy, SETTINGS)
    maps = {f"{kind}/{who}" for kind in ("cam", "seg") for who in ("1", "2", "mean")}
    assert set(found.tallies) == {*maps, "aux_cam/1", "aux_cam/2"} and set(found.listed) == maps
    for name, value in found.metrics.items():
        assert value == (0 if name.endswith("/OA") else 100), name
    assert sum(t.matrix.sum() for t in found.tallies.values()) == 8 * sum((toy.mask(i) != 255).sum() for i in range(7))


def test_the_size_of_a_batch_changes_nothing(toy):
    found = [evaluate(Oracle(toy, noise=2.0), toy, SETTINGS | {"batch_size": size}) for size in (1, 3, 7)]
    assert 0 < found[0].metrics["seg/1/mIoU"] < 90
    assert found[0].metrics["seg/1/mIoU"] != found[0].metrics["seg/2/mIoU"]
    for other in found[1:]:
        np.testing.assert_equal(other.metrics, found[0].metrics)


def test_nor_with_a_real_model(trained):
    restored = restore(str(trained), None, [])
    source = build.build_dataset(restored.config, "val")
    model = restored.model(source.classes)
    one, other = (evaluate(model, source, SETTINGS | {"batch_size": size}).metrics for size in (1, 5))
    assert one == pytest.approx(other, abs=0.3, nan_ok=True)  # rounding may move a pixel


def test_means_of_students_average_probabilities_and_maps(toy):
    class TwoMinds(Oracle):
        """The first is sure and wrong, the second unsure and right."""

        def predict(self, images, present):
            (scores, logits, maps), _ = super().predict(images, present)
            empty = Maps(torch.zeros_like(maps.main), maps.aux)
            return [(scores, 4 * logits.roll(1, 1), empty), (scores, 0.2 * logits, maps)]

    metrics = evaluate(TwoMinds(toy), toy, SETTINGS).metrics
    assert metrics["seg/1/mIoU"] == 0
    assert metrics["seg/2/mIoU"] == metrics["cam/2/mIoU"] == 100
    assert metrics["seg/mean/mIoU"] == 0, "probabilities, not votes"
    assert metrics["cam/mean/mIoU"] == metrics["cam/1/mIoU"], "half of 1 is not above a threshold of a half"
    assert metrics["aux_cam/1/mIoU"] == metrics["aux_cam/2/mIoU"] == 100, "the auxiliary CAMs of both are right"


def test_files_of_an_evaluation_agree(trained):
    folder = trained / "evaluation" / "iter_000024"
    facts = json.loads((folder / "metrics.json").read_text())
    assert facts["protocol"] == "squashed, no CRF"
    assert (facts["size"], facts["iter"], facts["data"]["split"]) == (32, 24, "val")
    tables = {
        name: list(csv.DictReader((folder / f"{name}.csv").read_text().splitlines()))
        for name in ("confusion", "per_image", "per_class")
    }
    for kind in ("cam/1", "seg/2", "seg/mean"):
        rows = [row for row in tables["confusion"] if row["map"] == kind]
        classes = [row["truth"] for row in rows]
        matrix = np.array([[int(row[c]) for c in classes] for row in rows])
        images = [row for row in tables["per_image"] if row["map"] == kind]
        ious = []
        for c, name in enumerate(classes):
            tp, fp, fn = (sum(int(r[k]) for r in images if r["class"] == name) for k in ("TP", "FP", "FN"))
            assert (tp, fp, fn) == (matrix[c, c], matrix[:, c].sum() - tp, matrix[c].sum() - tp)
            (row,) = [r for r in tables["per_class"] if (r["map"], r["class"]) == (kind, name)]
            assert int(row["pixels"]) == tp + fn
            assert row["OA"] == "" if tp + fp == 0 else float(row["OA"]) == pytest.approx(100 * fp / (tp + fp))
            if tp + fn:
                ious.append(100 * tp / (tp + fp + fn))
                assert float(row["IoU"]) == pytest.approx(ious[-1])
        assert facts["metrics"][f"{kind}/mIoU"] == pytest.approx(np.mean(ious))


def test_a_subset_of_classes(toy):
    subset = dict(name="mIoU-2", classes=[toy.classes[0], toy.classes[3]])
    found = evaluate(Oracle(toy, noise=2.0), toy, SETTINGS | {"subset": subset})
    ious = {row.class_name: row.iou for row in found.class_rows() if row.label_map == "seg/1"}
    assert found.metrics["seg/1/mIoU-2"] == pytest.approx((ious[toy.classes[0]] + ious[toy.classes[3]]) / 2)
    with pytest.raises(UserError, match="evaluation.subset: no class 'unicorn'"):
        evaluate(Oracle(toy), toy, SETTINGS | {"subset": dict(name="x", classes=["unicorn"])})


@pytest.mark.parametrize("subset", [dict(name="", classes=[]), dict(name="mIoU-1", classes=["background"])])
def test_its_metrics_are_known_before(toy, subset):
    settings = SETTINGS | {"subset": subset}
    assert set(known_metrics(settings, toy, 2)) == set(evaluate(Oracle(toy), toy, settings).metrics)
    with_one = known_metrics(settings, toy, 1)
    assert "seg/best/mIoU" in with_one
    assert not any("/2/" in name or "/mean/" in name for name in with_one)


def test_the_mode_of_the_model_stays(toy):
    model = Oracle(toy).train()
    evaluate(model, toy, SETTINGS)
    assert model.training


@pytest.fixture
def folder(tmp_path):
    """Four photos with two classes; no masks."""
    root = tmp_path / "photos"
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i, name in enumerate("abcd"):
        pixels = rng.integers(0, 255, (30 + i, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.png")
    (root / "tags.csv").write_text("image,tags\na,cat\nb,dog\nc,cat dog\nd,cat\n")
    return root


def add_mask(root, name, label=1):
    (root / "masks").mkdir(exist_ok=True)
    mask = np.zeros(Image.open(root / "images" / f"{name}.png").size[::-1], np.uint8)
    mask[:9, :9] = label
    Image.fromarray(mask).save(root / "masks" / f"{name}.png")


def sets_of(root, **more) -> list[str]:
    """Overrides that take the photos for train and val; more arguments by split."""
    both = {split: {"type": "TaggedFolder", "root": str(root), **more.get(split, {})} for split in ("train", "val")}
    return [f"data.{split}={entry!r}" for split, entry in both.items()]


def test_images_without_a_mask_still_count_as_classified(folder, trained, tiny):
    add_mask(folder, "b", label=2)
    source = TaggedFolder(str(folder))
    model = build.build_model(restore(str(trained), None, []).config, 3, torch.device("cpu"))
    found = evaluate(model, source, SETTINGS)
    assert {row[0] for row in np.concatenate(found.tallies["seg/1"].per_image)} == {1}
    assert found.tallies["seg/1"].matrix.sum() == 31 * 40, "at the mask's own size"
    assert found.class_scores.tags.tolist() == [[1, 0], [0, 1], [1, 1], [1, 0]]


def test_training_says_what_the_data_lack_and_refuses_what_it_cannot_read(folder, tiny, tmp_path, capsys):
    (folder / "tags.csv").write_text("image,tags,split\na,cat,train\nb,dog,train\nc,cat dog,0\nd,cat,0\n")
    (folder / "images" / "d.png").unlink()
    (folder / "images" / "d.png").hardlink_to(folder / "images" / "a.png")
    add_mask(folder, "c", label=255)
    sets = [*sets_of(folder, train={"split": "train"}, val={"split": "0"}), "schedule.iterations=2"]
    run = tmp_path / "said"
    assert main(["train", tiny, "--work-dir", str(run), "--set", *sets]) == 0
    lines = capsys.readouterr().err.splitlines()
    table = folder / "tags.csv"
    assert any(line.startswith("all 2 iterations are warm-up, because schedule.warmup is 3: ") for line in lines)
    assert f"classes as {table} names them: cat, dog; classes=[...] states and orders them" in lines
    assert "val: 1 of 2 images are in train too (d), so scores are too high; remove them" in lines
    hint = f"(expected {folder / 'masks' / 'd.png'}, found {folder / 'masks' / 'c.png'})"
    judged = (
        "1 of 2 images have a mask, and the mIoU is of these alone; they hold only 0 (background){}: "
        "the mIoU is of background alone; write the ids 1 to 2 of the classes into them"
    )
    assert f"val: {judged.format(' and 255 (void)')} {hint}" in lines
    assert main(["eval", str(run)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert f"val: {judged.format('')}" in lines and f"data.val: masks are missing {hint}" in lines
    (folder / "images" / "b.png").unlink()
    assert main(["train", tiny, "--work-dir", str(tmp_path / "refused"), "--set", *sets]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("dupl: train: 1 of 2 photos are missing, the first is ")
    assert not (tmp_path / "refused").exists()


def test_masks_of_turned_photos_are_refused_where_nobody_can_tell(folder, tiny, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(folder / "images" / "a.png") as photo:
        photo.save(folder / "images" / "a.png", exif=exif)
    add_mask(folder, "a")
    sets = [*sets_of(folder), "schedule.iterations=2"]
    run = tmp_path / "run"
    assert main(["train", tiny, "--work-dir", str(run), "--set", *sets]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("dupl: data.val: masks of a may lie on the turned or on the stored photo")
    said = [*sets_of(folder, val={"upright": True}), sets[-1]]
    assert main(["train", tiny, "--work-dir", str(run), "--set", *said]) == 0
    assert main(["eval", str(run), "--set", "data.val.upright=None"]) == 2
    assert "data.val: masks of a may lie on" in capsys.readouterr().err.splitlines()[-1]
    assert main(["eval", str(run)]) == 0


def test_a_label_out_of_range_names_the_image(folder, tiny, tmp_path, capsys):
    add_mask(folder, "a")
    add_mask(folder, "c", label=9)
    run = tmp_path / "strange"
    sets = [*sets_of(folder), "schedule.iterations=2"]
    assert main(["train", tiny, "--work-dir", str(run), "--set", *sets]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last == "dupl: data.val, mask of image c: label 9 in a mask of 3 classes; run dupl data check"
    assert not Run(run).exists(), "told before the run begins"


def test_without_masks_tags_validate_and_choose_the_checkpoint_but_no_student(folder, tiny, tmp_path, capsys):
    run = tmp_path / "maskless"
    sets = [*sets_of(folder), "schedule.iterations=4", "runtime.checkpoint_interval=4"]
    assert main(["train", tiny, "--work-dir", str(run), "--set", *sets]) == 0
    lines = capsys.readouterr().err.splitlines()
    expected = folder / "masks" / "a.png"
    told = "val: no image of 4 has a mask: there is no mIoU, and its tags alone (mAP, F1) judge it"
    assert f"{told} (expected {expected})" in lines
    assert any("its mAP chooses the best checkpoint, but no student" in line for line in lines)
    facts = json.loads((run / "evaluation" / "iter_000004" / "metrics.json").read_text())
    assert facts["judged"] == {"images": 0, "of_images": 4, "classes": 0, "of_classes": 3}
    assert set(facts["metrics"]) == {f"cls/{who}/{name}" for who in ("1", "2", "mean") for name in ("mAP", "F1")}
    best = torch.load(run / "checkpoints" / "best.pth", weights_only=True)["meta"]
    assert best["cls/mean/mAP"] == facts["metrics"]["cls/mean/mAP"]
    assert main(["eval", str(run)]) == 0
    said = capsys.readouterr()
    assert "val: no image of 4 has a mask" in said.err and "mAP" in said.out and "mIoU" not in said.out
    for protocol in ("final", "cam"):
        assert main(["eval", str(run), "--protocol", protocol]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("dupl: this protocol needs masks") and line.endswith(f"; expected {expected}")
    out = tmp_path / "out"
    assert main(["infer", str(run), str(folder / "images"), "--out", str(out)]) == 0
    assert {f.name for f in (out / "masks").iterdir()} == {"a.png", "b.png", "c.png", "d.png"}
    assert json.loads((out / "infer.json").read_text())["student"] == "mean"


def test_sets_with_other_classes_are_refused(folder, tiny, tmp_path, capsys):
    sets = sets_of(folder)
    sets[1] = sets[1].replace("}", ', "classes": ["dog", "cat"]}')
    assert main(["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", *sets]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "data.val has other classes than data.train (background, dog, cat; background, cat, dog)" in line
    assert not (tmp_path / "run").exists()


def test_one_class_is_enough(folder, tiny, tmp_path):
    (folder / "tags.csv").write_text("image,tags\na,cat\nb,\nc,cat\nd,cat\n")
    add_mask(folder, "a")
    run = tmp_path / "single"
    sets = [*sets_of(folder), "schedule.iterations=8"]
    assert main(["train", tiny, "--work-dir", str(run), "--set", *sets]) == 0
    metrics = Run(run).read_json("evaluation/iter_000008/metrics.json")["metrics"]
    assert 0 <= metrics["cls/1/mAP"] <= 100
