"""Methods side by side, and the pseudo-labels of a split, from a small run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import dupl
from dupl import api
from dupl.api import load_recipe
from dupl.cli import main
from dupl.engine.build import split_label
from dupl.engine.side_by_side import Shown, _captions, compare
from dupl.errors import UserError
from dupl.runs.store import RunStore
from dupl.runs.stored_run import open_run


@pytest.fixture(scope="module")
def store(trained, tmp_path_factory) -> Path:
    """A store with the run twice, and its pseudo-labels of val scored as label maps of another program."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        shutil.copytree(trained, root / name)
    api.write_pseudo_labels(root / "one", "val", root.parent / "labels", student="1")
    recipe = str(root / "one" / "config.py")
    dupl.evaluate_label_maps(root.parent / "labels" / "masks", "other", recipe, root, kind="cam")
    return root


class TestPseudoLabels:
    def test_they_score_as_the_evaluation_of_training_does(self, store):
        facts = json.loads((store.parent / "labels" / "infer.json").read_text())
        last = [one for one in open_run(store / "one").evaluations if one.trained][-1]
        assert facts["metrics"]["cam/1/mIoU"] == last.metrics["cam/1/mIoU"]
        assert facts["student"] == "1" and "no CRF" in facts["protocol"]

    def test_and_so_do_their_files(self, store):
        (entry,) = [run for run in RunStore(store).runs() if run.recipe == "other"]
        last = [one for one in open_run(store / "one").evaluations if one.trained][-1]
        assert entry.evaluations[0].metrics["cam/1/mIoU"] == last.metrics["cam/1/mIoU"]

    def test_hold_the_tags_of_the_image_alone(self, store):
        source = dupl.api.load_recipe(str(store / "one" / "config.py")).data.val.to_dict()
        source.pop("type")
        from dupl.data.toy import Toy

        val = Toy(**source)
        for i, name in enumerate(val.names):
            with Image.open(store.parent / "labels" / "masks" / f"{name}.png") as picture:
                assert picture.mode == "P"
                held = set(np.unique(np.asarray(picture)).tolist())
            assert held <= {0, *(int(k) + 1 for k in np.flatnonzero(val.tags(i)))}

    @pytest.mark.parametrize(
        "words, message",
        [
            (["--split", "val"], "add --by-tags"),
            (["--split", "val", "--by-tags", "--tags", "disc"], "neither images, --tags"),
        ],
    )
    def test_refused(self, store, tmp_path, capsys, words, message):
        assert main(["infer", str(store / "one"), *words, "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


class TestSideBySide:
    def test_rows_have_the_pictures_and_the_iou_of_every_method(self, store):
        entry = next(run.path for run in RunStore(store).runs() if run.recipe == "other")
        methods = {"A": store / "one", "other": entry, "B": store / "two"}
        found = compare(methods, images="worst", count=2, kind="cam")
        assert [row.who for row in found.rows] == [("A", "B", "other")] * 2  # label maps come last
        for row in found.rows:
            assert (len(row.cams), len(row.prediction)) == (2, 3)
            assert np.array_equal(row.cams[0], row.cams[1])
            assert re.fullmatch(r"IoU: A [\d.]+, B [\d.]+, other [\d.]+", row.notes)
        assert found.captions[0] == "the 2 images with the lowest IoU of B"
        assert any(re.match(r"val, squashed .*no CRF", line) for line in found.captions)
        assert any("other: label maps of another program" in line for line in found.captions)

    def test_methods_of_unlike_recipes_are_told_apart(self):
        def line(*recipes: str) -> list[str]:
            shown = [Shown(name, None, SimpleNamespace(config=load_recipe(name))) for name in recipes]
            return _captions(shown, "val", "seg", {})

        both = "val, squashed to 448 px, no CRF; CAMs of the image's tags, outlined at 0.5"
        assert line("voc/dupl", "voc/toco") == [both, "voc/dupl: student 1, voc/toco: student 1"]
        assert line("voc/dupl", "voc/afa") == [
            "val, squashed, no CRF; CAMs of the image's tags, outlined",
            "voc/dupl: student 1 (squashed to 448 px, outlined at 0.5), "
            "voc/afa: student 1 (squashed to 512 px, outlined at 0.45)",
        ]

    def test_the_list_of_images_is_named_beside_the_entry(self):
        config = load_recipe("voc_animals")
        assert split_label(config, "val") == "val-val100"
        assert split_label(config, "train") == "train"
        assert split_label(load_recipe("demo/toy"), "val") == "val"

    @pytest.mark.parametrize("ending, start", [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".html", b"<!doctype html>")])
    def test_written_as(self, store, tmp_path, capsys, ending, start):
        out = tmp_path / f"compare{ending}"
        words = [f"first={store / 'one'}", f"second={store / 'two'}", "--count", "2", "--out", str(out)]
        assert main(["compare", *words]) == 0
        assert out.read_bytes().startswith(start)
        if ending == ".html":
            text = out.read_text()
            assert "mask: second" in text and "differs most" in text and "http" not in text.replace("http-equiv", "")

    @pytest.mark.parametrize(
        "words, message",
        [
            (["--out", "x.svg"], "a comparison is written as .png, .pdf, .html"),
            (["--images", "nix"], "nix: the data set has no such image"),
            (["--masks", "nix"], "is no run: give folders of runs, or names of label maps"),
        ],
    )
    def test_refused(self, store, tmp_path, monkeypatch, capsys, words, message):
        monkeypatch.chdir(tmp_path)
        assert main(["compare", str(store / "one"), str(store / "two"), *words]) == 2
        assert message in capsys.readouterr().err

    def test_two_runs_of_one_name(self, store, capsys):
        assert main(["compare", str(store / "one"), str(store / "one")]) == 2
        assert "two runs are called one: give NAME=FOLDER" in capsys.readouterr().err

    def test_figures_5_and_6_show_runs(self, store, tmp_path):
        for number in ("5", "6"):
            out = tmp_path / f"fig{number}.png"
            runs = [str(store / "one"), str(store / "two")]
            dupl.figures.write_paper_figure(number, out, runs, store, images="random", count=1)
            assert out.stat().st_size > 10_000


def test_two_methods_of_one_name_are_refused(tmp_path):
    """One would be shown in the place of the other."""
    for methods, masks in (({"other": "runs/a"}, ["other"]), (["one/run", "two/run"], [])):
        with pytest.raises(UserError, match="two methods are called (other|run): give each a name of its own"):
            dupl.write_comparison(methods, tmp_path / "x.png", masks=masks)
