"""The protocols, their names and files, going on after an interruption, and the VOC submission."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from dupl.cli import main
from dupl.config.schema import CRF
from dupl.data.classes import VOC_CLASSES
from dupl.data.tagged_folder import TaggedFolder
from dupl.data.toy import Toy
from dupl.data.views import normalize
from dupl.engine import build
from dupl.engine.evaluation import checkpoint, submission, write
from dupl.engine.evaluation import final as final_module
from dupl.engine.evaluation.cache import LabelCache
from dupl.engine.evaluation.crf import dense_crf, pool
from dupl.engine.evaluation.crf.parameters import BACKENDS
from dupl.engine.evaluation.evaluate import evaluate, evaluate_by
from dupl.engine.evaluation.final import FinalProtocol
from dupl.engine.evaluation.options import EvaluationOptions
from dupl.engine.evaluation.pictures import image_rows
from dupl.engine.evaluation.scaled_logits import over_scales, patch_logits
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.evaluation.train_time import CamProtocol, TrainTimeProtocol
from dupl.engine.restore import restore
from dupl.errors import RunError, UserError
from dupl.runs.config import read_config_values
from dupl.runs.evaluation import StoredEvaluation, read_evaluations
from dupl.runs.tallies import THRESHOLDS, ThresholdTally, confusion

SETTINGS = dict(size=32, cam_threshold=0.5, batch_size=3, subset=dict(name="", classes=[]))


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Starting a pool takes seconds; test_crf.py has it."""
    monkeypatch.setattr(pool, "cores", lambda: 0)


@pytest.fixture(scope="module")
def model(trained):
    restored = restore(str(trained), None, [])
    return restored.model(restored.classes())


@pytest.fixture
def photos(tmp_path, model):
    """Four scenes of odd sizes with the toy's classes, tags and masks."""
    toy = Toy("val", size=64, count=4)
    root = tmp_path / "photos"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = ["image,tags"]
    for i, (height, width) in enumerate([(50, 37), (33, 64), (41, 41), (64, 21)]):
        Image.fromarray(toy.image(i)[:height, :width]).save(root / "images" / f"p{i}.png")
        Image.fromarray(toy.mask(i)[:height, :width]).save(root / "masks" / f"p{i}.png")
        rows.append(f"p{i},{' '.join(c for c, on in zip(toy.classes[1:], toy.tags(i), strict=True) if on)}")
    (root / "tags.csv").write_text("\n".join(rows) + "\n")
    return root, TaggedFolder(str(root), classes=list(toy.classes))


def naive_logits(net, image: np.ndarray, scales, over: str) -> torch.Tensor:
    """Every scale and flip a pass of its own, brought to the image's size before anything is added, (C, H, W)."""
    x, (height, width) = normalize(image)[None], image.shape[:2]
    patch, found = net.backbone.patch, []
    for scale in scales:
        size = [int(scale * side) for side in (height, width)]
        rows = columns = slice(None)
        if net.backbone.fit == "drop":
            rows, columns = (slice(side // patch * patch) for side in size)
        else:
            size = [max(1, round(side / patch)) * patch for side in size]
        scaled = F.interpolate(x, size, mode="bilinear", align_corners=False)
        passes = [net.segment(view[..., rows, columns]) for view in (scaled, scaled.flip(-1))]
        straight, mirrored = (F.interpolate(p, (height, width), mode="bilinear", align_corners=False) for p in passes)
        found.append((straight + mirrored.flip(-1))[0])
    return torch.stack(found).amax(0) if over == "max" else torch.stack(found).sum(0)


def in_another_process(work):
    """What it returns there; here it fails."""
    here = os.getpid()

    def spy(*given):
        assert os.getpid() != here
        return work(*given)

    return spy


class TestFinal:
    @pytest.mark.parametrize("fit", ["round", "drop"])
    @pytest.mark.parametrize("over", ["max", "sum"])
    def test_against_a_plain_loop(self, model, photos, over, fit, monkeypatch):
        _, source = photos
        for net in model.students:
            monkeypatch.setattr(net.backbone, "fit", fit)
        protocol = FinalProtocol({"over_scales": over}, MapSelection.of([], 2))
        found = {f.index: f.labels[protocol.name] for f in protocol.stream(model, source, range(4), 0)}
        for i in range(4):
            with torch.no_grad():
                logits = [naive_logits(net, source.image(i), (1.0, 1.5, 1.25), over) for net in model.students]
                image, size = normalize(source.image(i))[None], source.image(i).shape[:2]
                ours = patch_logits(model.students[0], image, size, (1.0, 1.5, 1.25))
                large = [F.interpolate(p, size, mode="bilinear", align_corners=False) for p in ours]
            assert torch.allclose(over_scales(large, over)[0], logits[0], atol=1e-4)
            mean = torch.stack([p.softmax(0) for p in logits]).mean(0)
            wanted = {"seg/1": logits[0], "seg/2": logits[1], "seg/mean": mean}
            assert found[i].keys() == wanted.keys()
            for name, maps in wanted.items():
                assert found[i][name].shape == source.mask(i).shape
                assert (found[i][name] == maps.argmax(0).numpy()).mean() > 0.999, "rounding may move a pixel"

    def test_a_base_size_squashes_first(self, model, photos):
        _, source = photos
        protocol = FinalProtocol({"size": 32, "scales": [1.0]}, MapSelection.of(["1"], 2))
        (found,) = protocol.stream(model, source, [0], 0)
        x = F.interpolate(normalize(source.image(0))[None], (32, 32), mode="bilinear", align_corners=False)
        with torch.no_grad():
            logits = model.students[0].segment(x) + model.students[0].segment(x.flip(-1)).flip(-1)
        wanted = F.interpolate(logits, (50, 37), mode="bilinear", align_corners=False)[0].argmax(0).numpy()
        assert (found.labels[protocol.name]["seg/1"] == wanted).mean() > 0.999

    def test_only_the_students_asked_for_work(self, model, photos, monkeypatch):
        asked = []
        original = final_module.patch_logits
        spy = lambda net, *rest: asked.append(net) or original(net, *rest)  # noqa: E731
        monkeypatch.setattr(final_module, "patch_logits", spy)
        for chosen, nets, maps in ((["2"], 1, ["seg/2"]), (["best"], 2, ["seg/1", "seg/2"]), (["mean"], 2, None)):
            asked.clear()
            protocol = FinalProtocol({}, MapSelection.of(chosen, 2))
            (found,) = protocol.stream(model, photos[1], [2], 0)
            assert list(found.labels[protocol.name]) == (maps or ["seg/mean"])
            assert len(asked) == nets

    def test_the_crf_gets_what_it_must(self, model, photos):
        _, source = photos
        protocol = FinalProtocol({}, MapSelection.of([], 2), CRF(), present_only=True)
        plain = FinalProtocol({}, MapSelection.of([], 2))
        before = {f.index: f.labels[plain.name] for f in plain.stream(model, source, range(4), 0)}
        for found in protocol.stream(model, source, range(4), 0):
            assert set(found.labels) == {plain.name, protocol.name}
            assert all(np.array_equal(found.labels[plain.name][n], m) for n, m in before[found.index].items())
            maps = protocol.probabilities(model, source.image(found.index))
            tagged = (0, *(np.flatnonzero(source.tags(found.index)) + 1).tolist())
            job = dense_crf.RefineJob(source.image(found.index), torch.stack(maps).numpy(), tagged)
            wanted = dense_crf.refine(job, CRF(), "torch")
            refined = found.labels[protocol.name]
            assert [n for n in refined] == ["seg/1", "seg/2", "seg/mean"]
            assert all(np.array_equal(a, b) for a, b in zip(refined.values(), wanted, strict=True))
            assert set(np.unique(np.stack(list(refined.values())))) <= set(tagged)

    def test_processes_say_what_one_says(self, model, photos, monkeypatch):
        _, source = photos
        protocol = FinalProtocol({}, MapSelection.of(["1"], 2), CRF(iterations=2))
        alone = {f.index: f.labels for f in protocol.stream(model, source, range(4), 0)}
        monkeypatch.setattr(pool, "cores", lambda: 2)
        monkeypatch.setattr(final_module, "patch_logits", in_another_process(final_module.patch_logits))
        for found in protocol.stream(model, source, range(4), 0):
            assert np.array_equal(found.mask, source.mask(found.index))
            for name, maps in found.labels.items():
                assert np.array_equal(maps["seg/1"], alone[found.index][name]["seg/1"])

    def test_a_mistake_in_a_process_is_one_line(self, model, photos, monkeypatch):
        root, source = photos
        (root / "images" / "p3.png").write_bytes(b"no picture")
        monkeypatch.setattr(pool, "cores", lambda: 2)
        with pytest.raises(UserError, match=r"^[^\n]*p3\.png[^\n]*$"):
            evaluate_by(FinalProtocol({}, MapSelection.of(["1"], 2)), model, source, SETTINGS)

    def test_a_dead_process_is_told_with_the_remedy(self, model, photos, monkeypatch):
        monkeypatch.setattr(pool, "cores", lambda: 2)
        monkeypatch.setattr(final_module, "patch_logits", lambda *_: os._exit(3))
        with pytest.raises(RunError, match="a process died.*repeat the command"):
            list(FinalProtocol({}, MapSelection.of(["1"], 2)).stream(model, photos[1], range(4), 0))

    def test_a_mask_of_another_size_is_told(self, model, photos):
        root, source = photos
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(root / "masks" / "p2.png")
        with pytest.raises(UserError, match="mask of image p2: 5x6 pixels, its photo has 41x41; run dupl data check"):
            evaluate_by(FinalProtocol({}, MapSelection.of(["1"], 2)), model, source, SETTINGS)


class TestCam:
    def test_the_curve_is_that_of_separate_evaluations(self, model):
        source = Toy("val", size=32, count=5)
        protocol = CamProtocol(SETTINGS, MapSelection.of([], 2))
        evaluate_by(protocol, model, source, SETTINGS)
        assert sorted(protocol.curves) == ["cam/1", "cam/2", "cam/mean"]
        for k in (0, 4, 9, 18):
            alone = CamProtocol(SETTINGS, MapSelection.of([], 2), threshold=THRESHOLDS[k])
            found = evaluate_by(alone, model, source, SETTINGS)[alone.name]
            for name, curve in protocol.curves.items():
                assert np.array_equal(curve.matrices()[k], found.tallies[name].matrix), (name, k)

    def test_hand_counted(self):
        tally = ThresholdTally(3, (0.25, 0.5))
        truth = np.array([[0, 1, 2, 255]], np.uint8)
        tally.add(truth, np.array([[1, 1, 1, 2]]), np.array([[0.3, 0.6, 0.5, 0.9]], np.float32))
        low, high = tally.matrices()
        assert low.tolist() == [[0, 1, 0], [0, 1, 0], [0, 1, 0]]
        assert high.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]], "0.5 does not exceed 0.5"
        assert np.array_equal(high, confusion(truth, np.array([[0, 1, 0, 0]]), 3))

    def test_it_is_the_cam_of_training_time(self, model):
        source = Toy("val", size=32, count=5)
        protocol = CamProtocol(SETTINGS, MapSelection.of([], 2))
        found = evaluate_by(protocol, model, source, SETTINGS)[protocol.name].metrics
        whole = evaluate(model, source, SETTINGS).metrics
        assert found == {k: v for k, v in whole.items() if not k.startswith(("seg/", "aux_cam/"))}

    def test_thresholds_outside_are_refused(self):
        with pytest.raises(UserError, match="give a number from 0 to 1"):
            CamProtocol(SETTINGS, MapSelection.of([], 2), 1.5)


class TestPanels:
    def test_label_maps_before_and_after_the_crf(self, model, photos, tmp_path):
        _, source = photos
        protocol = FinalProtocol({}, MapSelection.of(["2"], 2), CRF(iterations=2))
        assert image_rows(protocol, protocol.name, model, source, [0]) == [], "nothing is kept"
        protocol.caches = {name: LabelCache(tmp_path / name, {}) for name in protocol.parts}
        (found,) = protocol.stream(model, source, [2], 0)
        assert image_rows(protocol, protocol.name, model, source, [0]) == []
        (panel,) = image_rows(protocol, protocol.name, model, source, [0, 2])
        assert panel.who == ("student 2, no CRF", "student 2, CRF")
        wanted = [found.labels[name]["seg/2"] for name in (protocol.plain, protocol.name)]
        assert all(np.array_equal(a, b) for a, b in zip(panel.prediction, wanted, strict=True))
        (plain,) = image_rows(protocol, protocol.plain, model, source, [2])
        assert plain.who == ("student 2",)
        assert np.array_equal(plain.truth, source.mask(2))
        assert plain.tags == tuple(source.classes[c] for c in np.unique(source.mask(2)) if c not in (0, 255))

    def test_cams_are_those_that_were_counted(self, model, photos):
        _, source = photos
        for kind in (TrainTimeProtocol, CamProtocol):
            protocol = kind(SETTINGS, MapSelection.of([], 2))
            wanted = {f.index: f.labels[protocol.name] for f in protocol.stream(model, source, range(4), 0)}
            counted = [c.counts.sum() for c in getattr(protocol, "curves", {}).values()]
            for i, panel in enumerate(image_rows(protocol, protocol.name, model, source, range(4))):
                assert panel.who == ("student 1", "student 2", "average")
                names = ("cam/1", "cam/2", "cam/mean")
                assert all((a == wanted[i][n]).mean() > 0.999 for a, n in zip(panel.cam_labels, names, strict=True))
                assert all(((h > 0.5) == (y > 0)).all() for h, y in zip(panel.cams, panel.cam_labels, strict=True))
                assert len(panel.prediction) == (3 if kind is TrainTimeProtocol else 0)
            assert counted == [c.counts.sum() for c in getattr(protocol, "curves", {}).values()], "not counted again"


class TestNames:
    def test_no_two_ways_share_one(self, monkeypatch):
        monkeypatch.setattr(dense_crf, "require", lambda backend: None)  # a name needs no package
        students = [(), ("1",), ("2",), ("best",), ("mean",), ("1", "mean")]
        ways = [
            {"size": size, "cam_threshold": t, "final": {"scales": scales, "over_scales": over, "size": base}, "crf": c}
            for size, t in ((32, 0.5), (32, 0.45), (64, 0.5))
            for scales, over, base in (([1.0], "max", None), ([1.0, 1.5], "max", None), ([1.0], "sum", None))
            for c in ({}, {"srgb": 13}, {"iterations": 5})
        ] + [{**SETTINGS, "final": {"scales": [1.0], "over_scales": "max", "size": 448}, "crf": {}}]
        settings = [{**SETTINGS, **way} for way in ways]
        facts = {}
        for setting, who, protocol in itertools.product(settings, students, ("train", "final", "cam")):
            backends = (None, *BACKENDS)
            for refine, backend, present in itertools.product((None, True, False), backends, (True, False)):
                try:
                    found = EvaluationOptions(protocol, who, refine, backend, present).build(setting, 2)
                except UserError:
                    continue
                assert list(found.parts)[-1] == found.name
                for name, part in found.parts.items():
                    assert name.replace(".", "").replace("-", "").replace("_", "").isalnum(), name
                    what = json.dumps([protocol, who, part.facts])
                    assert facts.setdefault(name, what) == what, name
        assert len(facts) >= 300, "fewer, and the loops above have lost a way"

    def test_selection(self):
        assert MapSelection.of([], 2) == MapSelection.of(["best", "mean", "1", "2"], 2) == MapSelection((0, 1), True)
        assert MapSelection.of([], 1) == MapSelection((0,), False)
        assert MapSelection.of(["best"], 2) == MapSelection((0, 1), False, "-student-best")
        assert MapSelection.of(["2"], 2).maps("cam") == ["cam/2"]
        with pytest.raises(UserError, match="student 3: this model has 1, 2, best, mean"):
            MapSelection.of(["3"], 2)
        with pytest.raises(UserError, match="this model has 1, best"):
            MapSelection.of(["mean"], 1)

    def test_the_protocol_of_training_time_is_one_of_them(self):
        assert TrainTimeProtocol(SETTINGS, MapSelection.of([], 2)).name == "train-32-t0.5"

    @pytest.mark.parametrize(
        ("choice", "told"),
        [
            (EvaluationOptions("fianl"), "protocol is 'fianl'; give one of train, final, cam"),
            (EvaluationOptions("final", threshold=0.3), "a threshold belongs to CAMs"),
            (
                EvaluationOptions("cam", present_only=True),
                "present_only .* belongs to the protocol final",
            ),
            (
                EvaluationOptions("train", keep_logits=True),
                "keep_logits .* belongs to the protocol final",
            ),
            (
                EvaluationOptions("cam", backend="pydensecrf"),
                r"crf_backend \(--crf-backend\) belongs to the protocol final",
            ),
            (EvaluationOptions("train", refine=True), r"crf \(--crf\) belongs to the protocol final, not to train"),
            (EvaluationOptions("final", refine=False, present_only=True), "cannot go without the CRF"),
        ],
    )
    def test_options_that_do_not_go_together(self, choice, told):
        with pytest.raises(UserError, match=told):
            choice.build(SETTINGS, 2)


@pytest.fixture
def run(trained, tmp_path, photos):
    """Arguments of an evaluation on the photos, and where it goes."""
    root, _ = photos
    data = f'data.val={{"type": "TaggedFolder", "root": "{root}", "classes": {json.dumps(list(Toy("val").classes))}}}'
    sets = ["--checkpoint", "best", "--out", str(tmp_path / "out"), "--set", data, "runtime.workers=0"]
    return ["eval", str(trained), "--protocol", "final", *sets], tmp_path / "out"


def test_an_evaluation_with_the_settings_of_training_is_named_as_training_names_it(trained, tmp_path):
    """`dupl eval` gives what training would have written, so tables may show both in one column."""

    def made(*words: str) -> StoredEvaluation:
        copy = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        shutil.copytree(trained, copy)
        assert main(["eval", str(copy), "--checkpoint", "last", *words]) == 0
        (found,) = [one for one in read_evaluations(copy)[0] if one.checkpoint]
        return found

    of_training = next(one for one in read_evaluations(trained)[0] if one.last)
    alike = made()
    assert (alike.name, alike.title) == (of_training.name, of_training.title) == ("train", "squashed, no CRF")
    assert alike.metrics == pytest.approx(of_training.metrics, nan_ok=True)
    size = read_config_values(trained)["evaluation"]["size"]
    for words, name in (
        (["--threshold", "0.3"], f"train-{size}-t0.3"),
        (["--student", "1"], f"train-{size}-t0.5-student-1"),
        (["--set", f"evaluation.size={size + 8}"], f"train-{size + 8}-t0.5"),
        (["--set", "model.cam_scales=[1.0]"], f"train-{size}-t0.5"),
        (["--set", "runtime.precision=bf16"], f"train-{size}-t0.5"),
    ):
        other = made(*words)
        assert other.name == name and other.title.startswith("squashed to ")


class TestEval:
    NAMES = ("val_final-1-1.5-1.25_best", "val_final-1-1.5-1.25-crf-torch_best")

    def test_it_goes_on_where_it_stopped(self, run, capsys, monkeypatch):
        argv, out = run
        assert main(argv) == 0
        text = " ".join(capsys.readouterr().out.split())  # titles wrap at the width of their table
        assert "no CRF" in text
        assert "dense CRF" in text
        assert {f.name for f in out.iterdir()} == set(self.NAMES)
        for name, kept in zip(self.NAMES, ("labels", "crf"), strict=True):
            there = {f.name for f in (out / name).iterdir()}
            assert {kept, f"{kept}.json", "metrics.json", "confusion_seg_1.png", "over_activation_seg.png"} <= there
            assert "pictures.png" in there
            assert {f.name for f in (out / name / kept / "mean").iterdir()} == {f"p{i}.png" for i in range(4)}
            facts = json.loads((out / name / "metrics.json").read_text())
            assert facts["name"] in name
            assert ("dense CRF (torch)" in facts["protocol"]) == (kept == "crf")
        tables = [{f.name: f.read_text() for f in (out / name).glob("*.csv")} for name in self.NAMES]
        assert tables[0] != tables[1]

        for name in ("confusion_picture", "overactivation_bars", "picture_page"):  # half a second each
            monkeypatch.setattr(checkpoint if name == "picture_page" else write, name, lambda *_: None)
        seen = []
        original = final_module.patch_logits
        spy = lambda *a: seen.append(1) or original(*a)  # noqa: E731
        monkeypatch.setattr(final_module, "patch_logits", spy)
        (out / self.NAMES[1] / "crf/2/p1.png").unlink()
        (out / self.NAMES[1] / "crf/1/p3.png").write_bytes(b"half")
        capsys.readouterr()
        assert main(argv) == 0
        assert "the label maps of 2 images are those of an earlier command" in " ".join(capsys.readouterr().err.split())
        assert len(seen) == 2 * 2, "two images, two students"
        assert tables == [{f.name: f.read_text() for f in (out / name).glob("*.csv")} for name in self.NAMES]
        assert main([*argv[:4], "--no-crf", *argv[4:]]) == 0
        assert len(seen) == 4, "without the CRF nothing is left to do"
        assert main([*argv, "evaluation.crf.srgb=13"]) == 0
        assert {f.name for f in out.iterdir()} == {*self.NAMES, "val_final-1-1.5-1.25-crf-torch-srgb13_best"}

    def test_interrupted_it_says_that_the_same_command_goes_on(self, run, capsys, monkeypatch):
        def stop(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(checkpoint, "evaluate_by", stop)
        assert main(run[0]) == 130
        assert "the same command continues with them" in " ".join(capsys.readouterr().err.split())
        kept = run[1] / self.NAMES[1] / "crf" / "1" / "p0.png"  # as if it had come so far
        kept.parent.mkdir(parents=True)
        kept.write_bytes(b"a label map")
        assert main([*run[0], "model.cam_scales=[1.0]"]) == 130
        assert kept.exists(), "another evaluation of the same name has another folder"

    def test_kept_logits_stand_for_the_network(self, run, trained, monkeypatch):
        argv, out = run
        for name in ("confusion_picture", "overactivation_bars", "picture_page"):
            monkeypatch.setattr(checkpoint if name == "picture_page" else write, name, lambda *_: None)
        passes = []
        original = final_module.patch_logits
        monkeypatch.setattr(final_module, "patch_logits", lambda *a: passes.append(1) or original(*a))

        def labels() -> dict[str, np.ndarray]:
            return {str(f.relative_to(out)): np.asarray(Image.open(f)) for f in sorted(out.rglob("*.png"))}

        assert main([*argv[:4], "--keep-logits", *argv[4:]]) == 0
        assert len(passes) == 2 * 4, "four photos, two students"
        wanted = labels()
        for name in self.NAMES:
            shutil.rmtree(out / name)
        assert main(argv) == 0
        assert main([*argv[:4], "--no-crf", "--student", "2", *argv[4:]]) == 0
        assert len(passes) == 8, "all follows from what is kept"
        again = labels()
        assert all(np.array_equal(again[name], labels) for name, labels in wanted.items())
        (out / "val_logits-1-1.5-1.25_best/2/p1.npz").write_bytes(b"half")
        assert main([*argv, "evaluation.crf.srgb=13"]) == 0
        assert len(passes) == 9, "one photo of one student"
        assert main([*argv, "evaluation.crf.srgb=15", "runtime.precision=bf16"]) == 0
        assert len(passes) == 17, "of another precision they are not"
        other = "model.network.head.dilation=2"  # of the same shapes
        assert main([*argv[:4], "--keep-logits", *argv[4:], other]) == 0
        assert len(passes) == 25, "of another network they are not"
        assert {f.name for f in out.iterdir() if f.name[-2:] in ("-2", "-3")} == {
            f"{self.NAMES[0]}-2",  # without the CRF, of the other precision
            f"{self.NAMES[0]}-3",
            f"{self.NAMES[1]}-2",
            "val_logits-1-1.5-1.25_best-2",
        }
        assert main([*argv, "evaluation.crf.srgb=17"]) == 0
        assert len(passes) == 26, "those of the first are still there, but for the damaged one"

    def test_the_checkpoint_is_named(self, run, trained, capsys):
        argv, out = run
        assert main(["eval", str(trained), *argv[4:], "--checkpoint", "iter_000020"]) == 0
        assert "val, iteration 20: squashed" in " ".join(capsys.readouterr().out.split())
        assert json.loads((out / "val_train-32-t0.5_iter_000020/metrics.json").read_text())["iter"] == 20
        assert main([*argv[:2], "--protocol", "cam", *argv[4:]]) == 0
        reached = json.loads((out / "val_cam-32-t0.5_best/metrics.json").read_text())["iter"]
        assert f"val, best, selected on val, iteration {reached}:" in " ".join(capsys.readouterr().out.split())
        assert reached in (8, 16, 24)

    def test_other_weights_are_never_mixed_in(self, run, trained, tmp_path, capsys):
        argv, out = run
        for place, source in enumerate(("best.pth", "iter_000020.pth")):  # the same name, other weights
            (tmp_path / "some.pth").write_bytes((trained / "checkpoints" / source).read_bytes())
            assert (
                main([*argv[:4], "--no-crf", "--student", "1", *argv[4:], "--checkpoint", str(tmp_path / "some.pth")])
                == 0
            )
            folder = sorted(out.iterdir())[place]
            assert len(list(out.iterdir())) == place + 1 and folder.name.endswith(("some", "some-2")[place])
            labels = [np.asarray(Image.open(f)) for f in sorted((folder / "labels/1").iterdir())]
            restored = restore(str(trained), str(trained / "checkpoints" / source), argv[argv.index("--set") + 1 :])
            data = build.build_dataset(restored.config, "val")
            protocol = FinalProtocol({}, MapSelection.of(["1"], 2))
            stream = protocol.stream(restored.model(data.classes), data, range(4), 0)
            wanted = {f.index: f.labels[protocol.name]["seg/1"] for f in stream}
            assert all(np.array_equal(labels[i], wanted[i]) for i in range(4)), source

    def test_other_settings_of_the_model_have_a_place_of_their_own(self, run, capsys):
        argv, out = run
        cam = [*argv[:2], "--protocol", "cam", *argv[4:]]
        for more, places in (([], 1), (["model.cam_scales=[1.0]"], 2), ([], 2), (["model.cam_scales=[1.0]"], 2)):
            assert main([*cam, *more]) == 0
            assert sorted(f.name for f in out.iterdir()) == ["val_cam-32-t0.5_best", "val_cam-32-t0.5_best-2"][:places]
        scales = [json.loads((f / "metrics.json").read_text())["cam_scales"] for f in sorted(out.iterdir())]
        assert len(scales[0]) > 1 and scales[1] == [1.0]

    def test_the_curve_is_written(self, run, capsys):
        argv, out = run
        assert main([*argv[:2], "--protocol", "cam", "--threshold", "0.4", *argv[4:]]) == 0
        folder = out / "val_cam-32-t0.4_best"
        facts = json.loads((folder / "metrics.json").read_text())
        rows = list(csv.DictReader((folder / "thresholds.csv").read_text().splitlines()))
        assert len(rows) == 3 * 19
        (row,) = [r for r in rows if (r["map"], r["threshold"]) == ("cam/1", "0.4")]
        assert float(row["mIoU"]) == pytest.approx(facts["metrics"]["cam/1/mIoU"])
        best = max(float(r["mIoU"]) for r in rows if r["map"] == "cam/2")
        assert facts["best_threshold"]["cam/2"]["mIoU"] == pytest.approx(best)
        with Image.open(folder / "thresholds.png") as picture:
            assert picture.size > (600, 300)


class TestSubmission:
    @pytest.fixture
    def voc(self, tmp_path):
        """Photos and a list; neither masks nor tags."""
        root = tmp_path / "VOC2012"
        (root / "JPEGImages").mkdir(parents=True)
        (root / "ImageSets/Segmentation").mkdir(parents=True)
        rng = np.random.default_rng(0)
        for i in range(3):
            Image.fromarray(rng.integers(0, 255, (20 + i, 30, 3), dtype=np.uint8)).save(root / f"JPEGImages/t{i}.jpg")
        (root / "ImageSets/Segmentation/test.txt").write_text("t0\nt1\nt2\n")
        return root

    @pytest.fixture
    def weights(self, tiny, tmp_path, voc):
        """A recipe of 21 classes and random weights of it."""
        recipe = tmp_path / "voc21.py"
        data = f"dict(_delete_=True, type='VOC', root={str(voc)!r}, split='test')"
        recipe.write_text(f"_base_ = [{tiny!r}]\ndata = dict(train={data}, val={data})\n")
        from dupl.config import catalogue

        file = tmp_path / "weights.pth"
        state = build.build_model(catalogue.load(recipe), 21, torch.device("cpu")).state_dict()
        torch.save({"state_dict": state}, file)
        return [str(recipe), "--checkpoint", str(file)]

    def argv(self, weights, voc, out) -> list[str]:
        return [
            "infer",
            *weights,
            "--voc-submission",
            "--root",
            str(voc),
            "--out",
            str(out),
            "--set",
            "runtime.workers=0",
        ]

    def test_layout_palette_and_archive(self, weights, voc, tmp_path, capsys, monkeypatch):
        out, argv = tmp_path / "out", self.argv(weights, voc, tmp_path / "out")
        assert main(argv) == 0
        assert "complete" in capsys.readouterr().err
        assert {f.name for f in out.iterdir()} == {"results", "results.tgz", "submission.json"}
        folder = out / "results/VOC2012/Segmentation/comp6_test_cls"
        with Image.open(folder / "t2.png") as picture:
            assert (picture.mode, picture.size) == ("P", (30, 22))
            assert picture.getpalette()[3:6] == [128, 0, 0]
            assert np.asarray(picture).max() < len(VOC_CLASSES)
        with tarfile.open(out / "results.tgz") as archive:
            names = archive.getnames()
            assert archive.extractfile(names[1]).read() == (folder / "t1.png").read_bytes()
        assert names == [f"results/VOC2012/Segmentation/comp6_test_cls/t{i}.png" for i in range(3)]

        packed = (out / "results.tgz").read_bytes()
        (folder / "t1.png").unlink()
        seen = []
        original = final_module.patch_logits
        spy = lambda *a: seen.append(1) or original(*a)  # noqa: E731
        monkeypatch.setattr(final_module, "patch_logits", spy)
        assert main(argv) == 0
        assert len(seen) == 2, "one image, two students"
        assert (out / "results.tgz").read_bytes() == packed

    def test_what_is_not_whole_is_not_packed(self, weights, voc, tmp_path, capsys, monkeypatch):
        out, argv = tmp_path / "out", self.argv(weights, voc, tmp_path / "out")
        monkeypatch.setattr(submission, "pack", lambda *_: pytest.fail("packed"))
        folder = out / "results/VOC2012/Segmentation/comp6_test_cls"
        original = FinalProtocol.stream
        monkeypatch.setattr(FinalProtocol, "stream", lambda s, m, d, i, w: original(s, m, d, list(i)[:2], w))
        assert main(argv) == 2
        assert "comp6_test_cls: t2.png is missing" in capsys.readouterr().err
        monkeypatch.setattr(FinalProtocol, "stream", original)
        Image.new("P", (3, 3)).save(folder / "other.png")
        assert main(argv) == 2
        assert "other.png is not on the list" in capsys.readouterr().err
        (folder / "other.png").unlink()
        Image.new("P", (3, 3)).save(folder / "t0.png")
        assert main(argv) == 2
        assert "t0.png is P (3, 3)" in capsys.readouterr().err

    def test_what_is_refused(self, weights, voc, tmp_path, capsys, trained):
        argv = self.argv(weights, voc, tmp_path / "out")
        (tmp_path / "out/results/VOC2012/Segmentation/comp6_test_cls").mkdir(parents=True)
        for arguments, told in (
            (argv, "holds label maps of other weights or settings"),
            ([*argv[:4], "--student", "best", *argv[4:]], "a submission has one label map"),
            ([*argv[:4], "--present-only", *argv[4:]], "without tags"),
            (["infer", str(trained), *argv[4:]], "needs a model of VOC's 21 classes"),
            ([a for a in argv if a not in ("--root", str(voc))], "takes --root VOC2012 and --out DIR"),
        ):
            assert main(arguments) == 2, arguments
            assert told in capsys.readouterr().err
        assert not (tmp_path / "out/results.tgz").exists()
