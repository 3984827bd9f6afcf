"""Runs and evaluations know what they read: class names, tags, photos and masks, wherever the files lie."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from dupl.cli import main
from dupl.runs.run import Run
from dupl.runs.stored_run import open_run

CLASSES = ("cat", "dog")
SHORT = ("schedule.iterations=4", "schedule.warmup=1", "evaluation.interval=4", "runtime.checkpoint_interval=2")


def sets(root, **val):
    """Overrides that train on a folder; ``val`` changes the validation set."""
    train = {"type": "TaggedFolder", "root": str(root), "split": "train"}
    return [f"data.train={train}", f"data.val={ {**train, 'split': 'val', **val} }"]


def train(tiny, folder, root, *more):
    return main(["train", tiny, "--work-dir", str(folder), *more, "--set", *SHORT, *sets(root)])


def evaluated(folder):
    return {path.parent.name: json.loads(path.read_text()) for path in (folder / "evaluation").glob("*/metrics.json")}


@pytest.fixture(scope="module")
def lab(tiny, paint, tmp_path_factory):
    """A folder of photos and the run that was trained on it."""
    home = tmp_path_factory.mktemp("lab")
    assert train(tiny, home / "run", paint(home / "set")) == 0
    return home


@pytest.fixture
def copy(lab, tmp_path):
    """The run and its photos at another place."""
    for name in ("run", "set"):
        shutil.copytree(lab / name, tmp_path / name)
    return tmp_path


class TestClasses:
    def test_run_and_checkpoints_keep_their_names(self, lab):
        import torch

        names = ["background", *CLASSES]
        assert Run(lab / "run").read_json("data.json")["train"]["classes"] == names
        for file in (lab / "run" / "checkpoints").glob("*.pth"):
            assert torch.load(file, weights_only=True)["meta"]["classes"] == names, file

    def test_another_order_is_mapped(self, copy, capsys):
        assert main(["eval", str(copy / "run"), "--checkpoint", "last"]) == 0
        before = evaluated(copy / "run")["val_train-32-t0.5_iter_000004"]["metrics"]
        for mask in (copy / "set" / "masks").iterdir():
            labels = np.array(Image.open(mask))
            Image.fromarray(np.array([0, 2, 1], np.uint8)[labels]).save(mask)
        capsys.readouterr()
        words = ["--checkpoint", "last", "--set", *sets(copy / "set", classes=["dog", "cat"])]
        assert main(["eval", str(copy / "run"), *words]) == 0
        assert (
            "data.val has the classes in another order (dog, cat): they are mapped by name" in capsys.readouterr().err
        )
        found = {name: one["metrics"] for name, one in evaluated(copy / "run").items()}
        assert found["val_train-32-t0.5_iter_000004-2"] == pytest.approx(before, nan_ok=True)

    def test_other_classes_are_refused(self, copy, capsys):
        table = copy / "set" / "tags.csv"
        table.write_text(table.read_text().replace("dog", "ant"))
        assert main(["eval", str(copy / "run"), "--set", *sets(copy / "set")]) == 2
        error = capsys.readouterr().err
        assert "the model was trained on cat, dog, and data.val has ant, cat" in error
        assert "ant only there; dog only in the model" in error

    def test_infer_where_the_photos_of_training_are_absent(self, lab, tmp_path):
        shutil.copytree(lab / "run", tmp_path / "run")
        words = ["--set", *sets(tmp_path / "gone"), "--out", str(tmp_path / "out")]
        assert main(["infer", str(tmp_path / "run"), str(lab / "set" / "images" / "0.png"), *words]) == 0
        assert (tmp_path / "out" / "masks" / "0.png").is_file()

    def test_infer_by_renamed_classes_is_refused(self, copy, capsys):
        photo = str(copy / "set" / "images" / "0.png")
        words = ["--set", 'data.train.classes=["cat", "wolf"]', "--out", str(copy / "out")]
        assert main(["infer", str(copy / "run"), photo, *words]) == 2
        assert "trained on cat, dog, and data.train has cat, wolf" in capsys.readouterr().err


class TestRuns:
    def test_the_same_photos_elsewhere_resume_the_run(self, tiny, copy, capsys, monkeypatch):
        folder = copy / "run"
        before = Run(folder).status
        (folder / "checkpoints" / "iter_000004.pth").unlink()
        Run(folder).update(state="interrupted")
        monkeypatch.chdir(copy)
        assert train(tiny, folder, "set", "--resume") == 0
        after = Run(folder).status
        assert (after.state, after.fingerprint) == ("finished", before.fingerprint)
        assert 'root="set"' in Run(folder).config_path.read_text().replace("'", '"'), "later commands find them there"

    def test_a_corrected_tag_is_another_run(self, tiny, copy, capsys):
        table = copy / "set" / "tags.csv"
        table.write_text(table.read_text().replace("0.png,cat", "0.png,cat dog"))
        Run(copy / "run").update(state="interrupted")
        assert train(tiny, copy / "run", copy / "set", "--resume") == 2
        assert "holds a run of this recipe on other data (tags (" in capsys.readouterr().err

    def test_a_repaired_photo_is_another_run(self, tiny, copy, capsys):
        photo = copy / "set" / "images" / "0.png"
        Image.fromarray(255 - np.array(Image.open(photo))).save(photo)
        Run(copy / "run").update(state="interrupted")
        assert train(tiny, copy / "run", copy / "set", "--resume") == 2
        assert "holds a run of this recipe on other data (photos (" in capsys.readouterr().err

    def test_the_one_change_that_matters_is_told_among_those_that_do_not(self, tiny, copy, capsys):
        Run(copy / "run").update(state="interrupted")
        free = ("runtime.workers=1", "runtime.log_interval=3", "runtime.keep_checkpoints=5", "evaluation.gallery=1")
        words = ["train", tiny, "--work-dir", str(copy / "run"), "--resume", "--set", *SHORT, *sets(copy / "set")]
        assert main([*words, *free, "evaluation.batch_size=1", "runtime.device=auto", "schedule.lr=0.5"]) == 2
        assert "holds another run (schedule.lr: 0.002 -> 0.5; 8 more that do not change" in capsys.readouterr().err

    def test_masks_of_another_kind_are_the_same_run(self, tiny, copy, capsys):
        for mask in (copy / "set" / "masks").iterdir():
            Image.fromarray(np.zeros((32, 32), np.uint8)).save(mask)
        assert train(tiny, copy / "run", copy / "set") == 2
        assert "holds this run, finished" in capsys.readouterr().err

    def test_a_setting_of_the_evaluation_is_corrected_before_the_first_one(self, tiny, copy, capsys):
        folder = copy / "run"
        Run(folder).update(state="interrupted")
        words = ["train", tiny, "--work-dir", str(folder), "--resume", "--set", *SHORT, *sets(copy / "set")]
        assert main([*words, "evaluation.size=16"]) == 2, "it has an evaluation"
        assert "another run (evaluation.size: 32 -> 16; " in capsys.readouterr().err
        shutil.rmtree(folder / "evaluation")
        (folder / "checkpoints" / "iter_000004.pth").unlink()
        assert main([*words, "evaluation.size=16"]) == 0
        assert "evaluated from now on with evaluation.size: 32 -> 16" in capsys.readouterr().err
        assert evaluated(folder)["iter_000004"]["size"] == 16


class TestEvaluations:
    def test_corrected_masks_are_another_evaluation_of_the_same_weights(self, copy):
        words = ["eval", str(copy / "run"), "--checkpoint", "last", "--protocol", "final", "--no-crf", "--keep-logits"]
        words += ["--set", *sets(copy / "set")]
        assert main(words) == 0
        first = evaluated(copy / "run")
        mask = copy / "set" / "masks" / "4.png"
        Image.fromarray(np.roll(np.array(Image.open(mask)), 8, 0)).save(mask)
        assert main(words) == 0
        both = evaluated(copy / "run")
        (new,) = both.keys() - first.keys()
        assert new.endswith("-2") and both[new]["read"] != both[new.removesuffix("-2")]["read"]
        assert {name: both[name] for name in first} == first, "the earlier ones stay"

    def test_label_maps_of_other_photos_are_not_used(self, copy, capsys):
        words = ["eval", str(copy / "run"), "--checkpoint", "last", "--protocol", "final", "--no-crf"]
        words += ["--set", *sets(copy / "set")]
        assert main(words) == 0
        assert main(words) == 0
        assert "label maps of 2 images are those of an earlier command" in capsys.readouterr().err
        photo = copy / "set" / "images" / "4.png"
        Image.fromarray(255 - np.array(Image.open(photo))).save(photo)
        assert main(words) == 0
        assert "of an earlier command" not in capsys.readouterr().err

    def test_the_place_makes_no_difference(self, copy):
        words = ["eval", str(copy / "run"), "--checkpoint", "last", "--set"]
        assert main([*words, *sets(copy / "set")]) == 0
        os.rename(copy / "set", copy / "moved")
        assert main([*words, *sets(copy / "moved")]) == 0
        found = [name for name in evaluated(copy / "run") if name.startswith("val_train")]
        assert found == ["val_train-32-t0.5_iter_000004"]

    def test_a_stored_evaluation_says_what_it_read(self, lab):
        (one,) = open_run(lab / "run").evaluations
        assert one.read == Run(lab / "run").read_json("data.json")["val"]["id"]
