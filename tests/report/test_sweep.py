"""What a sweep's report says of trials whose answer is known."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pandas as pd
import pytest

optuna = pytest.importorskip("optuna", reason="importances are Optuna's")

from dupl.plans.parameter import Parameter  # noqa: E402
from dupl.plans.sweep import Sweep  # noqa: E402
from dupl.report.pages.sweep import sweep_page  # noqa: E402
from dupl.report.sweep import charts, contour, importance, other_charts  # noqa: E402
from dupl.report.sweep import summary as summary_module  # noqa: E402
from dupl.report.sweep.summary import report  # noqa: E402
from dupl.report.sweep.text import importance_grid, summary, sweep_markdown, trial_grid  # noqa: E402
from dupl.report.sweep.trials import (  # noqa: E402
    complete,
    count_states,
    front,
    judged,
    ranked,
    saved_iterations,
    was_pruned,
)

EVIL = "<script>alert(1)</script> | x"
SPACE = {
    "a": Parameter("a", "tau_h(T)", "float", ("a",), 0.0, 1.0),
    "b": Parameter("b", "warm-up", "int", ("b",), 0, 100, 1),
    "c": Parameter("c", "eta", "float", ("c",), 0.1, 10.0, log=True),
    "d": Parameter("d", EVIL, "categorical", ("d",), choices=(("on", 1), ("off", 0))),
}
SPACES = {
    "a": optuna.distributions.FloatDistribution(0.0, 1.0),
    "b": optuna.distributions.IntDistribution(0, 100),
    "c": optuna.distributions.FloatDistribution(0.1, 10.0, log=True),
    "d": optuna.distributions.CategoricalDistribution(("on", "off")),
}
SEG, HOURS = ("seg/best/mIoU", "maximize"), ("gpu_hours", "minimize")
STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "running": "RUNNING"}


def sweep(*goal: tuple[str, str], space: dict = SPACE) -> Sweep:
    """A sweep of trials of 300 iterations, as far as its report reads it."""
    config = SimpleNamespace(schedule=SimpleNamespace(iterations=300))
    parts = dict(set={}, sampler={}, pruner={}, search={}, report={}, trials=9, constraints=(), start_from=({},))
    return Sweep("s", "A sweep", "", "recipe", goal=goal, space=space, config=config, **parts)


ONE, TWO = sweep(SEG), sweep(SEG, HOURS, space={"a": SPACE["a"]})


def trials(*given: dict) -> list:
    """Trials; what one leaves out is that of a complete one."""
    made = []
    for number, own in enumerate(given):
        one = (
            dict(state="complete", values=[float(number)], run=f"r{number}", iteration=300, reason="", params={}) | own
        )
        params = {name: v for name, v in (dict(a=0.5, b=50, c=1.0, d="on") | one["params"]).items() if v is not None}
        facts = dict(run=one["run"], folder="", iteration=one["iteration"], seconds=360.0, reason=one["reason"])
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState[STATES[one["state"]]],
            values=one["values"] or None,
            params=params,
            distributions={name: SPACES[name] for name in params},
            user_attrs=facts,
        )
        trial.number = number
        made.append(trial)
    return made


def grid_of(goal, **changes: dict) -> list:
    """Thirty-six complete trials spread over the space, and what a goal says of them; changes by number."""
    given = []
    for k in range(36):
        a, b, c = (k % 6) / 5, 20 * ((k // 6) % 6), 10 ** (((k * 7) % 11) / 5 - 1)
        one = {"params": dict(a=a, b=b, c=c, d="on" if k % 2 else "off"), "values": [goal(a, b)]}
        given.append(one | changes.get(f"t{k}", {}))
    return trials(*given)


@pytest.fixture(scope="module")
def known():
    """The report of trials whose goal depends on the first parameter alone; some pruned, one failed, one never run."""
    cut = dict(state="pruned", iteration=100, values=[20.0], reason="pruned at evaluation 1 of 3")
    lost = dict(state="failed", iteration=None, values=[], reason=f"out of memory {EVIL}")
    broke = dict(state="pruned", iteration=None, values=[], reason="not run: it breaks a < b")
    found = grid_of(lambda a, b: 60 - 40 * abs(a - 0.6) + 0.001 * b, t4=cut, t11=cut, t17=lost, t23=broke)
    return report(ONE, found, bootstraps=4)


class TestTrials:
    def test_best_first_each_run_once_and_only_complete(self):
        found = trials(
            dict(values=[3.0]),
            dict(values=[9.0], state="pruned"),
            dict(values=[5.0]),
            dict(values=[5.0], run="r2"),  # read from the store
            dict(values=[5.0]),
            dict(values=[], state="failed"),
        )
        assert report(ONE, found).best == (2, 4, 0)
        assert ranked((("L_seg", "minimize"),), complete((SEG,), found)) == (0, 2, 4)

    def test_front(self):
        points = [(50, 1.0), (60, 2.0), (55, 3.0), (60, 2.5), (70, 9.0), (40, 1.0), (60, 2.0)]
        found = trials(*(dict(values=list(map(float, p))) for p in points))
        dominated = {
            i
            for i, p in enumerate(points)
            if any(o[0] >= p[0] and o[1] <= p[1] and o != p for o in points)  # naive
        }
        assert set(front(TWO.goal, found)) == set(range(len(points))) - dominated == {0, 1, 4, 6}
        assert front(TWO.goal, found)[0] == 4, "along the first goal"

    def test_pruning_saves_what_was_not_trained(self, known):
        assert count_states(known.trials) == {"complete": 32, "pruned": 3, "failed": 1}
        assert saved_iterations(300, known.trials) == (400, 34 * 300), "nothing to save where a constraint was broken"
        assert summary(known)["pruning"] == "400 of 10,200 iterations not trained (4%)"
        assert len(judged(ONE.goal, known.trials)) == 34
        assert [trial.number for trial in known.trials if was_pruned(trial)] == [4, 11]


class TestImportances:
    def test_the_one_that_matters_comes_first(self, known):
        for evaluator in ("PED-ANOVA", "fANOVA"):
            shares = [one for one in known.importances if one.evaluator == evaluator]
            assert {one.parameter for one in shares} == {"a", "b", "c", "d"}
            assert sum(one.value for one in shares) == pytest.approx(1)
            assert shares[0].parameter == "a" and shares[0].value > 0.6 and shares[0].first == 1
            assert all(0 <= one.low <= one.high <= 1 for one in shares)
        assert known.missing == ""

    def test_pruned_trials_are_among_the_others(self):
        """Few complete trials tell by what sets them apart from the pruned."""
        cut = {f"t{k}": dict(state="pruned", iteration=100) for k in range(36) if k % 6 != 3}
        found = grid_of(lambda a, b: 50.0 + b / 100, **cut)
        made = report(ONE, found, bootstraps=2)
        (first, *_) = [one for one in made.importances if one.evaluator == "PED-ANOVA"]
        assert first.parameter == "a"
        assert made.missing == "fANOVA needs 8 trials that are complete: there are 6"
        assert not [one for one in made.importances if one.evaluator == "fANOVA"]

    def test_of_very_many_a_sample_stands_for_all(self, monkeypatch):
        monkeypatch.setattr(importance, "MOST", 20)
        monkeypatch.setattr(summary_module, "MOST", 20)
        sizes = []
        once = importance._once
        monkeypatch.setattr(importance, "_once", lambda names, ended, *a: sizes.append(ended) or once(names, ended, *a))
        made = report(ONE, grid_of(lambda a, b: a), bootstraps=3)
        assert [len(ended) for ended in sizes] == [20] * 4
        numbers = [trial.number for trial in sizes[0]]
        assert len(set(numbers)) == 20, "the sample of the shares is drawn without replacement"
        assert max(numbers) > 20, "it is of all trials, not of the first"
        assert made.importances[0].parameter == "a" and made.sampled == 20
        assert "bootstraps of the trials (each of 20, as is the sample of the shares); first:" in sweep_markdown(made)
        monkeypatch.setattr(summary_module, "MOST", 36)
        assert "bootstraps of the trials; first:" in sweep_markdown(report(ONE, grid_of(lambda a, b: a), bootstraps=1))

    def test_too_little_is_told(self):
        made = report(ONE, trials({}, {}))
        assert made.importances == ()
        assert "two parameters that vary" in made.missing
        same = report(ONE, grid_of(lambda a, b: 50.0), bootstraps=2)
        assert same.importances == (), "a goal that never changes has no reasons"

    def test_no_bootstraps_no_spread(self):
        made = report(ONE, grid_of(lambda a, b: a), bootstraps=0)
        assert made.importances[0].parameter == "a"
        heads, rows = importance_grid(made, "seg/best/mIoU")
        assert heads == ["parameter", "PED-ANOVA", "first", "fANOVA", "first"]
        assert rows[0][2] == "–"
        assert "nan" not in sweep_markdown(made)
        assert sweep_page(made), "a page with NaN in it is refused"


class TestCharts:
    def test_history(self, known):
        traces = {trace.name: trace for trace in charts.history_chart(known).data}
        assert list(traces["pruned, last value"].x) == [4, 11], "one was never begun"
        assert list(traces["failed"].x) == [17]
        line = list(traces["best so far"].y)
        assert line == sorted(line) and line[-1] == max(line)
        assert set(traces["complete"].x) == set(range(36)) - {4, 11, 17, 23}
        values = dict(zip(traces["complete"].x, traces["complete"].y, strict=True))
        assert values[3] == pytest.approx(60), "each point is that of its trial"
        texts = dict(zip(traces["complete"].x, traces["complete"].text, strict=True))
        assert texts[3].startswith("trial 3, complete<br>τ<sub>h</sub>(T) 0.6<br>warm-up 0")
        assert "&lt;script&gt;" in texts[3] and "<script" not in texts[3]

    @pytest.mark.parametrize(("count", "step"), [(4, 1), (12, 1), (13, 2), (36, 3)])
    def test_every_mark_on_the_axis_of_trials_is_a_trial(self, count, step):
        made = report(ONE, trials(*(dict(values=[float(n)]) for n in range(count))))
        axis = charts.history_chart(made).layout.xaxis
        assert (axis.tick0, axis.dtick) == (0, step)

    def test_history_of_a_study_that_begins_badly(self):
        made = report(ONE, trials(dict(state="failed", values=[]), dict(values=[2.0]), dict(values=[1.0])))
        best = next(trace for trace in charts.history_chart(made).data if trace.name == "best so far")
        assert (list(best.x), list(best.y)) == ([1, 2], [2.0, 2.0])

    def test_slices_show_what_optuna_leaves_out(self, known):
        for parameter, pruned in (("a", [0.8, 1.0]), ("d", ["off", "on"])):
            figure = charts.slice_chart(known, SPACE[parameter])
            traces = {trace.name: trace for trace in figure.data}
            assert list(traces) == ["complete", "pruned", "start"]
            assert list(traces["pruned"].x) == pruned
            assert max(traces["pruned"].y) < min(traces["complete"].y), "below all complete trials"
            assert list(traces["start"].y) == [36.0]
        assert figure.layout.xaxis.title.text.startswith("&lt;script&gt;")
        assert charts.slice_chart(known, SPACE["c"]).layout.xaxis.type == "log"

    def test_contour_says_nothing_beyond_the_trials(self):
        corner = [{"params": dict(a=a, b=b), "values": [100 * a + b]} for a in (0, 0.5) for b in (0, 50)]
        figure = contour.contour_chart(report(ONE, trials(*corner)), SPACE["a"], SPACE["b"])
        surface = figure.data[0]
        for x, column in zip(surface.x, zip(*surface.z, strict=True), strict=True):
            for y, z in zip(surface.y, column, strict=True):
                inside = x <= 0.5 and y <= 50
                assert (z is None) == (not inside)
                assert z is None or z == pytest.approx(100 * x + y, abs=1e-3)
        line = [{"params": dict(a=k / 5, b=20 * k)} for k in range(6)]
        flat = contour.contour_chart(report(ONE, trials(*line)), SPACE["a"], SPACE["b"])
        assert [trace.type for trace in flat.data] == ["scatter", "scatter"], "points on a line have no surface"

    def test_parallel_coordinates(self, known):
        figure = charts.parallel_chart(known)
        assert len(figure.data) == 32
        assert figure.data[-1].text.startswith("trial 33,") and figure.data[-1].line.width == 4, "the best on top"
        assert [trace.y[0] for trace in figure.data] == sorted(trace.y[0] for trace in figure.data)
        ticks = figure.layout.xaxis.ticktext
        assert ticks[:4] == ("seg/best<br>mIoU (%)", "τ<sub>h</sub>(T)", "warm-up", "eta") and "&lt;script" in ticks[4]
        for trace in figure.data:
            number = int(trace.text.split(",")[0].removeprefix("trial "))
            assert trace.y[1] == pytest.approx(known.trials[number].params["a"]), "each line is that of its trial"

    def test_parallel_coordinates_of_a_parameter_that_some_trials_lack(self):
        made = report(ONE, trials({"params": dict(c=None)}, {"params": dict(c=0.2)}, {"params": dict(c=5.0)}))
        figure = charts.parallel_chart(made)
        lines = {trace.text.split(",")[0]: trace.y for trace in figure.data}
        assert lines["trial 0"][3] < lines["trial 1"][3] < lines["trial 2"][3]
        assert "None" in {note.text for note in figure.layout.annotations}

    def test_the_front_is_a_line(self):
        points = [(50.0, 1.0), (70.0, 9.0), (60.0, 2.0), (10.0, 5.0)]
        made = report(TWO, trials(*(dict(values=list(p)) for p in points)))
        line = other_charts.front_chart(made).data[-1]
        assert (list(line.x), list(line.y), line.mode) == ([1.0, 2.0, 9.0], [50.0, 60.0, 70.0], "lines+markers")

    def test_courses_end_where_trials_were_stopped(self, known):
        rows = [
            (f"r{k}", "seg/best/mIoU", protocol, t, 1.0)
            for k in (0, 4)
            for t in (100, 200, 300)
            for protocol in ("train", "final")
        ]
        metrics = pd.DataFrame(rows, columns=["fingerprint", "metric", "protocol", "iteration", "value"])
        metrics = metrics[(metrics["fingerprint"] != "r4") | (metrics["iteration"] == 100)]
        traces = {trace.name: trace for trace in other_charts.course_chart(known, metrics).data}
        assert list(traces["pruned"].x) == [100]
        few = metrics.assign(iteration=metrics["iteration"] // 100)
        assert other_charts.course_chart(known, few).layout.xaxis.dtick == 1, "no marks between iterations"
        assert list(traces["complete"].x) == [100, 200, 300], "by the evaluation in training alone"
        assert other_charts.course_chart(known, metrics[:0]) is None


class TestPages:
    def test_markdown_holds_its_tables(self, known):
        text = sweep_markdown(known)
        best = trial_grid(known, [known.trials[known.best[0]]])[1][0]
        assert f"| {best[0]} | complete | {best[2]} |" in text
        assert "The last row is the starting point, trial 0." in text
        assert "Trial 17 failed: out of memory" in text
        assert "dupl sweep s --confirm K" in text
        of_file = dataclasses.replace(known, facts={**known.facts, "command": "dupl report my/s.py --root runs"})
        assert "dupl sweep my/s.py --confirm K" in sweep_markdown(of_file)
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
        for made in (report(ONE, []), report(ONE, trials(dict(state="running", values=[], iteration=None)))):
            assert "No trial is complete yet." in sweep_markdown(made)
            assert "No trial is complete yet." in sweep_page(made)

    def test_two_goals(self):
        one = grid_of(lambda a, b: a)
        found = trials(*({"params": t.params, "values": [t.value, float(t.params["b"])]} for t in one))
        made = report(TWO, found, bootstraps=0)
        assert "### Pareto front" in sweep_markdown(made)
        assert made.missing == "importances need two parameters that vary"
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
