"""What a sweep's report says of trials whose answer is known."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from dupl.report.pages.sweep import sweep_page
from dupl.report.sweep import (
    charts,
    importance,
)
from dupl.report.sweep import summary as summary_module
from dupl.report.sweep import surface as surface_of
from dupl.report.sweep.summary import report
from dupl.report.sweep.text import importance_grid, summary, sweep_markdown, trial_grid
from dupl.report.sweep.trials import Axis, SweepOutline, front, judged, ranked, spared, tally

EVIL = "<script>alert(1)</script> | x"
AXES = (
    Axis("a", "tau_h(T)", 0.0, 1.0),
    Axis("b", "warm-up", 0, 100, 1, whole=True),
    Axis("c", "eta", 0.1, 10.0, log=True),
    Axis("d", EVIL, choices=("on", "off")),
)
ONE = SweepOutline("s", "A sweep", (("seg/best/mIoU", "maximize"),), AXES, iterations=300)
TWO = SweepOutline("s", "Two", (("seg/best/mIoU", "maximize"), ("gpu_hours", "minimize")), AXES[:1])


def frame(*trials: dict) -> pd.DataFrame:
    """Trials; what one leaves out is that of a complete one."""
    rows = []
    for number, given in enumerate(trials):
        row = dict(number=number, state="complete", values=[float(number)], run=f"r{number}", folder="", iteration=300)
        row |= dict(seconds=360.0, started=None, ended=None, cached=False, reason="")
        row |= {f"params/{key}": value for key, value in dict(a=0.5, b=50, c=1.0, d="on").items()}
        rows.append(row | given)
    found = pd.DataFrame(rows)
    found["value"] = [values[0] if values else math.nan for values in found["values"]]
    return found


def grid_of(goal) -> pd.DataFrame:
    """Thirty-six complete trials spread over the space, and what a goal says of them."""
    trials = []
    for k in range(36):
        a, b, c = (k % 6) / 5, 20 * ((k // 6) % 6), 10 ** (((k * 7) % 11) / 5 - 1)
        trials.append(
            {"params/a": a, "params/b": b, "params/c": c, "params/d": "on" if k % 2 else "off", "values": [goal(a, b)]}
        )
    return frame(*trials)


@pytest.fixture(scope="module")
def known():
    """The report of trials whose goal depends on the first parameter alone; some pruned, one failed, one never run."""
    trials = grid_of(lambda a, b: 60 - 40 * abs(a - 0.6) + 0.001 * b)
    cut = dict(state="pruned", iteration=100, values=[20.0], reason="pruned at evaluation 1 of 3")
    for k in (4, 11):
        for key, value in cut.items():
            trials.at[k, key] = value
    lost = dict(state="failed", iteration=float("nan"), values=[], reason=f"out of memory {EVIL}")
    broke = dict(state="pruned", iteration=float("nan"), values=[], reason="not run: it breaks a < b")
    for k, row in ((17, lost), (23, broke)):
        for key, value in row.items():
            trials.at[k, key] = value
    trials["value"] = [values[0] if values else math.nan for values in trials["values"]]
    return report(ONE, trials, bootstraps=4)


class TestTrials:
    def test_best_first_each_run_once_and_only_complete(self):
        trials = frame(
            dict(values=[3.0]),
            dict(values=[9.0], state="pruned"),
            dict(values=[5.0]),
            dict(values=[5.0], run="r2"),  # told from the store
            dict(values=[5.0]),
            dict(values=[], state="failed"),
        )
        made = report(ONE, trials)
        assert made.best == (2, 4, 0)
        least = SweepOutline("s", "s", (("L_seg", "minimize"),), AXES)
        assert ranked(least, trials[trials["state"] == "complete"]) == (0, 2, 4)

    def test_front(self):
        points = [(50, 1.0), (60, 2.0), (55, 3.0), (60, 2.5), (70, 9.0), (40, 1.0), (60, 2.0)]
        trials = frame(*(dict(values=list(map(float, p))) for p in points))
        beaten = {
            i
            for i, p in enumerate(points)
            if any(o[0] >= p[0] and o[1] <= p[1] and o != p for o in points)  # naive
        }
        assert set(front(TWO, trials)) == set(range(len(points))) - beaten == {0, 1, 4, 6}
        assert front(TWO, trials)[0] == 4, "along the first goal"

    def test_pruning_spares_what_was_not_trained(self, known):
        assert tally(known.trials) == {"complete": 32, "pruned": 3, "failed": 1}
        assert spared(ONE, known.trials) == (400, 34 * 300), "one broke a constraint: there was nothing to spare"
        assert summary(known)["pruning"] == "400 of 10,200 iterations not trained (4%)"
        assert len(judged(ONE, known.trials)) == 34


class TestImportances:
    def test_the_one_that_matters_comes_first(self, known):
        for evaluator in ("PED-ANOVA", "fANOVA"):
            shares = [one for one in known.importances if one.evaluator == evaluator]
            assert {one.axis for one in shares} == {"a", "b", "c", "d"}
            assert sum(one.value for one in shares) == pytest.approx(1)
            assert shares[0].axis == "a" and shares[0].value > 0.6 and shares[0].first == 1
            assert all(0 <= one.low <= one.high <= 1 for one in shares)
        assert known.missing == ""

    def test_pruned_trials_are_among_the_others(self):
        """Few complete trials tell by what sets them apart from the pruned."""
        trials = grid_of(lambda a, b: 50.0 + b / 100)
        for k, a in enumerate(trials["params/a"]):
            if a != 0.6:
                trials.at[k, "state"], trials.at[k, "iteration"] = "pruned", 100
        made = report(ONE, trials, bootstraps=2)
        (first, *_) = [one for one in made.importances if one.evaluator == "PED-ANOVA"]
        assert first.axis == "a"
        assert made.missing == "fANOVA needs 8 trials that are complete: there are 6"
        assert not [one for one in made.importances if one.evaluator == "fANOVA"]

    def test_of_very_many_a_sample_stands_for_all(self, monkeypatch):
        monkeypatch.setattr(importance, "MOST", 20)
        monkeypatch.setattr(summary_module, "MOST", 20)
        sizes = []
        once = importance._once
        monkeypatch.setattr(importance, "_once", lambda axes, ended, *a: sizes.append(ended) or once(axes, ended, *a))
        made = report(ONE, grid_of(lambda a, b: a), bootstraps=3)
        assert [len(ended) for ended in sizes] == [20] * 4
        assert sizes[0]["number"].is_unique, "the sample of the shares is drawn without replacement"
        assert max(sizes[0]["number"]) > 20, "it is of all trials, not of the first"
        assert made.importances[0].axis == "a" and made.sampled == 20
        assert "bootstraps of the trials (each of 20, as is the sample of the shares); first:" in sweep_markdown(made)
        monkeypatch.setattr(summary_module, "MOST", 36)
        assert "bootstraps of the trials; first:" in sweep_markdown(report(ONE, grid_of(lambda a, b: a), bootstraps=1))

    def test_too_little_is_told(self):
        made = report(ONE, frame({}, {}))
        assert made.importances == ()
        assert "nothing to weigh" in made.missing
        same = report(ONE, grid_of(lambda a, b: 50.0), bootstraps=2)
        assert same.importances == (), "a goal that never changes has no reasons"

    def test_no_bootstraps_no_spread(self):
        trials = grid_of(lambda a, b: a)
        made = report(ONE, trials, bootstraps=0)
        assert made.importances[0].axis == "a"
        heads, rows = importance_grid(made, "seg/best/mIoU")
        assert heads == ["parameter", "PED-ANOVA", "first", "fANOVA", "first"]
        assert rows[0][2] == "–"
        assert "nan" not in sweep_markdown(made)
        assert sweep_page(made), "a page with NaN in it is refused"


class TestCharts:
    def test_history(self, known):
        traces = {trace.name: trace for trace in charts.history_chart(known).data}
        assert list(traces["pruned, where it stood"].x) == [4, 11], "one was never begun"
        assert list(traces["failed"].x) == [17]
        line = list(traces["best so far"].y)
        assert line == sorted(line) and line[-1] == max(line)
        assert 17 not in traces["complete"].x

    def test_contour_says_nothing_beyond_the_trials(self):
        corner = [{"params/a": a, "params/b": b, "values": [100 * a + b]} for a in (0, 0.5) for b in (0, 50)]
        figure = surface_of.contour_chart(report(ONE, frame(*corner)), AXES[0], AXES[1])
        surface = figure.data[0]
        for x, column in zip(surface.x, zip(*surface.z, strict=True), strict=True):
            for y, z in zip(surface.y, column, strict=True):
                inside = x <= 0.5 and y <= 50
                assert (z is None) == (not inside)
                assert z is None or z == pytest.approx(100 * x + y, abs=1e-3)
        line = [{"params/a": k / 5, "params/b": 20 * k} for k in range(6)]
        flat = surface_of.contour_chart(report(ONE, frame(*line)), AXES[0], AXES[1])
        assert [trace.type for trace in flat.data] == ["scatter", "scatter"], "points on a line have no surface"

    def test_parallel_lines_know_scales(self, known):
        gone = known.trials.copy()
        gone.loc[0, "params/c"] = math.nan  # not asked for
        figure = surface_of.parallel_chart(report(ONE, gone, bootstraps=0))
        by_text = {trace.text.split(",")[0]: trace for trace in figure.data}
        assert by_text["trial 0"].y[3] is None
        row = known.trials.iloc[5]
        assert by_text["trial 5"].y[1:] == pytest.approx(
            (row["params/a"], row["params/b"] / 100, (math.log10(row["params/c"]) + 1) / 2, 0.0)
        )

    def test_front_is_a_line(self):
        trials = frame(*(dict(values=[float(v), h]) for v, h in ((50, 1.0), (70, 9.0), (60, 2.0), (10, 5.0))))
        line = charts.front_chart(report(TWO, trials)).data[-1]
        assert (list(line.x), list(line.y)) == ([1.0, 2.0, 9.0], [50.0, 60.0, 70.0])

    def test_courses_end_where_trials_were_cut(self, known):
        rows = [
            (f"r{k}", "seg/best/mIoU", protocol, t, 1.0)
            for k in (0, 4)
            for t in (100, 200, 300)
            for protocol in ("train", "final")
        ]
        metrics = pd.DataFrame(rows, columns=["fingerprint", "metric", "protocol", "iteration", "value"])
        metrics = metrics[(metrics["fingerprint"] != "r4") | (metrics["iteration"] == 100)]
        traces = {trace.name: trace for trace in charts.course_chart(known, metrics).data}
        assert list(traces["pruned"].x) == [100]
        assert list(traces["complete"].x) == [100, 200, 300], "by the evaluation in training alone"
        assert charts.course_chart(known, metrics[:0]) is None


class TestPages:
    def test_markdown_holds_its_tables(self, known):
        text = sweep_markdown(known)
        best = trial_grid(known, known.best[:1])[1][0]
        assert f"| {best[0]} | complete | {best[2]} |" in text
        assert "The last row is the starting point, trial 0." in text
        assert "Trial 17 failed: out of memory" in text
        assert "dupl sweep s --confirm K" in text
        tables = [line for line in text.splitlines() if line.startswith("|")]
        widths = {line.replace("\\|", "").count("|") for line in tables}
        assert widths == {10, 6}, "a name with a bar breaks no table"

    def test_names_are_no_html(self, known, tmp_path, tags):
        file = tmp_path / "sweep.html"
        file.write_text(sweep_page(known))
        found = tags(file)
        assert found.tags.count("script") == 3, "data, plotly and the page's own"
        assert all(link.startswith(("#", "data:")) for link in found.links)
        assert "out of memory" in " ".join(found.text)

    def test_an_empty_study_is_told(self):
        trials = frame({}).iloc[:0].drop(columns=[axis.column for axis in AXES])
        for made in (report(ONE, trials), report(ONE, frame(dict(state="running", values=[], iteration=None)))):
            assert "No trial is complete yet." in sweep_markdown(made)
            assert "No trial is complete yet." in sweep_page(made)

    def test_two_goals(self):
        trials = grid_of(lambda a, b: a)
        trials["values"] = [
            [values[0], float(b)] for values, b in zip(trials["values"], trials["params/b"], strict=True)
        ]
        made = report(TWO, trials, bootstraps=0)
        assert "### Pareto front" in sweep_markdown(made)
        assert made.missing == "of fewer than two parameters there is nothing to weigh"
        assert "gpu_hours over the trials" in sweep_page(made)

    def test_in_a_browser(self, known, tmp_path, browser):
        file = tmp_path / "sweep.html"
        file.write_text(sweep_page(known))
        context = browser.new_context(offline=True, viewport={"width": 360, "height": 740}, color_scheme="dark")
        context.set_default_timeout(120_000)
        errors, tab = [], context.new_page()
        tab.on("console", lambda message: errors.append(message.text))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(file.as_uri())
        places = tab.locator("[data-plot]")
        for k in range(places.count()):
            places.nth(k).scroll_into_view_if_needed()
            places.nth(k).locator(".main-svg").first.wait_for()
        assert places.count() == 1 + 1 + 4 + 3 + 1, "history, importances, slices, contours of three, parallel"
        rows = tab.locator("table[data-table=trials]")
        rows.locator("thead button").nth(2).click()
        shown = rows.locator("tbody tr > :nth-child(3)").all_text_contents()
        numbers = [float(text) for text in shown if text != "–"]
        assert numbers == sorted(numbers, reverse=True) and len(numbers) == 34
        assert shown[-2:] == ["–", "–"], "failed, and never run"
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        context.close()
        assert errors == []
