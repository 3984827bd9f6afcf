"""The page of a plan, from a small store of real runs; see tests/fixtures."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dupl.cli import main

FIXTURES = Path(__file__).parents[1] / "fixtures"
PLAN = str(FIXTURES / "plan.py")


def report(*arguments: object) -> int:
    """`dupl report PLAN ...`."""
    return main(["report", PLAN, *map(str, arguments)])


def data_of(page: Path) -> dict:
    """What a page's script works on."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())[1])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one run's folder missing."""
    root = tmp_path_factory.mktemp("plan") / "runs"
    shutil.copytree(FIXTURES / "store", root)
    shutil.rmtree(root / "L_dis-1")
    return root


@pytest.fixture(scope="module")
def page(store):
    """The plan's page beside the store, after the pages of its runs."""
    file = store.parent / "plan.html"
    assert report("--root", store, "--out", file, "--pages") == 0
    return file


def test_it_links_its_runs(page, store):
    rows = data_of(page)["tables"]["runs"]["rows"]
    assert len(rows) == 6
    for row in rows:
        name, seed, state, iteration, *_ = row
        if state["text"] == "finished":
            assert (page.parent / name["link"]).is_file(), "from where the page lies"
            assert iteration["value"] == 90
        else:
            assert (name["link"], seed["value"], state["text"]) == (None, 1, "not run")
            assert [cell["text"] for cell in row[3:6]] == ["–"] * 3


def test_a_column_of_over_activation_is_drawn_per_class(store, tmp_path):
    text = Path(PLAN).read_text().replace("../..", str(FIXTURES.parents[1]))
    text += 'columns = dict(OA=dict(label="OA", metric="cam/1/OA"))\n'
    (tmp_path / "over.py").write_text(text)
    file = tmp_path / "over.html"
    assert main(["report", str(tmp_path / "over.py"), "--root", str(store), "--out", str(file)]) == 0
    chart = data_of(file)["plots"]["classes-0"]
    assert [bars["name"] for bars in chart["data"]] == [
        "Baseline",
        "+ DS + L<sub>dis</sub>",
        "+ DTA + ANF + L<sub>reg</sub>",
    ]
    assert chart["data"][0]["y"] == ["disc", "square", "triangle", "ring", "cross", "star"]
    assert all(0 <= value <= 100 for bars in chart["data"] for value in bars["x"] if value is not None)
    assert "Over-activation per class: CAM, student 1" in file.read_text()


def test_charts_hold_the_rows(page):
    plots = data_of(page)["plots"]
    assert set(plots) == {"table", "course-M", "course-Seg"}
    lines = [trace for trace in plots["course-M"]["data"] if trace.get("showlegend") is not False]
    assert [line["name"] for line in lines] == [
        *("Baseline", "+ DS + L<sub>dis</sub>", "+ DTA + ANF + L<sub>reg</sub>")
    ]
    assert all(line["x"] == [15, 30, 45, 60, 75, 90] for line in lines)
    drawn = [trace for trace in plots["table"]["data"] if trace.get("xaxis", "x") == "x"]
    assert [trace["name"] for trace in drawn] == ["a run", "mean, standard deviation", "paper"]
    assert drawn[2]["x"] == [63.2, 67.3, 73.5]
    runs = data_of(page)["tables"]["runs"]["rows"]
    column = data_of(page)["tables"]["runs"]["heads"].index("M")
    assert sorted(drawn[0]["x"]) == sorted(row[column]["value"] for row in runs if row[column]["value"] is not None)


def test_a_chart_without_the_papers_numbers_has_no_mark_of_them(store, tmp_path):
    text = Path(FIXTURES / "plan.py").read_text()
    bare = tmp_path / "bare.py"
    bare.write_text(re.sub(r" paper=dict\(.*?\),?", "", text).replace('"../../', f'"{FIXTURES.parents[1]}/'))
    assert main(["report", str(bare), "--root", str(store), "--out", str(tmp_path / "bare.html")]) == 0
    names = [trace["name"] for trace in data_of(tmp_path / "bare.html")["plots"]["table"]["data"]]
    assert set(names) == {"a run", "mean, standard deviation"}


def test_it_needs_nothing_else(page, tags):
    found = tags(page)
    assert all(link.startswith(("#", "data:")) for link in found.links)
    assert "not run" in " ".join(found.text), "a footnote says what is missing"


def test_without_pages_nothing_is_linked(store, tmp_path, capsys):
    bare = tmp_path / "runs"
    shutil.copytree(FIXTURES / "store", bare)
    assert report("--root", bare, "--out", tmp_path / "plan.html") == 0
    assert "6 of 6 runs have no page yet" in (tmp_path / "plan.html").read_text()
    assert report("--root", bare, "--pages") == 2
    assert "--pages belongs to HTML" in capsys.readouterr().err


def test_in_a_browser(open_page, page):
    tab = open_page(page, viewport={"width": 360, "height": 740})
    tab.locator("#charts").scroll_into_view_if_needed()
    tab.locator("#charts .main-svg").first.wait_for()
    runs = tab.locator("table[data-table=runs]")
    runs.locator("thead button").nth(4).click()
    shown = runs.locator("tbody tr > :nth-child(5)").all_text_contents()
    numbers = [float(text) for text in shown[:-1]]
    assert numbers == sorted(numbers, reverse=True)
    assert shown[-1] == "–"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    runs.locator("tbody a").first.click()
    tab.locator("h1", has_text=re.compile("-[01]$")).wait_for()
