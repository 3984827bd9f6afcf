"""The page of a run: what it holds, what it says is missing, and what it does in a browser without a network."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from dupl.atomic import atomic_write
from dupl.errors import UserError
from dupl.report.figures.confusion import confusion_chart
from dupl.report.figures.contact_sheet import contact_sheet
from dupl.report.figures.image_row import ImageRow
from dupl.report.figures.noise_mixture import is_noise, mixture_chart, verdict
from dupl.report.figures.over_activation import rate_bars
from dupl.report.figures.training_curves import line_chart
from dupl.report.pages import run_curves
from dupl.report.pages.run import write
from dupl.report.pages.run_files import read_run

EVIL = "<script>alert(1)</script>"
CLASSES = ["background", EVIL, "a & b", "10"]
IOU = {"background": 90.0, EVIL: 40.5, "a & b": None, "10": 70.25}
PIXELS = {"background": 5000, EVIL: 30, "a & b": 0, "10": 1200}
MAPS = ("cam/1", "cam/2", "cam/mean", "seg/1", "seg/2", "seg/mean")
ONE = dict(
    low=0.0, high=6.0, counts=[10] * 12, weight=[0.5, 0.5], mean=[0.0, 4.0], variance=[1.0, 1.0], filtered=12.5
) | dict(fitted=True, gamma=0.5, eta=1.0)


def panel(name: str, shade: int) -> ImageRow:
    """An image with everything on it."""
    labels = np.zeros((20, 30), np.uint8)
    labels[:10] = 1
    maps = dict(cams=[labels.astype(np.float32)] * 2, cam_labels=[labels] * 2, pseudo=[labels] * 2)
    image = np.full((20, 30, 3), shade, np.uint8)
    return ImageRow(name, image, labels, noisy=[labels == 1] * 2, prediction=[labels] * 2, tags=(EVIL,), **maps)


def evaluation(folder: Path, facts: dict) -> None:
    """The files of one evaluation."""
    metrics = {f"{name}/{kind}": 50.0 for name in MAPS for kind in ("mIoU", "OA")}
    metrics |= {"seg/best/mIoU": 61.5, "cam/best/mIoU": 58.25}
    atomic_write(folder / "metrics.json", json.dumps({**facts, "seconds": 2.0, "metrics": metrics}).encode())
    cell = lambda value: "" if value is None else repr(value)  # noqa: E731
    quoted = {name: f'"{name}"' for name in CLASSES}
    rows = [f"{m},{quoted[c]},{cell(IOU[c])},80.0,70.0,{cell(IOU[c])},{PIXELS[c]}" for m in MAPS for c in CLASSES]
    table = "\n".join(["map,class,IoU,precision,recall,OA,pixels", *rows]) + "\n"
    atomic_write(folder / "per_class.csv", table.encode())
    matrix = [[4500, 500, 0, 0], [20, 10, 0, 0], [0, 0, 0, 0], [0, 300, 0, 900]]
    rows = [f"{m},{quoted[c]},{','.join(map(str, row))}" for m in MAPS for c, row in zip(CLASSES, matrix, strict=True)]
    atomic_write(folder / "confusion.csv", "\n".join([f"map,truth,{','.join(quoted.values())}", *rows, ""]).encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder with names that are HTML."""
    path = tmp_path_factory.mktemp("page") / "<b>run-0123456789ab"
    status = dict(state="finished", fingerprint="0123456789ab", command=["dupl", "train", EVIL], seed=3, iteration=16)
    status |= dict(
        created="2026-01-02T03:04:04+00:00",
        iterations=16,
        seconds=8.0,
        commit="c0ffee",
        dirty=True,
        versions={"torch": "2.9"},
        host="here",
    )
    status |= dict(machine="1 x NVIDIA H200", started="2026-01-02T03:04:05+00:00", ended="2026-01-02T03:05:05+00:00")
    atomic_write(path / "status.json", json.dumps(status).encode())
    model = "dict(segmentation=dict(start=4), noise_filter=dict(start=12), consistency=dict(start=12))"
    atomic_write(path / "config.py", f"model = {model}\nschedule = dict(iterations=16)\n".encode())
    atomic_write(path / "git.diff", b"+ <i>changed</i>\n")
    rows = [
        {"iter": t, "loss": 3.0 / t, "L_seg": 0.0 if t < 6 else 1.0, "tau_h": 0.7, "seconds": 0.5}
        for t in range(2, 17, 2)
    ]
    rows += [{"iter": t, **{f"{m}/mIoU": 10.0 + t for m in MAPS}} for t in (8, 16)]
    atomic_write(path / "scalars.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    for t in (8, 16):
        facts = {"protocol": "squashed, no CRF", "size": 32, "iter": t, "data": {"type": "Toy", "split": "val"}}
        evaluation(path / "evaluation" / f"iter_{t:06d}", facts)
        sheet, described = contact_sheet([panel(EVIL, 10 * t), panel("second", 40)], CLASSES)
        for image in described["images"]:
            image["losses"] = [ONE, {**ONE, "fitted": False}] if t == 16 else []
        atomic_write(path / "gallery" / f"iter_{t:06d}.webp", sheet)
        shot = {"iter": t, "split": "val", "seconds": 0.5, **described}
        atomic_write(path / "gallery" / f"iter_{t:06d}.json", json.dumps(shot).encode())
    final = {"protocol": "multi-scale, CRF", "checkpoint": "/x/best.pth", "split": "val", "students": "all"}
    evaluation(path / "evaluation" / "val_final_best", final)
    return path


@pytest.fixture(scope="module")
def page(folder):
    """Its page."""
    return write(folder)


class TestPage:
    def test_needs_nothing_else(self, page, tags):
        found = tags(page)
        assert found.links
        assert all(link.startswith(("#", "data:")) for link in found.links)

    def test_names_are_no_html(self, page, tags):
        found = tags(page)
        assert found.tags.count("script") == 3, "data, plotly and the page's own"
        assert "b" not in found.tags
        text = " ".join(found.text)
        for shown in ("<b>run-0123456789ab", EVIL, "+ <i>changed</i>"):
            assert shown in text

    def test_says_where_it_comes_from(self, page, tags):
        text = " ".join(tags(page).text)
        for fact in ("<b>run", "0123456789ab", "c0ffee", "with uncommitted changes", "torch 2.9", "1 x NVIDIA H200"):
            assert fact in text
        for fact in ("squashed, no CRF, 32 px, Toy val", "2026-01-02 03:04 to 2026-01-02 03:05 UTC", "61.5"):
            assert fact in text
        assert "8.0 s" in text
        assert "61.5% of the time" in text, "8 s of 13: 4 s of evaluation, 1 s of gallery"

    def test_evaluations_afterwards_can_be_told_apart(self, folder, tmp_path):
        run = tmp_path / "run"
        shutil.copytree(folder, run)
        facts = {"protocol": "p", "metrics": {}, "split": "val", "checkpoint": "x/best.pth", "iter": 16}
        for name, more in (("", {"students": "all"}), ("-2", {"students": ["1"]}), ("-student-2", {"iter": None})):
            where = run / "evaluation" / (f"val_cam_best{name}" if name != "-student-2" else "val_cam-student-2_best")
            atomic_write(where / "metrics.json", json.dumps(facts | more).encode())
            shutil.copy(run / "evaluation/iter_000008/per_class.csv", where)
        found = {e.title for e in read_run(run).evaluations if e.iteration is None and e.title.endswith(": p")}
        assert found == {
            "val, best, iteration 16: p",
            "val, best, iteration 16, student 1, evaluation 2: p",
            "val, best: p",
        }

    def test_a_bare_run_says_what_is_missing(self, tmp_path, tags):
        status = dict(state="running", fingerprint="0", command=["python", "train.py"], seed=0, created="")
        atomic_write(tmp_path / "status.json", json.dumps(status).encode())
        text = " ".join(tags(write(tmp_path, tmp_path / "out" / "page.html")).text)
        for word in ("Nothing was logged", "Nothing per class", "No gallery", "No losses", "No time", "no config.py"):
            assert word in text
        assert "never evaluated in training" in text

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda losses: losses.pop("mean"), "mean of losses is None"),
            (lambda losses: losses.update(variance=[1.0]), "variance of losses is [1.0]"),
            (lambda losses: losses.update(counts=[1, "many"]), "counts of losses is [1, 'many']"),
            (lambda losses: losses.update(weight=[0.5, 10**60]), "weight of losses is [0.5, 1"),
            (lambda losses: losses.pop("eta"), "eta is None"),
        ],
    )
    def test_a_damaged_mixture_leaves_its_gallery_out(self, folder, tmp_path, change, told):
        run = tmp_path / "run"
        shutil.copytree(folder, run)
        file = run / "gallery/iter_000016.json"
        shot = json.loads(file.read_text())
        change(shot["images"][1]["losses"][0])
        file.write_text(json.dumps(shot))
        found = read_run(run)
        assert [shot["iter"] for shot in found.gallery] == [8]
        (problem,) = found.problems
        assert problem.startswith("gallery/iter_000016.json cannot be read: ") and told in problem
        assert "iter_000016.json cannot be read" in write(run).read_text()

    def test_damage_is_told(self, folder, tmp_path, tags):
        run = tmp_path / "run"
        shutil.copytree(folder, run)
        (run / "evaluation/iter_000008/metrics.json").write_text("{")
        (run / "gallery/iter_000016.webp").unlink()
        (run / "config.py").write_text("model = ")
        found = read_run(run)
        assert [e.iteration for e in found.evaluations] == [16, None]
        assert [shot["iter"] for shot in found.gallery] == [8]
        assert len(found.problems) == 2, "a file that is missing is no damage"
        text = " ".join(tags(write(run)).text)
        assert "config.py cannot be read" in text
        assert "iter_000008 cannot be read" in text

    def test_a_folder_without_a_run_is_refused(self, tmp_path):
        with pytest.raises(UserError, match="is it the folder of a run"):
            write(tmp_path)


class TestCharts:
    def test_every_scalar_has_its_place(self):
        keys = ["iter", "loss", "L_cls", "seconds", "cam/1/mIoU", "cam/mean/mIoU", "cam/best/mIoU", "seg/2/OA", "new"]
        keys += ["noise/1/mean_clean", "noise/2/mean_noisy", "quality/1/OA", "quality/disagreement", "a/b/c"]
        found = run_curves.charts(keys)
        placed = {name: chart.names for name, chart in found.items()}
        assert placed["loss"] == {"loss": "loss", "L_cls": "L_cls"}
        assert placed["cam/mIoU"] == {"student 1": "cam/1/mIoU", "both averaged": "cam/mean/mIoU"}
        assert placed["noise/means"] == {"clean, student 1": keys[9], "noisy, student 2": keys[10]}
        shown = {key for names in placed.values() for key in names.values()}
        assert shown == set(keys) - {"iter", "seconds", "cam/best/mIoU"}

    def test_a_term_begins_where_it_starts(self):
        rows = [{"iter": 1, "L_reg": 0.0, "lr": 0.0}, {"iter": 2, "L_reg": 2.0, "lr": 1.0}, {"iter": 3, "L_reg": 0.0}]
        assert [row.get("L_reg") for row in run_curves.rows_to_draw(rows)] == [None, 2.0, 0.0]
        assert run_curves.rows_to_draw(rows)[0]["lr"] == 0.0

    def test_lines(self):
        rows = [{"iter": 2, "cam/1/mIoU": 5.0}, {"iter": 4, "cam/1/mIoU": None, "cam/2/mIoU": 7.0}]
        names = {"<i>": "cam/1/mIoU", "two": "cam/2/mIoU", "none": "cam/3/mIoU"}
        chart = line_chart(rows, names, "%", {"L_seg starts": 3, "ANF starts": 3}, factor=10)
        assert [(trace.name, trace.x, trace.y) for trace in chart.data] == [
            ("&lt;i&gt;", (2,), (50.0,)),
            ("two", (4,), (70.0,)),
        ]
        assert [note.text for note in chart.layout.annotations] == ["L<sub>seg</sub>, ANF"]
        assert (chart.layout.xaxis.tickformat, chart.layout.xaxis.dtick) == (",d", 1), "no marks between iterations"
        long = line_chart([{"iter": 20_000, "cam/1/mIoU": 5.0}], names, "%")
        assert long.layout.xaxis.dtick is None

    def test_bars_leave_out_what_was_never_predicted(self):
        nan = math.nan
        chart = rate_bars({"student 1": [10.0, nan, nan], "student 2": [nan, 20.0, nan]}, ["<a>", "2", "c"], "%")
        assert [bar.y for bar in chart.data] == [("&lt;a&gt;", "2")] * 2
        assert [bar.x for bar in chart.data] == [(10.0, None), (None, 20.0)]
        assert chart.layout.yaxis.type == "category", "classes may be called by numbers"

    def test_bars_of_a_plan_have_the_colour_of_their_row(self):
        order = ["base", "ANF", "both"]
        whole = rate_bars(dict.fromkeys(order, [10.0]), ["cat"], "%", order)
        part = rate_bars({"both": [10.0]}, ["cat"], "%", order)
        assert part.data[0].marker.color == whole.data[2].marker.color != whole.data[0].marker.color

    def test_confusion_is_by_row(self):
        heat = confusion_chart([[30, 10], [0, 0]], ["a", "b"]).data[0]
        assert heat.z[0] == [75.0, 25.0]
        assert heat.z[1] == [None, None], "a class without truth"
        assert heat.customdata[0] == [30, 10]

    def test_noise_is_what_eq_7_says(self):
        """Equal weights and variances: the posterior is 1/2 half way between the means."""
        at = np.array([1.9, 2.1])
        assert is_noise(ONE, at).tolist() == [False, True]
        assert is_noise({**ONE, "gamma": 0.9}, np.array([2.1, 2.5, 2.6])).tolist() == [False, False, True]
        assert not is_noise({**ONE, "eta": 4.0}, at).any()
        assert not is_noise({**ONE, "fitted": False}, at).any()
        assert verdict(ONE) == "means 4.00 apart: 12.5% of the image filtered"
        assert "not more than 4" in verdict({**ONE, "eta": 4.0})
        assert verdict({**ONE, "fitted": False}) == "too few losses to fit"

    def test_losses_add_up(self):
        """120 losses in bins of 1/2; the clean Gaussian shows its upper half, the noisy one its top."""
        kept, noise, clean, noisy = mixture_chart(ONE).data
        assert (sum(kept.y), sum(noise.y)) == (40, 80)
        assert np.array(clean.y).sum() * 6 / 159 == pytest.approx(120 * 0.5 * 0.25, rel=0.02)
        assert max(noisy.y) == pytest.approx(120 * 0.5 * 0.5 / math.sqrt(2 * math.pi), rel=1e-3)
        assert mixture_chart({**ONE, "counts": []}).layout.annotations[0].text == "no losses to fit"


@pytest.fixture
def opened(open_page, page):
    """Open the page of the run."""
    return lambda **options: open_page(page, **options)


def column(tab, number: int) -> list[str]:
    """The texts of a column of the table of classes."""
    return tab.locator(f"#classes-table tbody tr > :nth-child({number})").all_text_contents()


class TestBrowser:
    def test_the_table_sorts(self, opened):
        tab = opened()
        heads = tab.locator("#classes-table thead th")
        assert column(tab, 1) == CLASSES
        heads.nth(1).locator("button").click()
        assert column(tab, 2) == ["90.0", "70.3", "40.5", "–"]
        assert heads.nth(1).get_attribute("aria-sort") == "descending"
        heads.nth(1).locator("button").click()
        assert column(tab, 2) == ["40.5", "70.3", "90.0", "–"], "what has no number stays below"
        assert column(tab, 1) == [EVIL, "10", "background", "a & b"]
        heads.nth(7).locator("button").click()
        assert column(tab, 8) == ["5,000", "1,200", "30", "0"]
        assert heads.nth(1).get_attribute("aria-sort") == "none"
        assert tab.locator("#classes-table tfoot tr > :nth-child(2)").text_content() == "66.9"

    def test_evaluation_measure_and_map_are_chosen(self, opened):
        tab = opened()
        tab.select_option("#evaluation", label="val, best: multi-scale, CRF")
        tab.select_option("#measure", "recall")
        assert column(tab, 2) == ["70.0"] * 4
        tab.select_option("#map", label="Seg, student 2")
        tab.locator("#confusion .heatmaplayer").wait_for(state="attached")
        assert EVIL in tab.locator("#confusion .ytick").all_text_contents()

    def test_the_slider_moves_gallery_and_losses(self, opened, until):
        tab = opened()
        seen = tab.locator("#gallery-images canvas")
        seen.nth(8).wait_for()
        assert seen.first.get_attribute("aria-label") == f"Image of {EVIL} at iteration 16"
        assert tab.locator("#losses figcaption").all_text_contents()[1] == f"{EVIL}, student 2"
        assert tab.locator("#losses p").all_text_contents()[1] == "too few losses to fit"
        read = "c => c.getContext('2d').getImageData(5, 5, 1, 1).data[0]"
        assert seen.first.evaluate(read) == pytest.approx(160, abs=4)
        slider = tab.locator("#gallery input")
        slider.focus()
        slider.press("ArrowLeft")
        until(tab, "document.querySelector('#gallery-images canvas').ariaLabel.endsWith('iteration 8')")
        assert seen.first.evaluate(read) == pytest.approx(80, abs=4)
        assert tab.locator("#noise output").text_content() == "8", "both sliders move"
        assert tab.locator("#losses-missing").is_visible()
        assert tab.locator("#gallery-legend li").first.text_content() == EVIL

    def test_smoothing_and_theme(self, opened, until):
        tab = opened(color_scheme="dark")
        ink = "e => getComputedStyle(e).fill"
        label = tab.locator("#curves .xtitle").first
        label.wait_for()
        assert label.evaluate(ink) == "rgb(230, 233, 238)"
        tab.locator("#theme").click()
        until(tab, "getComputedStyle(document.querySelector('#curves .xtitle')).fill === 'rgb(26, 29, 33)'")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        losses = tab.locator("figure", has_text="Loss (Eq. 9)")
        losses.scroll_into_view_if_needed()
        losses.locator(".lines path").first.wait_for(state="attached")
        plain = losses.locator(".scatterlayer .trace").count()
        tab.locator("#smoothing").fill("0.9")
        assert losses.locator(".scatterlayer .trace").count() == 2 * plain, "the raw lines stay behind, faint"

    def test_a_phone_scrolls_only_down(self, opened):
        tab = opened(viewport={"width": 360, "height": 740}, has_touch=True)
        tab.locator("#gallery-images canvas").first.wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
