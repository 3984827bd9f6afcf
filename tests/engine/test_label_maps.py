"""Label maps of another program: how they are scored, stored and shown as a row of a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dupl
from dupl.cli import main
from dupl.data.toy import Toy
from dupl.report.figures.picture_files import save_palette_png
from dupl.runs import label_maps
from dupl.runs.metrics import mean_iou
from dupl.runs.store import RunStore
from dupl.runs.tallies import confusion

FIXTURES = Path(__file__).parents[1] / "fixtures"
SETS = {"data.val.size": 32, "data.val.count": 12}
VAL = Toy(split="val", size=32, contrast=0.14, texture=0.3, textured=0.8, count=12)


@pytest.fixture
def maps(tmp_path) -> Path:
    """Return the true masks with their upper 10 rows as background, as files."""
    for i, name in enumerate(VAL.names):
        save_palette_png(flawed(i), tmp_path / "maps" / f"{name}.png")
    return tmp_path / "maps"


def flawed(i: int) -> np.ndarray:
    labels = VAL.mask(i).copy()
    labels[:10] = 0
    return labels


def score(maps: Path, root: Path, **options):
    return dupl.evaluate_label_maps(maps, "other", "demo/ablation", root, overrides=SETS, **options)


def first(maps: Path) -> Path:
    return maps / f"{VAL.names[0]}.png"


def put(maps: Path, value: int, at: tuple[int, int] = (20, 20)) -> None:
    labels = np.array(Image.open(first(maps)))
    labels[at] = value
    save_palette_png(labels, first(maps))


class TestScores:
    def test_are_those_of_the_counts(self, maps, tmp_path):
        found = score(maps, tmp_path / "runs")
        matrix = sum(confusion(VAL.mask(i), flawed(i), 7) for i in range(12))
        assert [one.evaluation.metrics["seg/1/mIoU"] for one in found] == [mean_iou(matrix)] * 2
        assert found[0].evaluation.metrics["seg/best/mIoU"] == mean_iou(matrix)

    def test_of_grey_files_are_those_of_palette_files(self, maps, tmp_path):
        (before, _) = score(maps, tmp_path / "runs")
        for i, name in enumerate(VAL.names):
            Image.fromarray(flawed(i)).save(maps / f"{name}.png")
        (after, _) = score(maps, tmp_path / "others")
        assert before.evaluation.metrics == after.evaluation.metrics

    def test_of_pseudo_labels_are_those_of_a_cam(self, maps, tmp_path):
        (found,) = score(maps, tmp_path / "runs", kind="cam", protocols=["train"])
        assert {name.split("/")[0] for name in found.evaluation.metrics} == {"cam"}

    def test_undecided_pixels_count_as_background_or_not_at_all(self, maps, tmp_path):
        at = tuple(np.argwhere((flawed(0) > 0) & (flawed(0) < 255))[0])
        put(maps, 255, at)
        as_background, _ = score(maps, tmp_path / "runs", void="background")
        left_out, _ = score(maps, tmp_path / "others", void="ignore")
        counted = [one.evaluation.tallies["seg/1"].matrix.sum() for one in (as_background, left_out)]
        judged = sum(int((VAL.mask(i) != 255).sum()) for i in range(12))
        assert counted == [judged, judged - 1]
        assert "0.0 % of pixels undecided and left out" in left_out.title


class TestRefused:
    def test_a_missing_file(self, maps, tmp_path):
        first(maps).unlink()
        with pytest.raises(dupl.UserError, match=rf"no label map of 1 image of 12: the first is .*{VAL.names[0]}.png"):
            score(maps, tmp_path / "runs")

    def test_another_size(self, maps, tmp_path):
        save_palette_png(np.zeros((32, 40), np.uint8), first(maps))
        with pytest.raises(dupl.UserError, match="has 40x32 pixels, its mask 32x32: write it at the size of the photo"):
            score(maps, tmp_path / "runs")

    def test_a_value_that_is_no_class(self, maps, tmp_path):
        put(maps, 7)
        with pytest.raises(dupl.UserError, match=r"holds the value 7, which is no class: write 0 \(background\) to 6"):
            score(maps, tmp_path / "runs")

    def test_undecided_pixels_that_nobody_explained(self, maps, tmp_path):
        put(maps, 255, tuple(np.argwhere(flawed(0) < 255)[0]))
        with pytest.raises(dupl.UserError, match=r"holds 255 in 1 pixels .*--void background, or --void ignore"):
            score(maps, tmp_path / "runs")

    def test_a_picture_in_colours(self, maps, tmp_path):
        Image.new("RGB", (32, 32)).save(first(maps))
        with pytest.raises(dupl.UserError, match="its mode is RGB; save label ids as a palette or grey PNG"):
            score(maps, tmp_path / "runs")

    def test_a_name_that_no_folder_can_have(self, maps, tmp_path):
        with pytest.raises(dupl.UserError, match="write letters, digits"):
            dupl.evaluate_label_maps(maps, "a/b", "demo/ablation", tmp_path / "runs", overrides=SETS)

    def test_other_label_maps_of_the_same_name(self, maps, tmp_path):
        score(maps, tmp_path / "runs")
        score(maps, tmp_path / "runs")  # the same again
        put(maps, 1)
        with pytest.raises(dupl.UserError, match=r"holds the scores of other label maps on val: choose another name"):
            score(maps, tmp_path / "runs")

    @pytest.mark.parametrize(
        "words, message",
        [
            (["--masks", "maps"], "--masks takes --name NAME"),
            (["--masks", "maps", "--name", "x", "--data", "demo/toy", "--crf"], "the other options and a run belong"),
            (["--masks", "maps", "--name", "x", "--data", "demo/toy", "--protocol", "cam"], "have no threshold"),
            (["--name", "x"], "--name: only with --masks DIR"),
            (["runs/a", "--root", "other"], "--root: only with --masks DIR"),
            ([], "what is to be evaluated?"),
        ],
    )
    def test_options_of_the_command(self, words, message, capsys):
        assert main(["eval", *words]) == 2
        assert message in capsys.readouterr().err


class TestInTables:
    @pytest.fixture
    def store(self, maps, tmp_path) -> Path:
        shutil.copytree(FIXTURES / "store", tmp_path / "runs")
        score(maps, tmp_path / "runs")
        return tmp_path / "runs"

    def test_a_row_has_its_number_once_and_an_interval_over_the_same_images(self, store):
        made = dupl.ablation_table(FIXTURES / "plan.py", store, masks=["other"], overrides={})
        cell, cam = made.table.cells["other", "Seg"], made.table.cells["other", "M"]
        entry = RunStore(store).find(label_maps.entry_id("other"))
        assert list(cell.values.values()) == [entry.evaluations[0].metrics["seg/1/mIoU"]]
        assert cell.step.against == "L_reg"
        assert cell.step.estimate.low < cell.step.change < cell.step.estimate.high
        assert "not scored as cam/best/mIoU" in cam.notes[0]
        assert "label maps of another program" in made.render("md")
        assert not any("given" in note for note in made.table.notes)

    def test_a_name_that_the_store_does_not_have_is_a_dash(self, store):
        made = dupl.ablation_table(FIXTURES / "plan.py", store, masks=["nix"], overrides={})
        assert made.table.cells["nix", "Seg"].notes == (
            "the store has no label maps of this name: dupl eval --masks DIR --name nix --data RECIPE",
        )

    def test_a_key_of_the_plan_is_no_name(self, store):
        with pytest.raises(dupl.UserError, match="has a row 'L_reg': score the label maps under another name"):
            dupl.ablation_table(FIXTURES / "plan.py", store, masks=["L_reg"])

    def test_the_page_and_the_list_of_runs_show_it(self, store, capsys):
        made = dupl.ablation_table(FIXTURES / "plan.py", store, masks=["other"], overrides={})
        assert "other" in made.page()
        assert main(["runs", "--root", str(store)]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("other-")]
        assert "label maps" in line and "12/12, 7/7" in line

    def test_it_is_no_run_to_predict_with_or_to_train_again(self, store, capsys):
        entry = RunStore(store).find(label_maps.entry_id("other")).path
        assert dupl.api.newest_run(store) != entry
        for words in (["reproduce", str(entry)], ["show", str(entry)]):
            assert main(words) == 2
            assert "holds label maps of another program, not a run" in capsys.readouterr().err

    def test_it_has_a_page_and_an_archive_of_its_own(self, store, tmp_path):
        """As a run by its folder, whose counts it has; no protocol made it."""
        entry = RunStore(store).find(label_maps.entry_id("other")).path
        assert dupl.write_run_page(entry, tmp_path / "page.html").stat().st_size > 10_000
        pytest.importorskip("rocrate")
        pytest.importorskip("mlcroissant")
        found = dupl.export_evidence([entry, store / "L_reg-0"], tmp_path / "e.zip", store)
        assert found.verification.proven, found.verification.lines()

    def test_an_archive_proves_its_cell(self, store, tmp_path):
        pytest.importorskip("rocrate")
        pytest.importorskip("mlcroissant")
        found = dupl.export_evidence(FIXTURES / "plan.py", tmp_path / "e.zip", store, masks=["other"], overrides={})
        assert found.verification.proven, found.verification.lines()
