"""From frames to a table, and from a table to Markdown, LaTeX, HTML and CSV."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dupl.errors import UserError
from dupl.plans.plan import Column, Plan, Row, load
from dupl.plans.rows import PRINTED, label_map_row
from dupl.report.pages.html import environment
from dupl.report.pages.table_view import grid_views
from dupl.report.run_comparison_charts import table_chart
from dupl.report.tables.counts import Counts, Metric
from dupl.report.tables.layout import chance, layout, letter, signed
from dupl.report.tables.render import render
from dupl.report.tables.row_run import RowRun
from dupl.report.tables.statistics import holm
from dupl.report.tables.table import Table, table
from dupl.runs.pixel_counts import PixelCounts

CLASSES = ("background", "cat", "cow")
FACTORS = {"A": "first", "B": "second"}
STEPS = (Row("none", "Baseline"), Row("a", "+ first", ("A",)), Row("ab", "+ second", ("A", "B")))
FACTORIAL = (
    Row("none", "none"),
    Row("A", "first", ("A",)),
    Row("B", "second", ("B",)),
    Row("full", "both", ("A", "B")),
)
BETTER = "selected: each run's better student on val, the reported split"
SEG = Column("Seg", "Seg.", "seg/best/mIoU", "train")


def pixels(quality: float, seed: int, images: int = 25, prefix: str = "photo") -> pd.DataFrame:
    """As per_image.csv, of two students that find a share of the pixels of each image's one object."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(images):
        hard = np.random.default_rng(i).normal(0, 0.1)
        for student in (1, 2):
            hit = int(np.clip(quality + hard + rng.normal(0, 0.03), 0, 1) * 100)
            rows.append((f"seg/{student}", f"{prefix}{i}", "background", 900, 100 - hit, 0))
            rows.append((f"seg/{student}", f"{prefix}{i}", CLASSES[1 + i % 2], hit, 0, 100 - hit))
    return pd.DataFrame(rows, columns=["map", "image", "class", "TP", "FP", "FN"])


class Store:
    """Runs in memory: planned, measured, counted."""

    def __init__(self) -> None:
        self.runs: list[RowRun] = []
        self.lines: list[dict[str, object]] = []
        self.counts: dict[str, pd.DataFrame] = {}

    def add(self, row: str, seed: int, quality: float | None = None, name: str = "", **facts: object) -> str:
        """A finished run, or one without a value; returns its fingerprint."""
        name = name or f"{row}{seed}"
        state = facts.pop("state", "finished")
        self.runs.append(RowRun(row, seed, name, f"runs/{name}", state, 9, 9, facts.pop("error", None)))
        if quality is not None and name not in self.counts:
            self.counts[name] = pixels(quality, seed=sum(map(ord, name)))
            metric = Metric.parse("seg/best/mIoU")
            value = Counts.of(PixelCounts.of(self.counts[name]), ["seg/1", "seg/2"]).value(metric)
            line = dict(run=f"runs/{name}", fingerprint=name, seed=seed, commit="c" * 40, dirty=False, torch="2.9")
            line |= dict(protocol="train", title="squashed", split="val", iteration=9, last=True, judged="")
            line |= dict(metric="seg/best/mIoU", value=value)
            self.lines.append(line | facts)
        return name

    def frame(self) -> pd.DataFrame:
        blank = ["run", "fingerprint", "commit", "dirty", "torch", "protocol", "title", "split", "metric", "judged"]
        empty = pd.DataFrame({name: pd.Series(dtype=str) for name in blank}).assign(last=pd.Series(dtype=bool))
        if self.lines:
            return pd.DataFrame(self.lines)
        return empty.assign(value=pd.Series(dtype=float), iteration=pd.Series(dtype="Int64"))

    def table(self, rows: tuple[Row, ...] = STEPS, columns: tuple[Column, ...] = (SEG,), **facts: object) -> Table:
        more = {name: facts.pop(name) for name in ("mixed", "command") if name in facts}
        given = {"title": "A plan", "factors": FACTORS, "kind": "rows", "compare": "previous", **facts}
        plan = Plan(name="plan", doc="", base="", seeds=(0,), set={}, columns=columns, rows=rows, **given)
        return table(plan, self.runs, self.frame(), lambda name, *_: PixelCounts.of(self.counts[name]), **more)


def filled(rows: tuple[Row, ...] = STEPS, seeds: int = 2) -> Store:
    store = Store()
    for place, row in enumerate(rows):
        for seed in range(seeds):
            store.add(row.key, seed, 0.5 + 0.06 * place)
    return store


def with_label_maps(store: Store, name: str, quality: float, seeds: int) -> None:
    """Add label maps of another program, which stand against every seed of the other rows."""
    store.add(name, 0, quality, name=name)
    del store.runs[-1]
    store.runs += [RowRun(name, seed, name, f"runs/{name}", "finished", 0, 0, masks=name) for seed in range(seeds)]


def grids_html(made: Table) -> list[str]:
    """The grids of a table as they stand in its page."""
    template = environment().get_template("table.html").module
    return [str(template.grid(view)) for view in grid_views(layout(made))]


class TestSteps:
    def test_each_is_against_the_row_before(self):
        cells = filled().table().cells
        assert cells["none", "Seg"].step is None
        for row, before, label in (("a", "none", "+ first"), ("ab", "a", "+ second")):
            step = cells[row, "Seg"].step
            gap = cells[row, "Seg"].summary.mean - cells[before, "Seg"].summary.mean
            assert (step.label, step.against, step.note) == (label, before, "")
            assert step.change == pytest.approx(gap) == step.estimate.value
            assert step.estimate.over == "seeds x images"

    def test_or_against_one_row(self):
        rows = (Row("full", "Full", ("A", "B")), Row("b", "without first", ("B",)), Row("none", "without both"))
        cells = filled(rows).table(rows, compare="full").cells
        assert cells["full", "Seg"].step is None
        assert [cells[key, "Seg"].step.label for key in ("b", "none")] == ["− first", "− first − second"]
        assert {cells[key, "Seg"].step.against for key in ("b", "none")} == {"full"}

    def test_values_are_named_by_their_labels(self):
        rows = (Row("0.6", "0.60"), Row("0.5", "0.50"))
        assert filled(rows).table(rows, compare="0.6").cells["0.5", "Seg"].step.label == "0.50"

    def test_p_is_corrected_over_the_rows_of_a_column(self):
        cells = filled(seeds=3).table().cells
        steps = [cells[key, "Seg"].step for key in ("a", "ab")]
        assert [step.p for step in steps] == pytest.approx(holm([step.estimate.p for step in steps]))
        assert max(step.p / step.estimate.p for step in steps) == pytest.approx(2)

    def test_the_papers_step(self):
        given = Row("none", "n", paper={"Seg": 60.0}), Row("a", "a", ("A",), paper={"Seg": 62.5})
        rows = (*given, Row("ab", "b", ("A", "B")))
        cells = filled(rows).table(rows).cells
        assert cells["a", "Seg"].step.paper == 2.5
        assert cells["ab", "Seg"].step.paper is None

    def test_rows_that_are_the_same_runs(self):
        store = Store()
        rows = (Row("none", "Baseline"), Row("again", "As before"))
        for row in rows:
            store.add(row.key, 0, 0.5, name="shared")
        step = store.table(rows).cells["again", "Seg"].step
        assert (step.change, step.estimate) == (0, None)
        assert step.note == "Baseline and As before are the same runs"


class TestEffects:
    def test_marginal_means(self):
        made = filled(FACTORIAL, seeds=3).table(FACTORIAL, kind="factorial", compare="full")
        mean = {key: made.cells[key, "Seg"].summary.mean for key in ("none", "A", "B", "full")}
        first = made.effects["A", "Seg"]
        assert first.change == pytest.approx((mean["A"] - mean["none"] + mean["full"] - mean["B"]) / 2)
        assert first.estimate.low < first.change < first.estimate.high
        plain = [made.effects[key, "Seg"].estimate.p for key in FACTORS]
        assert [made.effects[key, "Seg"].p for key in FACTORS] == pytest.approx(holm(plain))

    def test_a_missing_combination_is_told(self):
        store = filled(FACTORIAL[:3])
        store.add("full", 0, state="running")
        made = store.table(FACTORIAL, kind="factorial")
        assert made.effects["A", "Seg"].change is None
        assert made.effects["A", "Seg"].note == "no change without a value of both"

    def test_other_plans_have_none(self):
        assert filled().table().effects == {}

    def test_label_maps_of_another_program_are_no_combination_of_components(self):
        store = filled(FACTORIAL, seeds=3)
        before = store.table(FACTORIAL, kind="factorial", compare="full")
        rows = (*FACTORIAL, label_map_row("other"))
        with_label_maps(store, "other", 0.9, seeds=3)
        made = store.table(rows, kind="factorial", compare="full")
        for key in FACTORS:
            assert made.effects[key, "Seg"].change == before.effects[key, "Seg"].change


class TestMissing:
    def test_a_step_needs_its_row(self):
        store = Store()
        store.add("none", 0, state="failed", error="the disk is full")
        store.add("a", 0, 0.5)
        store.runs.append(RowRun("ab", 0, "ab0"))
        cells = store.table().cells
        assert cells["none", "Seg"].notes == ("failed at iteration 9 of 9: the disk is full",)
        assert cells["a", "Seg"].step.change is None
        assert cells["a", "Seg"].step.note == "no change without a value of Baseline"
        assert cells["ab", "Seg"].notes == ("not run",)
        assert cells["ab", "Seg"].summary is None

    def test_a_change_is_over_shared_seeds(self):
        store = Store()
        for seed in (0, 1, 2):
            store.add("none", seed, 0.5 + 0.02 * seed)
        for seed in (1, 2):
            store.add("a", seed, 0.6)
        store.add("a", 0, state="interrupted")
        cells = store.table(STEPS[:2]).cells
        gaps = [cells["a", "Seg"].values[seed] - cells["none", "Seg"].values[seed] for seed in (1, 2)]
        step = cells["a", "Seg"].step
        assert step.change == pytest.approx(sum(gaps) / 2) == step.estimate.value
        assert step.note == "change over seeds 1, 2, which both rows have"
        assert cells["a", "Seg"].notes == ("seed 0: interrupted at iteration 9 of 9",)

    def test_no_seed_in_common(self):
        store = Store()
        store.add("none", 0, 0.5)
        store.add("a", 1, 0.5)
        assert "have no seed in common" in store.table(STEPS[:2]).cells["a", "Seg"].step.note

    def test_another_split(self):
        store = Store()
        store.add("none", 0, 0.5)
        store.add("a", 0, 0.6, split="val-minival")
        assert store.table(STEPS[:2]).cells["a", "Seg"].notes == (
            "evaluated on val-minival, not on val: dupl eval runs/a0 --protocol train --checkpoint last",
        )

    def test_weights_of_an_earlier_iteration(self):
        store = Store()
        store.add("none", 0, 0.5, iteration=4)
        (note,) = store.table(STEPS[:1]).cells["none", "Seg"].notes
        weights = "evaluated with weights of iteration 4, not 9"
        assert note == f"{weights}: dupl eval runs/none0 --protocol train --checkpoint last"

    def test_another_metric(self):
        store = Store()
        store.add("none", 0, 0.5, metric="seg/1/mIoU")
        assert store.table(STEPS[:1]).cells["none", "Seg"].notes == ("its evaluation has no seg/best/mIoU",)

    def test_earlier_evaluations_do_not_count(self):
        store = Store()
        store.add("none", 0, 0.5, last=False)
        assert store.table(STEPS[:1]).cells["none", "Seg"].summary is None


class TestIntervals:
    def test_counts_that_do_not_belong_to_the_metric_are_not_used(self):
        store = filled(STEPS[:2])
        store.counts["a0"] = pixels(0.2, 5)
        step = store.table(STEPS[:2]).cells["a", "Seg"].step
        assert step.estimate.over == "seeds"
        assert re.search(r"interval over seeds only: the pixels per image of run a0 give \d+\.\d{4}, ", step.note)

    def test_one_seed_without_counts_has_none(self):
        store = filled(STEPS[:2], seeds=1)
        store.counts["a0"] = store.counts["a0"].iloc[:0]
        step = store.table(STEPS[:2]).cells["a", "Seg"].step
        assert step.change > 0 and step.estimate is None and step.p is None
        assert step.note == "no interval: run a0 has no pixels per image"

    def test_other_images_are_not_compared(self):
        store = filled(STEPS[:2], seeds=1)
        store.counts["a0"]["image"] = "other" + store.counts["a0"]["image"]
        step = store.table(STEPS[:2]).cells["a", "Seg"].step
        assert step.estimate is None and step.note == "no interval: evaluated on different images"

    def test_metrics_without_counts_have_seeds_only(self):
        store = filled(STEPS[:2])
        for line in store.lines:
            line["metric"] = "cls/1/mAP"
        step = store.table(STEPS[:2], (Column("T", "Tags", "cls/1/mAP", "train"),)).cells["a", "T"].step
        assert step.estimate.over == "seeds"
        assert "cls/1/mAP does not follow from pixels per image" in step.note


class TestProvenance:
    def test_facts(self):
        facts = filled().table(command="dupl report plan").provenance
        assert facts["commits"] == "c" * 12
        assert facts["runs"] == "none0, none1, a0, a1, ab0, ab1"
        assert (facts["seeds"], facts["versions"]) == ("0, 1", "torch 2.9")
        assert facts["command"] == "dupl report plan"

    def test_what_is_mixed_is_told_of_the_runs_behind_the_table(self):
        store, seen = filled(), []
        store.add("ab", 9, 0.9, state="running")

        def mixed(part: pd.DataFrame) -> list[str]:
            seen.extend(part["fingerprint"])
            return ["different commits: two"]

        assert "mixed: different commits: two" in store.table(mixed=mixed).notes
        assert sorted(seen) == ["a0", "a1", "ab0", "ab1", "none0", "none1"]

    def test_of_different_machines_the_spread_of_seeds_is_told(self):
        line = "different processors: A, B; equality to the bit cannot be expected between them"
        (note,) = [note for note in filled().table(mixed=lambda _: [line]).notes if "processors" in note]
        assert re.fullmatch(
            rf"mixed: {line}; seeds of a row differ by \d+\.\d \(Seg\.\): the median standard deviation", note
        )
        store = filled()
        store.runs = [run for run in store.runs if run.seed == 0]
        (note,) = [note for note in store.table(mixed=lambda _: [line]).notes if "processors" in note]
        assert note.endswith("; by how much seeds differ is not known: no row has two")

    def test_machines_are_facts(self):
        store = filled()
        for line in store.lines:
            line |= dict(processor="A", vector="AVX2", threads="1", processes="1", commits="c1 c2+")
        facts = store.table().provenance
        assert facts["machines"] == "A, AVX2, threads 1 (6 runs)" and facts["commits"] == "c1, c2+"


NASTY = '<b>|_x_|*50%* $L_dis$ & #1 {a} [b] \\ ~ ^ "é" tau_h(T)'


@pytest.fixture(scope="module")
def nasty() -> Table:
    """Labels that mean something to every format, missing cells, notes, the paper's numbers and effects."""
    store = filled(FACTORIAL[:3])
    store.add("full", 0, 0.8)
    store.add("full", 1, state="failed", error=NASTY)
    rows = (
        Row("none", NASTY, (), paper={"Seg": 50.0}, note=NASTY),
        Row("A", "[x] first", ("A",), paper={"Seg": 52.0}),
        Row("B", "*second*", ("B",)),
        Row("full", "both", ("A", "B")),
    )
    facts = dict(kind="factorial", factors={"A": NASTY, "B": "L_reg"}, reference=NASTY, heading=NASTY, command=NASTY)
    return store.table(rows, (Column("Seg", NASTY, "seg/best/mIoU", "train"),), **facts)


class TestLayout:
    def test_figures(self):
        assert [signed(x) for x in (2.56, -0.34, 0.04, -0.04, -12)] == ["+2.6", "−0.3", "0.0", "0.0", "−12.0"]
        assert [letter(n) for n in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]

    def test_how_says_how_much_truth_was_judged(self):
        store = Store()
        for seed, images in ((0, "4 of 6"), (1, "6 of 6")):
            store.add("none", seed, 0.5, judged=f"{images} images and 3 of 3 classes judged")
        told = store.table(STEPS[:1]).how["Seg"]
        assert told == (
            "val, squashed, 4 of 6 images and 3 of 3 classes judged; or 6 of 6 images and 3 of 3 classes judged"
        )

    def test_every_row_fits_its_header(self, nasty):
        for grid in layout(nasty).grids:
            assert len(grid.header) == sum(count for _, _, count in grid.groups)
            assert {len(row) for row in grid.rows} == {len(grid.header)}

    def test_every_letter_has_a_footnote_and_every_footnote_a_letter(self, nasty):
        made = layout(nasty)
        used = {key for grid in made.grids for row in grid.rows for cell in row for key in cell.notes}
        used |= {key for grid in made.grids for letters in grid.letters for key in letters}
        assert used == {key for key, _ in made.footnotes}
        assert len({text for _, text in made.footnotes}) == len(made.footnotes)

    def test_main_grid(self):
        store = filled(STEPS[:2])
        rows = (Row("none", "Baseline", (), paper={"Seg": 50.0}), STEPS[1])
        made = store.table(rows)
        grid = layout(made).grids[0]
        assert grid.header == ("", "first", "second", "ours", "paper", "ours − paper", "change")
        summary = made.cells["none", "Seg"].summary
        ours = f"{summary.mean:.1f} ± {summary.std:.1f} (2)"
        texts = [cell.text for cell in grid.rows[0]]
        assert texts == ["Baseline", "", "", ours, "50.0", signed(summary.mean - 50), ""]
        assert [cell.text for cell in grid.rows[1]][:3] == ["+ first", "✓", ""]
        assert grid.groups[1] == ("Seg.", "val, squashed", 4)

    @pytest.mark.parametrize(
        ("seeds", "words"),
        [
            (1, ["no p value and no star below 3 seeds", "an interval over images alone"]),
            (2, ["no p value and no star below 3 seeds"]),
            (3, ["*, **, ***", "*** and p < 0.001 only from 5 seeds"]),
            (5, ["*, **, ***"]),
        ],
    )
    def test_too_few_seeds_are_told(self, seeds, words):
        made = layout(filled(seeds=seeds).table())
        cautions = [note for note in made.notes if "other seeds" in note or note.startswith("*")]
        assert [note.startswith(word) for note, word in zip(cautions, words, strict=True)] == [True] * len(words)
        texts = [cell.text for cell in made.grids[1].rows[0]]
        assert (texts[3] == "–") == (seeds < 3)
        assert ("*" in texts[2]) <= (seeds >= 3) and ("***" in texts[2]) <= (seeds >= 5)

    def test_columns_that_say_nothing_are_left_out(self):
        store = filled(STEPS[:1])
        (grid,) = layout(store.table(STEPS[:1])).grids
        assert grid.header == ("", "first", "second", "ours")

    def test_many_factors_stand_in_words(self):
        factors = {str(k): f"thing {k}" for k in range(9)}
        rows = (Row("none", "none"), Row("a", "some", ("0", "7")))
        grid = layout(filled(rows).table(rows, factors=factors)).grids[0]
        assert grid.header[:2] == ("", "with") and grid.marks == 0
        assert grid.rows[1][1].text == "thing 0, thing 7"

    def test_a_column_of_two_kinds_of_seeds_has_a_footnote(self):
        store = Store()
        for place, row in enumerate(STEPS):
            for seed in range(5):
                store.add(row.key, seed, 0.3 + 0.4 * ((seed + place) % 2 > 0))
        made = store.table()
        (caution,) = made.cautions.values()
        assert caution.startswith("the seeds are of two kinds (test of one kind: p = ")
        arranged = layout(made)
        assert [text for _, text in arranged.footnotes] == [BETTER, caution]
        assert [grid.letters for grid in arranged.grids] == [((), ("a", "b"))] * 2
        assert "Seg.: ours<sup>a,b</sup>" in render(made, "md")
        assert r"Seg.\textsuperscript{a,b}" in render(made, "latex")
        assert 'Seg.<sup><a href="#note-a">a</a>, <a href="#note-b">b</a></sup>' in grids_html(made)[0]
        assert all(caution in line["notes"] for line in csv.DictReader(io.StringIO(render(made, "csv"))))
        assert filled(seeds=5).table().cautions == {}

    def test_three_seeds_claim_no_p_below_a_thousandth(self):
        told = {p: (chance(p, 3), chance(p, 5)) for p in (0.0004, 0.004, 0.25)}
        assert told == {0.0004: ("< 0.01", "< 0.001"), 0.004: ("0.004", "0.004"), 0.25: ("0.25", "0.25")}

    def test_every_seed_is_a_dot(self):
        made = filled(seeds=3).table()
        drawn = grids_html(made)[1]
        assert drawn.count('<circle class="seed"') == 3 * 2
        chart = {trace.name: trace for trace in table_chart(made).data}
        values = [v for row in STEPS for v in made.cells[row.key, "Seg"].values.values()]
        assert list(chart["a run"].x) == values
        assert list(chart["a run"].y) == [0.25] * 3 + [1.25] * 3 + [2.25] * 3, "below their means"
        assert list(chart["mean, standard deviation"].y) == [0, 1, 2]
        assert chart["a run"].text[4] == "+ first, seed 1"

    def test_changes_say_interval_and_p(self):
        made = filled(seeds=1).table()
        step = made.cells["a", "Seg"].step
        row = [cell.text for cell in layout(made).grids[1].rows[0]]
        assert row[:2] == ["+ first", "Baseline"]
        low, high = f"{step.estimate.low:.1f}".replace("-", "−"), f"{step.estimate.high:.1f}"
        assert re.fullmatch(rf"\+\d+\.\d\**\ \[{low}, {high}\]", row[2])


class TestFormats:
    def test_markdown_keeps_its_columns(self, nasty):
        text = render(nasty, "md")
        lines = [line for line in text.splitlines() if line.startswith("|")]
        columns = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
        grids = layout(nasty).grids
        assert sorted(set(columns)) == sorted({len(grid.header) + 1 for grid in grids})
        assert len(lines) == sum(len(grid.rows) + 2 for grid in grids)
        assert "<b>" not in text and "\\<b\\>" in text

    def test_csv_has_a_line_for_each_cell_and_effect(self, nasty):
        lines = list(csv.DictReader(io.StringIO(render(nasty, "csv"))))
        assert [line["row"] for line in lines] == ["none", "A", "B", "full", "effect of A", "effect of B"]
        for line in lines[:4]:
            cell = nasty.cells[line["row"], "Seg"]
            assert float(line["mean"]) == cell.summary.mean
            assert line["std"] == ("" if cell.summary.std is None else repr(cell.summary.std))
            assert [float(x) for x in line["values"].split()] == list(cell.values.values())
            if cell.step is not None and cell.step.estimate is not None:
                assert float(line["ci_low"]) == cell.step.estimate.low
                assert line["p_holm"] == ("" if cell.step.p is None else repr(cell.step.p))
        assert lines[0]["label"] == NASTY and float(lines[0]["minus_paper"]) == float(lines[0]["mean"]) - 50
        assert float(lines[4]["change_value"]) == nasty.effects["A", "Seg"].change

    @pytest.mark.parametrize("seeds", [2, 3])
    def test_csv_has_a_p_value_from_three_seeds(self, seeds):
        made = filled(seeds=seeds).table()
        line = list(csv.DictReader(io.StringIO(render(made, "csv"))))[1]
        step = made.cells["a", "Seg"].step
        told = (repr(step.estimate.p), repr(step.p)) if seeds == 3 else ("", "")
        assert (line["p"], line["p_holm"], line["ci_over"]) == (*told, "seeds x images")

    def test_html_shows_labels_as_they_are(self, nasty):
        text = "".join(grids_html(nasty))
        assert "<b>" not in text and "&lt;b&gt;|_x_|" in text
        assert "L<sub>reg</sub>" in text and "τ<sub>h</sub>(T)" in text
        opened = re.findall(r"<(table|thead|tbody|tr|th|td|svg)\b", text)
        closed = re.findall(r"</(table|thead|tbody|tr|th|td|svg)>", text)
        assert sorted(opened) == sorted(closed)

    def test_latex_is_balanced(self, nasty):
        text = render(nasty, "latex")
        bare = re.sub(r"\\[\\{}]", "", text)
        assert bare.count("{") == bare.count("}")
        assert (
            re.findall(r"\\begin\{(\w+)\}", text).count("table") == len(layout(nasty).grids) == text.count("\\toprule")
        )
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert text.count("\\label{tab:plan") == len(layout(nasty).grids)
        widths = {len(re.findall(r"(?<!\\)&", line)) + 1 for line in rows if "multicolumn" not in line}
        assert widths == {len(grid.header) for grid in layout(nasty).grids}

    @pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX is installed")
    @pytest.mark.parametrize("style", ["full", "paper"])
    def test_latex_compiles(self, nasty, style, tmp_path):
        head = r"\documentclass{article}\usepackage{booktabs,amssymb,graphicx}\begin{document}"
        text = f"{head}\n{render(nasty, 'latex', style)}\n\\end{{document}}\n"
        (tmp_path / "t.tex").write_text(text, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300)
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / "t.pdf").stat().st_size > 0
        assert "Missing character" not in (tmp_path / "t.log").read_text(errors="replace")


class TestPaperStyle:
    """LaTeX as the paper prints its tables."""

    def test_components_are_marks_and_the_best_number_is_bold(self):
        text = render(filled(seeds=1).table(), "latex", "paper")
        body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert [line.count(r"\checkmark") for line in body] == [1, 2, 3], "the baseline is in every row"
        assert [r"\textbf{" in line for line in body] == [False, False, True]
        assert r"Baseline & first & second & Seg. \\" in text
        assert r"\pm" not in text and "one seed" in text and "paper" not in body[0]

    def test_seeds_have_their_deviation(self):
        text = render(filled(seeds=3).table(), "latex", "paper")
        assert text.count(r"\scriptsize$\pm$") == 3 and "standard deviation over 3 seeds" in text

    def test_the_lowest_over_activation_is_best(self):
        store = Store()
        for row, value in (("none", 20.0), ("a", 12.0), ("ab", 12.04)):
            store.counts[store.add(row, 0)] = pixels(0.5, seed=0)  # of no CAM
            line = dict(run=f"runs/{row}0", fingerprint=f"{row}0", seed=0, commit="c" * 40, dirty=False, torch="2.9")
            line |= dict(protocol="train", title="squashed", split="val", iteration=9, last=True, judged="")
            store.lines.append(line | dict(metric="cam/1/OA", value=value))
        made = store.table(columns=(Column("OA", "OA", "cam/1/OA", "train"),))
        text = render(made, "latex", "paper")
        assert text.count(r"\textbf{12.0}") == 2 and r"\textbf{20.0}" not in text, "as printed they are equal"

    def test_missing_cells_say_why(self):
        store = filled(STEPS[:2], seeds=1)
        store.add("ab", 0, state="failed", error="the disk is full")
        text = render(store.table(), "latex", "paper")
        assert r"--\textsuperscript{a} \\" in text
        assert r"\textsuperscript{a}~failed at iteration 9 of 9: the disk is full." in text

    def test_the_command_has_its_style_and_notes_are_sentences(self):
        made = replace(
            filled(seeds=1).table(), notes=("mixed: one", "mixed: two."), provenance={"command": "dupl report p"}
        )
        text = render(made, "latex", "paper")
        assert "% command: dupl report p --style paper\n" in text
        assert "mixed: one. mixed: two." in text and "two.." not in text

    @pytest.mark.parametrize(
        "title, environment", [("Seg.", "table"), ("a heading of many letters, of many", "table*")]
    )
    def test_a_wide_table_spans_both_columns(self, title, environment):
        column = Column("Seg", title, "seg/best/mIoU", "train")
        text = render(filled(seeds=1).table(columns=(column,)), "latex", "paper")
        assert rf"\begin{{{environment}}}[t]" in text and rf"\end{{{environment}}}" in text

    def test_it_is_balanced(self, nasty):
        text = render(nasty, "latex", "paper")
        bare = re.sub(r"\\[\\{}]", "", text)
        assert bare.count("{") == bare.count("}")
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in rows}) == 1

    def test_a_row_that_is_not_trained_has_its_label_and_no_mark(self):
        printed = Row("old", "An older method", note=PRINTED, paper={"Seg": 60.0}, printed=True)
        rows, store = (printed, *STEPS, label_map_row("other", "Another program")), filled()
        with_label_maps(store, "other", 0.4, seeds=2)
        text = render(store.table(rows), "latex", "paper")
        assert "\n" + r"\multicolumn{3}{l}{An older method\textsuperscript{a}} & 60.0 \\" in text
        assert "\n" + r"\multicolumn{3}{l}{Another program\textsuperscript{b}} & " in text
        assert text.count(r"\checkmark") == 3 + 2 + 1

    @pytest.mark.parametrize("form, style", [("md", "paper"), ("csv", "paper"), ("latex", "pretty")])
    def test_other_styles_are_refused(self, form, style):
        with pytest.raises(UserError, match=style):
            render(filled().table(), form, style)


class TestRatio:
    """A row in percent of another, as Table 3 has it."""

    ROWS = (Row("full", "Supervised", paper={"Seg": 80.0}), Row("weak", "Weak", paper={"Seg": 72.0}), Row("x", "Other"))

    def made(self) -> Table:
        store = filled(self.ROWS[:1], seeds=2)
        store.add("weak", 0, 0.45)
        store.add("x", 0, 0.4)
        return store.table(self.ROWS, compare="full", factors={}, ratio={"weak": "full"})

    def test_it_is_over_the_seeds_that_both_have(self):
        made = self.made()
        ratio, cells = made.ratios["weak", "Seg"], made.cells
        assert ratio.value == pytest.approx(100 * cells["weak", "Seg"].values[0] / cells["full", "Seg"].values[0])
        assert (ratio.to, ratio.paper) == ("full", 90.0)

    def test_label_maps_of_another_program_count_for_every_seed(self):
        store = filled(self.ROWS[:1], seeds=3)
        with_label_maps(store, "other", 0.4, seeds=3)
        rows = (self.ROWS[0], label_map_row("other"))
        made = store.table(rows, compare="full", factors={}, ratio={"other": "full", "full": "other"})
        given, mean = made.cells["other", "Seg"].summary.mean, made.cells["full", "Seg"].summary.mean
        assert made.ratios["other", "Seg"].value == pytest.approx(100 * given / mean)
        assert made.ratios["full", "Seg"].value == pytest.approx(100 * mean / given)

    def test_it_is_a_column_of_every_format(self):
        made = self.made()
        text = f"{made.ratios['weak', 'Seg'].value:.1f}"
        grid = layout(made).grids[0]
        assert grid.header[-2:] == ("ratio (%)", "paper's ratio (%)")
        assert [[cell.text for cell in row[-2:]] for row in grid.rows] == [["", ""], [text, "90.0"], ["", ""]]
        assert "ratio: Weak by Supervised, over the seeds that both have" in layout(made).notes
        weak = list(csv.DictReader(io.StringIO(render(made, "csv"))))[1]
        assert (weak["ratio_to"], weak["paper_ratio"]) == ("full", "90.0")
        assert f"{float(weak['ratio']):.1f}" == text
        paper = render(made, "latex", "paper")
        assert rf"& {text} \\" in paper and r"ratio (\%)" in paper

    def test_a_run_that_is_missing_leaves_a_dash(self):
        made = filled(self.ROWS[:1]).table(self.ROWS, compare="full", factors={}, ratio={"weak": "full"})
        assert made.ratios["weak", "Seg"].value is None
        assert [cell.text for cell in layout(made).grids[0].rows[1][-2:]] == ["–", "90.0"]

    def test_table_3_has_it(self):
        plan = load("table3_upper_bound")
        assert plan.ratio == {"toco": "supervised", "dupl": "supervised", "dupl_in21k": "supervised_in21k"}
        assert plan.select(["dupl"]).ratio == {}
