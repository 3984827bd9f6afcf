"""The tree of shared beginnings on pages."""

from __future__ import annotations

from dupl.report.figures.beginnings import Grown, in_order, tree_chart

RUNS = {
    "a": Grown("L_dis, seed 0", 300),
    "b": Grown("DTA, seed 0", 300, 100, "a", "demo-a"),
    "c": Grown("ANF, seed 0", 300, 185, "b", "demo-b"),
    "d": Grown("early, seed 0", 300, 120, "b", "demo-b"),
    "e": Grown("alone, seed 0", 300),
    "f": Grown("of another plan, seed 0", 250, 185, "z", "demo-z"),
}


def test_branches_lie_below_the_run_that_they_left_and_late_ones_first():
    assert in_order(RUNS) == ["a", "b", "c", "d", "f"]
    assert in_order({"e": RUNS["e"]}) == []


def test_no_branch_crosses_another_one():
    order = in_order(RUNS)
    for name in order:
        parent = RUNS[name].parent
        for between in order[order.index(parent) + 1 : order.index(name)] if parent in order else ():
            assert RUNS[between].start >= RUNS[name].start


def test_a_run_is_drawn_from_where_it_left_another_one():
    chart = tree_chart(RUNS)
    bars = [trace for trace in chart.data if trace.mode == "lines+markers"]
    assert [tuple(trace.x) for trace in bars] == [(0, 300), (100, 300), (185, 300), (120, 300), (185, 250)]
    joins = [trace for trace in chart.data if trace.mode == "lines"]
    assert [tuple(trace.x) for trace in joins] == [(100, 100), (185, 185), (120, 120), (0, 185)]
    assert joins[-1].line.dash == "dot"
    assert "demo-z" in joins[-1].text
    assert list(chart.layout.yaxis.ticktext)[1] == "DTA, seed 0"


def test_runs_that_share_nothing_have_no_chart():
    assert tree_chart({"e": RUNS["e"]}) is None
