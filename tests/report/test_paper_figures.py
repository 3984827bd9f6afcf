"""The paper's figures as files: what is on them, what they refuse, and the command that draws them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dupl
from dupl.cli import main
from dupl.errors import UserError
from dupl.report.figures.bias_over_training import bias_info, choose_iterations
from dupl.report.figures.loss_distribution import rescale_factor
from dupl.report.figures.methods_scatter import PUBLISHED, MethodPoint, methods_scatter, scatter_info
from dupl.report.figures.noise_mixture import MixtureInfo
from dupl.report.gallery_pictures import gallery_picture
from dupl.report.run_comparison import logged_courses
from dupl.report.symbols import mathtext
from dupl.runs.calls import Call, record

FIXTURES = Path(__file__).parents[1] / "fixtures"
PLAN, STORE = str(FIXTURES / "plan.py"), FIXTURES / "store"


def info(counts, noise):
    counts, noise = np.array(counts), np.array(noise, bool)
    return MixtureInfo(np.arange(len(counts)) * 1.0, counts, 1.0, noise, np.empty(0), np.empty((2, 0)), "")


@pytest.mark.parametrize("number", ["1", "2", "7a"])
@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_a_plan_is_drawn_in_each_format(number, ending, tmp_path):
    out = tmp_path / f"figure.{ending}"
    assert dupl.figures.write_paper_figure(number, out, PLAN, STORE) == out
    head = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}[ending]
    assert out.read_bytes().startswith(head)


def words(number, tmp_path, what=PLAN, **options):
    """The text of a figure, from its SVG, where it is kept as comments."""
    out = tmp_path / "figure.svg"
    dupl.figures.write_paper_figure(number, out, what, STORE, **options)
    return out.read_text()


def test_figure_7a_has_a_group_per_class_and_a_bar_per_row(tmp_path):
    text = words("7a", tmp_path, rows=["baseline", "L_dis"])
    assert all(f"<!-- {name} -->" in text for name in ("disc", "square", "star", "Baseline"))
    assert "<!-- Over-activation per class -->" in text
    assert "<!-- CAM, student 1; val, squashed, no CRF; 2 seeds -->" in text
    assert "CAM, student 2" in words("7a", tmp_path, rows=["L_dis"], label_map="cam/2")
    with pytest.raises(UserError, match="nothing of Baseline: cam/2 per class"):
        words("7a", tmp_path, rows=["baseline", "L_dis"], label_map="cam/2")


def test_figure_1_of_other_data_has_no_published_point(tmp_path):
    text = words("1", tmp_path)
    assert "ToCo" not in text and "published points are left out" in text
    assert "on val, protocol train" in text, "the axes say how it was measured"


def test_figure_1_names_the_published_methods(tmp_path):
    out = tmp_path / "figure.svg"
    ours = MethodPoint("mine", 75.0, 72.0, "ours", 0.2, 0.1)
    methods_scatter([*PUBLISHED, ours], out, "title", "subtitle", "x", "y")
    assert all(f"<!-- {point.label} -->" in out.read_text() for point in (*PUBLISHED, ours))
    assert list(scatter_info([*PUBLISHED, ours])) == [
        "ours",
        "DuPL, as published",
        "one-stage, as published",
        "multi-stage, as published",
    ]
    assert {point.label: (point.cam, point.seg) for point in PUBLISHED}["ToCo"] == (72.2, 69.8)


def test_figure_2_shows_one_image_over_training_where_all_runs_picture_it(tmp_path):
    store = tmp_path / "store"
    shutil.copytree(STORE, store)
    for run in ("baseline-0", "L_dis-0"):
        shutil.copytree(STORE / "L_reg-0" / "gallery", store / run / "gallery", dirs_exist_ok=True)
    out = tmp_path / "figure.svg"
    dupl.figures.write_paper_figure("2", out, PLAN, store, rows=["baseline", "L_dis"])
    text = out.read_text()
    assert text.count("<image") == 4, "two iterations of two rows"
    assert "<!-- 75 -->" in text and "Image val_00000" in text
    with pytest.raises(UserError, match=r"pictures image nowhere: there are val_0"):
        dupl.figures.write_paper_figure("2", out, PLAN, store, rows=["baseline", "L_dis"], image="nowhere")


def test_figure_2_without_galleries_says_so(tmp_path):
    assert "No pictures" in words("2", tmp_path, rows=["baseline", "L_dis"])


def test_curves_are_of_what_the_runs_logged(tmp_path):
    store = tmp_path / "store"
    shutil.copytree(STORE, store)
    for folder in store.glob("*/evaluation/iter_000075"):  # an archive keeps the last one alone
        shutil.rmtree(folder)
    out = tmp_path / "figure.svg"
    shown = {"rows": ["baseline", "L_dis"], "metrics": ["cam/best/mIoU", "seg/1/mIoU", "tau_h"]}
    dupl.figures.write_paper_figure("curves", out, PLAN, store, **shown)
    text = out.read_text()
    for words in ("CAM, better student: mIoU (%)", "Seg, student 1: mIoU (%)", "Baseline"):
        assert f"<!-- {words} -->" in text, words
    assert text.count("<!-- iteration -->") == 3, "a panel for each metric"
    assert "val, squashed, no CRF; mean over 2 seeds, band: lowest to highest seed" in text
    with pytest.raises(UserError, match="no run logged 'cam/best/mIOU'; did you mean cam/best/mIoU"):
        dupl.figures.write_paper_figure("curves", out, PLAN, store, rows=["baseline"], metrics=["cam/best/mIOU"])


def test_curves_go_through_the_logged_values():
    scalars = pd.DataFrame({"fingerprint": ["a", "a", "b"], "iter": [5, 10, 10], "loss": [4.0, 2.0, 1.0]})
    table = logged_courses(scalars, "loss", {"both": ["a", "b"]})
    assert table[["iteration", "mean", "low", "high", "runs"]].values.tolist() == [[5, 4, 4, 4, 1], [10, 1.5, 1, 2, 2]]


def test_figure_4_shows_the_most_filtered_image(tmp_path):
    text = words("4", tmp_path, STORE / "L_reg-0")
    assert "Losses of the pseudo-labels of image val_00000" in text and "iteration 90" in text
    assert "means 1.66 apart: 9.6% of the image filtered" in text
    assert text.count("<image") == 6, "image, truth and pseudo-label of two students"
    other = words("4", tmp_path, STORE / "L_reg-0", image="val_00011", iteration=75)
    assert "image val_00011" in other and "iteration 75" in other


@pytest.mark.parametrize(
    "what, options, message",
    [
        (STORE / "baseline-0", {}, "has no gallery|fitted no mixture"),
        (STORE / "L_reg-0", {"iteration": 80}, "has no iteration 80: there are 75, 90"),
        (STORE / "L_reg-0", {"image": "moon"}, "has no image moon: there are val_00000, val_00011"),
        (PLAN, {}, "figure 4 shows one run, and 6 are chosen"),
        (None, {}, "figure 4 shows one run: name its folder"),
        (STORE / "L_reg-0", {"seeds": [0]}, "runs that are named are what they are"),
    ],
)
def test_figure_4_refuses(what, options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        dupl.figures.write_paper_figure("4", tmp_path / "figure.pdf", what, STORE, **options)


def test_a_row_without_a_run_is_named_with_the_command(tmp_path):
    with pytest.raises(UserError, match=r"has no finished run of baseline, L_dis: dupl ablate .*--seeds 7"):
        dupl.figures.write_paper_figure("7a", tmp_path / "f.pdf", PLAN, STORE, rows=["baseline", "L_dis"], seeds=[7])
    with pytest.raises(UserError, match="there is no figure 3"):
        dupl.figures.write_paper_figure("3", tmp_path / "f.pdf", PLAN, STORE)
    with pytest.raises(UserError, match=r"\.jpg: a figure is written as \.pdf, \.svg, \.png"):
        dupl.figures.write_paper_figure("7a", tmp_path / "f.jpg", PLAN, STORE)


def test_missing_seeds_are_said(tmp_path):
    text = words("7a", tmp_path, rows=["baseline"], seeds=[0, 7])
    assert "Baseline (1 of 2 seeds)" in text


def test_unfinished_runs_are_refused(tmp_path):
    folder = tmp_path / "store" / "L_reg-0"
    shutil.copytree(STORE / "L_reg-0", folder)
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"state": "failed", "error": "x"}))
    with pytest.raises(UserError, match="is failed at iteration 90: a figure shows finished runs"):
        dupl.figures.write_paper_figure("4", tmp_path / "f.pdf", folder)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["figure", "7a", PLAN, "--root", str(STORE), "--rows", "baseline", "L_dis"]) == 0
    assert capsys.readouterr().out == "fig7a.pdf\n"
    assert Path("fig7a.pdf").read_bytes().startswith(b"%PDF")
    runs = [str(STORE / name) for name in ("baseline-0", "L_dis-0")]
    assert main(["figure", "1", *runs, "--out", "points.png"]) == 0
    assert Image.open("points.png").size[0] > 800
    assert main(["figure", "1", runs[0], "nowhere"]) == 2
    assert "nowhere is no run" in capsys.readouterr().err


def test_the_call_that_is_used_is_told_and_can_be_chosen(tmp_path, capsys):
    root = tmp_path / "store"
    shutil.copytree(STORE, root)
    record(root, Call("ablate", "plan", {"runtime.workers": 1}))  # does not change the runs
    record(root, Call("ablate", "plan", {"schedule.iterations": 91}))
    words = ["figure", "7a", PLAN, "--root", str(root), "--rows", "baseline", "--out", str(tmp_path / "f.svg")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "schedule.iterations=91" in error.splitlines()[0]
    assert "other calls, by --call N: 2: --set runtime.workers=1" in error
    assert re.search("no finished run of baseline: dupl ablate .*--set .*schedule.iterations=91 trains them", error)
    assert main([*words, "--call", "2"]) == 0
    assert capsys.readouterr().err.startswith("as dupl ablate was called at 20")
    assert main([*words, "--call", "2", "--data", "00000000"]) == 2
    assert "--data 00000000: there are runs and evaluations on" in capsys.readouterr().err
    prints = dupl.plan_runs(PLAN, ["baseline"], store=root, call=2)["Baseline"]
    assert capsys.readouterr().out.startswith("as dupl ablate was called at 20"), "a notebook prints it"
    assert dupl.find_run(root, PLAN, "baseline", call=2, tell=str).fingerprint == prints[0]
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match="data and call choose runs of a plan"):
        dupl.figures.write_paper_figure("1", tmp_path / "f.pdf", [root / "L_dis-0"], root, call=1)


def test_pictures_are_cut_from_the_contact_sheet():
    run = dupl.read_run(STORE / "L_reg-0")
    shot = run.gallery[-1]
    assert gallery_picture(shot, "val_00000", "Pseudo-label", 2).shape == (160, 160, 3)
    assert gallery_picture(shot, "val_00000", "CAM", 3) is None
    assert gallery_picture(shot, "elsewhere", "CAM", 1) is None
    sheet = np.asarray(Image.open(STORE / "L_reg-0" / "gallery" / "iter_000090.webp").convert("RGB"))
    assert np.array_equal(gallery_picture(shot, "val_00011", "Image", 0), sheet[176:336, :160])


@pytest.mark.parametrize(
    "counts, noise, factor",
    [([8, 8], [0, 1], 1.0), ([160, 10], [0, 1], 10.0), ([160, 10], [0, 0], 1.0), ([0, 10], [0, 1], 1.0)],
)
def test_kept_losses_are_rescaled_only_where_they_hide_the_others(counts, noise, factor):
    assert rescale_factor(info(counts, noise)) == pytest.approx(factor)


def test_curves_and_pictures_keep_first_and_last():
    table = pd.DataFrame({"label": ["a", "a"], "iteration": [5, 10], "mean": [1.0, 2.0], "low": [0, 1], "high": [2, 3]})
    (line,) = bias_info(table)
    assert (line.label, line.iterations, line.mean, line.high) == ("a", [5, 10], [1.0, 2.0], [2, 3])
    assert choose_iterations([1, 2, 3], 7) == [1, 2, 3]
    assert choose_iterations(list(range(0, 100, 10)), 4) == [0, 30, 60, 90]


def test_symbols_are_typeset_and_dollars_kept():
    assert mathtext("+ L_dis, 5 $") == r"+ $\mathcal{L}_{\mathrm{dis}}$, 5 \$"
    assert mathtext("tau_h") == r"$\tau_{\mathrm{h}}$"
