"""The command line: help, mistakes in one line, what a command shows and refuses."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl import __version__
from dupl.cli import build_parser, main
from dupl.config import catalogue
from dupl.runs.run import Run


def commands(parser: argparse.ArgumentParser, before: tuple[str, ...] = ()) -> list[str]:
    """Every command that a parser knows, such as "data check"."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        return [" ".join(before)]
    return [name for action in below for key, one in action.choices.items() for name in commands(one, (*before, key))]


COMMANDS = commands(build_parser())
SMALL = [  # makes the demo tiny
    'model.network.backbone.options={"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}',
    "model.network.head.channels=16",
    "model.segmentation.start=1",
    "model.noise_filter.start=2",
    "model.consistency.start=2",
    *(f"data.{split}.size=32" for split in ("train", "val")),
    "data.augment.crop=32",
    "data.val.count=6",
    "schedule.iterations=4",
    "schedule.batch_size=4",
    "schedule.images_per_loss=4",
    "evaluation.size=32",
    "evaluation.interval=2",
    "runtime.threads=1",
    "runtime.device=cpu",
]


def told(capsys, *argv, code=2) -> str:
    """The one line on stderr of a command that ends with ``code`` and prints nothing else."""
    assert main([str(a) for a in argv]) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("dupl: ")
    return line.removeprefix("dupl: ")


def help_of(capsys, command: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


class TestHelp:
    @pytest.mark.parametrize("command", ["", *COMMANDS])
    def test_examples_are_there_and_parse(self, capsys, command):
        text = help_of(capsys, command)
        examples = [line.strip() for line in text.partition("examples:\n")[2].splitlines() if line.strip()]
        assert examples
        for example in examples:
            line = re.split(r"\s{3,}", example)[0]
            rest = re.fullmatch(r"(?:torchrun --nproc-per-node 2 -m )?dupl (.*)", line)[1]
            assert rest.startswith(command)
            build_parser().parse_args(shlex.split(rest))

    def test_every_command_is_listed(self, capsys):
        assert len(COMMANDS) > 14 and {"ablate", "data prepare"} < set(COMMANDS)
        text = help_of(capsys, "")
        for command in COMMANDS:
            assert re.search(rf"^    {command.split()[0]}\s", text, re.M)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_nothing_is_said_to_be_executed(self, capsys, command):
        assert not re.search(r"execut(ed|es)|no-exec", help_of(capsys, command))

    def test_version(self, capsys):
        with pytest.raises(SystemExit):
            main(["--version"])
        assert capsys.readouterr().out.strip() == f"dupl {__version__}"


class TestMistakes:
    @pytest.mark.parametrize("command", ["train", "show", "data check"])
    def test_an_unknown_recipe(self, capsys, command):
        assert "did you mean voc/dupl" in told(capsys, *command.split(), "voc/dulp")

    @pytest.mark.parametrize(
        ("line", "hint"),
        [
            ("report demo_table4 --rot x", "dupl report: error: unrecognized arguments: --rot x; did you mean --root?"),
            ("data check demo/toy --limt 3", "dupl data check: error: unrecognized arguments: --limt 3; did you mean"),
            ("train demo/toy --tau=3", "--tau=3; values of the recipe are replaced by --set PATH=VALUE"),
            ("train demo/toy more", "dupl train: error: unrecognized arguments: more\n"),
        ],
    )
    def test_an_unknown_option(self, capsys, line, hint):
        with pytest.raises(SystemExit) as stop:
            main(line.split())
        assert stop.value.code == 2
        assert hint in capsys.readouterr().err

    def test_a_misspelt_plan_without_a_store(self, capsys, tmp_path):
        argv = ["report", "demo_tabel4", "--root", tmp_path / "none"]
        assert told(capsys, *argv).startswith("no plan demo_tabel4 among the ablations (did you mean demo_table4")

    def test_an_unknown_run_or_recipe(self, capsys, tmp_path):
        assert "nowhere" in told(capsys, "eval", tmp_path / "nowhere", "--checkpoint", "x.pth")
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        argv = ["infer", tmp_path / "nowhere", tmp_path / "a.png", "--out", tmp_path / "out"]
        assert "nowhere" in told(capsys, *argv)

    def test_a_run_without_checkpoint_is_asked_for_one(self, capsys):
        assert "--checkpoint FILE" in told(capsys, "eval", "demo/toy")

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("model.threshhold.final=0.5", "did you mean model.threshold.final?"),
            ("nonsense", "write path=value"),
            ("schedule.lr=fast", "schedule.lr"),
            (
                "model.noise_filter.type=MixtureFiltr",
                "'MixtureFiltr', which is no noise filter; did you mean MixtureFilter?",
            ),
            ('model.noise_filter={"type": "MixtureFilter", "gama": 1}', "gama"),
            ("model.students.type=SingleStudent", "L_dis without DS"),
            ("model.network.pooling=median", "network.pooling"),
            ("model.network.backbone.name=vit_tinny_patch16_224", "timm has no model 'vit_tinny_patch16_224'"),
            ("model.network.backbone.name=resnet18", "resnet18"),
            ("model.network.backbone.weights=nowhere.safetensors", "nowhere.safetensors"),
            ("model.tau_l=1.5", "tau_l"),
            ("data.train.type=Toyy", "data.train.type is 'Toyy', which is no data set; did you mean Toy?"),
            ("data.train.split=test", 'data.train.split is \'test\': give "train" or "val"'),
            ("data.augment.flip=2", "flip"),
            ("runtime.device=tpu", "runtime.device"),
            ("runtime.precision=fp8", "runtime.precision"),
            ("schedule.batch_size=0", "schedule.batch_size"),
            ("schedule.iterations=2.5", "schedule.iterations is 2.5: give a whole number of iterations, at least 1"),
            ("evaluation.interval=0", "evaluation.interval is 0: give a whole number of iterations, at least 1"),
            ("evaluation.batch_size=0", "evaluation.batch_size"),
            ("runtime.log_interval=0", "runtime.log_interval"),
            ("runtime.checkpoint_interval=0", "runtime.checkpoint_interval"),
            ("runtime.workers=-1", "runtime.workers is -1: give a whole number of processes, at least 0"),
            ('runtime.vis_backends=[{"type": "os.system"}]', "no vis_backend is registered as 'os.system'"),
            (
                'model.network.backbone.options={"checkpoint_path": "a.pth"}',
                "give weights by model.network.backbone.weights instead",
            ),
            ("schedule.images_per_loss=3", "set images_per_loss to 1, 2 or 4, or another batch_size"),
            ("schedule.per_gpu=4", "override schedule.per_gpu: is gone: use schedule.images_per_loss"),
            ("runtime.amp=off", "override runtime.amp: is gone: use runtime.precision"),
            ("data.val.split=test", 'data.val.split is \'test\': give "train" or "val"'),
            ('evaluation.subset={"name": "mIoU-1", "classes": ["unicorn"]}', "evaluation.subset: no class 'unicorn'"),
            (
                "data.augment.crop=33",
                "data.augment.crop is 33, and the backbone's patches have 8 px: give a multiple, 32",
            ),
            (
                "evaluation.size=30",
                "evaluation.size is 30, and the backbone's patches have 8 px: give a multiple, 24 or",
            ),
            (
                "evaluation.final.size=3",
                "evaluation.final.size is 3, and the backbone's patches have 8 px: give a multiple, 8",
            ),
            ("evaluation.best=seg/best/mIoU-7", "the evaluation does not measure; did you mean seg/best/mIoU?"),
        ],
    )
    def test_a_wrong_value(self, capsys, tiny, tmp_path, override, message):
        line = told(capsys, "train", tiny, "--work-dir", tmp_path / "run", "--set", override)
        assert message in line
        assert not (tmp_path / "run").exists()

    def test_a_misspelt_component_is_not_shown_as_off(self, capsys):
        assert "MixtureFiltr" in told(capsys, "show", "voc/dupl", "--set", "model.noise_filter.type=MixtureFiltr")

    def test_a_model_without_a_component(self, capsys, tiny, tmp_path):
        (tmp_path / "part.py").write_text(f"_base_ = [{tiny!r}]\nmodel = dict(_delete_=True, type='DuPL')\n")
        assert "part.py, line 2: model needs network (one sub-net: arguments of SubNet)" in told(
            capsys, "show", tmp_path / "part.py"
        )

    def test_missing_data(self, capsys, tmp_path):
        line = told(capsys, "data", "check", "voc/dupl", "--set", f"data.train.root={tmp_path}")
        assert str(tmp_path) in line

    def test_a_recipe_that_lacks_parts(self, capsys, tmp_path):
        (tmp_path / "part.py").write_text("model = dict()\nruntime = 3\n")
        assert "part.py, line 1: model needs a type: choose from AFA, CoSA, DuPL, Supervised" in told(
            capsys, "show", tmp_path / "part.py"
        )

    def test_a_folder_that_cannot_be(self, capsys, tiny, tmp_path):
        (tmp_path / "file").write_text("")
        assert "file" in told(capsys, "train", tiny, "--work-dir", tmp_path / "file")

    def test_as_a_process(self):
        argv = [sys.executable, "-m", "dupl", "train", "voc/dulp"]
        done = subprocess.run(
            argv, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert re.fullmatch(r"dupl: no recipe voc/dulp .*\n", done.stderr)


def shown(capsys, *argv) -> tuple[str, dict[str, str], str]:
    """Fingerprint, components and the rest of what `dupl show` prints."""
    assert main(["show", *map(str, argv)]) == 0
    out = capsys.readouterr().out
    fingerprint = re.search(r"^fingerprint  ([0-9a-f]{12})$", out, re.M)[1]
    components = dict(re.findall(r"^(DS|L_dis|DTA|ANF|L_reg) +(on|off) ", out, re.M))
    return fingerprint, components, out


class TestShow:
    def test_it_lists_the_recipes(self, capsys):
        assert main(["show"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == catalogue.names()
        assert all(len(line.split()) > 2 for line in lines), "with their first line"

    def test_a_recipe_without_a_word_is_listed_too(self, capsys, tmp_path, monkeypatch):
        (tmp_path / "experiments").mkdir()
        (tmp_path / "experiments" / "mute.py").write_text("a = 1\n")
        monkeypatch.chdir(tmp_path)
        assert main(["show"]) == 0
        assert "mute" in capsys.readouterr().out.splitlines()

    def test_what_it_prints_is_the_recipe(self, capsys, tmp_path):
        _, components, out = shown(capsys, "voc/dupl")
        assert components == dict.fromkeys(("DS", "L_dis", "DTA", "ANF", "L_reg"), "on")
        assert catalogue.docstring("voc/dupl").splitlines()[0] in out
        assert "MixtureFilter(gamma=0.9, eta=1.0" in out
        (tmp_path / "again.py").write_text(out[out.index("\nmodel = ") :])
        assert catalogue.plain(catalogue.load(tmp_path / "again.py")) == catalogue.plain(catalogue.load("voc/dupl"))

    @pytest.mark.parametrize(
        ("component", "override"),
        [
            ("L_dis", 'model.discrepancy={"type": "NoDiscrepancy"}'),
            ("DTA", 'model.threshold={"type": "FixedThreshold"}'),
            ("ANF", 'model.noise_filter={"type": "TrustAll"}'),
            ("L_reg", 'model.consistency={"type": "NoConsistency"}'),
            ("DS", "model.students.type=SingleStudent"),
        ],
    )
    def test_a_component_that_is_off(self, capsys, component, override):
        on, _, _ = shown(capsys, "voc/dupl")
        off, components, _ = shown(capsys, "voc/dupl", "--set", override)
        assert {name for name, state in components.items() if state == "off"} == {component}
        assert on != off

    def test_the_fingerprint_is_of_what_changes_the_result(self, capsys):
        plain, _, _ = shown(capsys, "voc/dupl")
        for free in ("runtime.workers=0", "runtime.device=cpu", "evaluation.batch_size=1", "data.train.root=elsewhere"):
            assert shown(capsys, "voc/dupl", "--set", free)[0] == plain
        counted = ("schedule.lr=1e-4", "runtime.seed=1", "model.threshold.final=0.6", "data.train.split=train")
        assert len({plain, *(shown(capsys, "voc/dupl", "--set", c)[0] for c in counted)}) == 5

    def test_a_run(self, capsys, trained, tiny):
        fingerprint, _, out = shown(capsys, trained)
        assert fingerprint == Run(trained).status.fingerprint == shown(capsys, tiny)[0]
        assert re.search(r"^state +finished, iteration 24 of 24$", out, re.M)
        assert f"{trained}" in out


class TestTrain:
    def test_the_same_run_is_not_begun_twice(self, capsys, tiny, trained):
        before = {f: f.stat().st_mtime_ns for f in trained.rglob("*")}
        line = told(capsys, "train", tiny, "--work-dir", trained)
        assert "holds this run, finished: evaluate it" in line
        assert told(capsys, "train", tiny, "--work-dir", trained, "--resume") == line, "nothing to resume either"
        assert {f: f.stat().st_mtime_ns for f in trained.rglob("*")} == before

    @pytest.mark.parametrize("resume", [[], ["--resume"]])
    def test_another_config_in_the_same_folder(self, capsys, tiny, trained, resume):
        argv = ["train", tiny, "--work-dir", trained, *resume, "--set", "schedule.lr=1e-3", "model.tau_l=0.2"]
        line = told(capsys, *argv)
        assert "holds another run (model.tau_l: 0.25 -> 0.2, schedule.lr: 0.002 -> 0.001)" in line
        line = told(capsys, *argv, "runtime.log_interval=3", "evaluation.gallery=1", "runtime.keep_checkpoints=5")
        kept = "model.tau_l: 0.25 -> 0.2, schedule.lr: 0.002 -> 0.001; 3 more that do not change the result"
        assert f"holds another run ({kept})" in line

    def test_a_run_leaves_pictures_and_a_status(self, trained, tiny):
        for name in ("pictures.png", "curves.png"):
            with Image.open(trained / name) as picture:
                assert picture.width > 500
        status = Run(trained).status
        assert (status.state, status.iteration, status.iterations, status.error) == ("finished", 24, 24, None)
        assert status.seconds > 0
        assert status.versions["torch"]
        assert catalogue.plain(catalogue.load(trained / "config.py")) == catalogue.plain(catalogue.load(tiny))

    def test_where_a_run_goes_by_default(self, tiny, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine.py").write_text(f"_base_ = {tiny!r}\nschedule = dict(iterations=1)\ndata = dict(val=None)\n")
        assert main(["train", "mine"]) == 0
        (folder,) = (tmp_path / "runs").iterdir()
        assert folder.name == f"mine-{Run(folder).status.fingerprint}"


def test_the_documented_component_of_ones_own(tiny, tmp_path, monkeypatch):
    """The two files of docs/how-to/own-component.md, on the tiny recipe, with a hook of mmengine's."""
    text = (Path(__file__).parents[1] / "docs" / "how-to" / "own-component.md").read_text()
    part, recipe = re.findall(r"```python\n(.*?)```", text, re.S)
    (tmp_path / "my_parts.py").write_text(part)
    recipe = recipe.replace("demo/toy", tiny).replace("start=260", "start=4")
    short = "schedule = dict(iterations=6)\nhooks = [dict(type='EmptyCacheHook')]\nevaluation = dict(interval=6)\n"
    (tmp_path / "my_recipe.py").write_text(recipe + short)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["train", "my_recipe.py", "--work-dir", "own"]) == 0
    assert Run("own").scalars()[-1]["iter"] == 6
    assert max(row.get("pixels/filtered", 0) for row in Run("own").scalars()) > 0
    assert main(["eval", "own"]) == 0


class TestEval:
    def test_tables_and_files(self, capsys, trained, tmp_path):
        out = tmp_path / "out"
        assert main(["eval", str(trained), "--checkpoint", "last", "--out", str(out)]) == 0
        text = capsys.readouterr().out
        for word in ("mIoU", "CAM, student 1", "Seg, student 2", "background", "OA"):
            assert word in text
        (out,) = out.iterdir()
        assert out.name == "val_train-32-t0.5_iter_000024"
        facts = json.loads((out / "metrics.json").read_text())
        trained_with = Run(trained).read_json("evaluation/iter_000024/metrics.json")["metrics"]
        assert facts["metrics"] == trained_with
        assert facts["checkpoint"].endswith("iter_000024.pth")
        tables = {"metrics.json", "per_class.csv", "per_image.csv", "confusion.csv"}
        maps = [f"{kind}_{who}" for kind in ("cam", "seg") for who in ("1", "2", "mean")]
        pictures = {f"confusion_{name}.png" for name in maps}
        pictures |= {"over_activation_cam.png", "over_activation_seg.png", "pictures.png"}
        assert {f.name for f in out.iterdir()} == tables | pictures

    def test_another_split_inside_the_run(self, capsys, trained):
        assert main(["eval", str(trained), "--split", "train", "--set", "runtime.workers=1"]) == 0
        folder = trained / "evaluation" / "train_train-32-t0.5_iter_000024"
        rows = list(csv.DictReader((folder / "per_image.csv").read_text().splitlines()))
        assert len({row["image"] for row in rows}) == 24

    def test_no_such_split_or_checkpoint(self, capsys, trained, tiny):
        assert "the recipe has no data.test: it has train, val" in told(capsys, "eval", trained, "--split", "test")
        assert "nowhere.pth" in told(capsys, "eval", trained, "--checkpoint", "nowhere.pth")
        line = told(capsys, "eval", trained, "--set", "evaluation.size=30")
        assert "evaluation.size is 30, and the backbone's patches have 8 px: give a multiple, 24 or 32" in line
        line = told(capsys, "eval", trained, "--protocol", "final", "--set", "evaluation.final.size=20")
        assert "evaluation.final.size is 20, and the backbone's patches have 8 px: give a multiple, 16 or 24" in line
        line = told(capsys, "eval", trained, "--set", "model.network.head.channels=8")
        assert "of another shape: students.nets.0.head.0.weight" in line


class TestDataCheck:
    @pytest.fixture
    def photos(self, tmp_path):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir()
        for name in ("a", "b", "c", "d"):
            Image.new("RGB", (20, 10), "blue").save(tmp_path / "images" / f"{name}.png")
            mask = np.zeros((10, 20), np.uint8)
            mask[:5] = 1 + (name in "bd")
            Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
        table = "image,tags,split\na,cat,train\nb,dog,train\nc,cat,val\nd,dog,val\n"
        (tmp_path / "tags.csv").write_text(table)
        return tmp_path

    def check(self, tiny, photos) -> int:
        data = [f'data.{s}={{"type": "TaggedFolder", "root": "{photos}", "split": "{s}"}}' for s in ("train", "val")]
        return main(["data", "check", tiny, "--set", *data])

    def test_a_good_one(self, capsys, tiny, photos):
        assert self.check(tiny, photos) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "0 errors, 0 warnings"
        assert any(line.split() == ["images", "2", "2"] for line in lines)

    def test_a_bad_one(self, capsys, tiny, photos):
        (photos / "images" / "a.png").write_bytes(b"no image")
        Image.fromarray(np.full((10, 20), 7, np.uint8)).save(photos / "masks" / "c.png")
        assert self.check(tiny, photos) == 2
        text = capsys.readouterr().out
        assert "a.png" in text
        assert "its mask holds labels 7" in text
        assert re.search(r"^2 errors, \d+ warnings?$", text, re.M)

    def test_the_toy_set(self, tiny):
        assert main(["data", "check", tiny]) == 0


def test_a_variable_shortens_the_demo(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("DUPL_DEMO_ITERATIONS", "2")
    folder = tmp_path / "demo"
    assert main(["demo", "--work-dir", str(folder), "--set", *SMALL]) == 0
    assert "DUPL_DEMO_ITERATIONS is set: the demo trains 2 iterations" in capsys.readouterr().err.splitlines()
    assert (Run(folder).status.state, Run(folder).status.iteration) == ("finished", 2)


@pytest.mark.parametrize("value", ["0", "-3", "few", "1.5"])
def test_a_variable_that_is_no_number_of_iterations(capsys, tmp_path, monkeypatch, value):
    monkeypatch.setenv("DUPL_DEMO_ITERATIONS", value)
    assert told(capsys, "demo", "--work-dir", tmp_path / "demo").startswith(f"DUPL_DEMO_ITERATIONS is {value}: give ")
    assert not (tmp_path / "demo").exists()


def test_the_demo(capsys, tmp_path):
    folder = tmp_path / "demo"
    argv = ["demo", "--work-dir", str(folder), "--set", *SMALL]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert "batch 4 = 1 process x 1 loss x 4 images per loss" in err
    for word in ("CAM, student 1", "CAM, student 2", "Seg, student 1", "Seg, student 2", "OA"):
        assert word in out
    assert "ceiling" not in out, "it was measured for the demo as shipped"
    assert {"L_seg", "L_reg", "pixels/filtered"} <= {name for row in Run(folder).scalars() for name in row}
    for name in ("pictures.png", "curves.png"):
        assert (folder / name).is_file()
    assert main(argv) == 0, "a finished demo is shown again"
    again = capsys.readouterr()
    assert again.out == out
    assert "eta" not in again.err
