"""The page of runs side by side, from their files."""

from __future__ import annotations

import json
import math
import re

import pytest

from dupl.atomic import atomic_write
from dupl.errors import UserError
from dupl.report.pages import dashboard

BOARDS = [
    {
        "name": "Progress",
        "charts": [{"title": "Seg", "keys": ["seg/best/mIoU"], "unit": "%"}, {"title": "Not logged", "keys": ["x"]}],
        "bars": [{"title": "Best", "keys": ["best/seg/best/mIoU"], "unit": "%"}],
        "versus": ["cam/mean/OA", "seg/best/mIoU"],
        "table": "classes/table",
        "differences": True,
    },
    {"name": "Empty", "charts": [{"title": "Not logged", "keys": ["x"]}]},
]


def make(folder, seed, values, lr, evaluated=True):
    """Files of a run whose segmentation went through some values."""
    status = dict(state="finished", fingerprint=f"{seed}" * 12, seed=seed, iteration=20, iterations=20, command=[])
    status["created"] = "2026-01-01T00:00:00+00:00"
    atomic_write(folder / "status.json", json.dumps(status).encode())
    atomic_write(folder / "config.py", f"schedule = dict(lr={lr}, iterations=20)\nruntime = dict(seed=0)\n".encode())
    rows = [{"iter": 10 * i, "seg/best/mIoU": v, "cam/mean/OA": 50.0} for i, v in enumerate(values, 1)]
    atomic_write(folder / "scalars.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    if evaluated:
        where = folder / "evaluation" / "iter_000020"
        atomic_write(where / "metrics.json", json.dumps({"iter": 20, "metrics": {}}).encode())
        lines = ["map,class,IoU,precision,recall,OA,pixels", "seg/1,cat,40,80,70,25.5,9", "cam/1,cat,30,80,70,,9"]
        atomic_write(where / "per_class.csv", "\n".join([*lines, ""]).encode())
    return folder


@pytest.fixture
def runs(tmp_path):
    one = make(tmp_path / "runs" / "voc-a-111111111111", 1, [10.0, 30.0, 20.0], 0.1)
    two = make(tmp_path / "runs" / "<b>-222222222222", 2, [15.0, None, 12.0], 0.2, evaluated=False)
    return [one, two]


def data(path):
    """What the page's script gets, and the page without it."""
    page = path.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(found[1]), page


def test_lines_bars_and_points_are_those_of_the_files(runs, tmp_path):
    found, page = data(dashboard.write(runs, BOARDS, tmp_path / "page.html"))
    assert "Not logged" not in page and "None of the runs logged any of this." in page
    seg, best, versus, *classes = found["plots"].values()
    assert [trace["name"] for trace in seg["data"]] == ["voc-a 111111 (seed 1)", "&lt;b&gt; 222222 (seed 2)"]
    assert [(t["x"], t["y"]) for t in seg["data"]] == [([10, 20, 30], [10, 30, 20]), ([10, 30], [15, 12])]
    assert best["data"][0]["x"] == [30.0, 15.0]
    assert [(t["x"], t["y"]) for t in versus["data"]] == [([50.0], [20.0]), ([50.0], [12.0])]
    (iou,) = classes
    assert (iou["data"][0]["y"], iou["data"][0]["x"]) == (["cat"], [40.0])
    assert len(iou["data"]) == 1, "only one was evaluated"


def test_the_list_sorts_and_links(runs, tmp_path):
    (runs[0] / "report.html").write_text("")
    found, page = data(dashboard.write(runs, BOARDS, tmp_path / "pages" / "page.html"))
    first, second = found["tables"]["runs"]["rows"]
    assert first[0]["link"] == "../runs/voc-a-111111111111/report.html" and "link" not in second[0]
    assert [cell["value"] for cell in first[1:]] == ["finished", 20, 30.0, None, "–"]
    assert "<b> 222222" not in page


def test_only_settings_that_differ(runs, tmp_path):
    _, page = data(dashboard.write(runs, BOARDS, tmp_path / "page.html"))
    assert "schedule.lr</th>" in page and "schedule.iterations" not in page and "runtime.seed" not in page
    _, page = data(dashboard.write(runs[:1], BOARDS, tmp_path / "page.html"))
    assert "There is one run." in page


def test_a_row_has_a_colour_and_a_seed_a_dash(tmp_path):
    names = {}
    for row in ("one", "+ L_dis", "three", "four"):
        for seed in (0, 3):
            values = [10.0, 20.0] if (row, seed) != ("one", 3) else [None]  # a run without values shifts no colour
            names[make(tmp_path / f"{row}-{seed}", seed, values, 0.1)] = (row, seed)
    found, page = data(dashboard.write(list(names), BOARDS, tmp_path / "page.html", names))
    seg, best, versus, iou, *_ = found["plots"].values()
    styles = {trace["name"]: (trace["line"]["color"], trace["line"]["dash"]) for trace in seg["data"]}
    assert len(styles) == 7
    assert {dash for name, (_, dash) in styles.items() if name.endswith("seed 0")} == {"solid"}
    assert {dash for name, (_, dash) in styles.items() if name.endswith("seed 3")} == {"dash"}
    for row in ("+ L<sub>dis</sub>", "three", "four"):
        assert styles[f"{row}, seed 0"][0] == styles[f"{row}, seed 3"][0]
    assert len({colour for colour, _ in styles.values()}) == 4
    for chart in (versus, iou):
        assert {t["name"]: t["marker"]["color"] for t in chart["data"]}.items() >= {
            (name, colour) for name, (colour, _) in styles.items()
        }
    assert best["data"][0]["marker"]["color"] == [colour for colour, _ in styles.values()]
    assert not any(chart["layout"]["showlegend"] for chart in (seg, versus, iou)), "one legend for all"
    two = [{"name": "Two", "charts": [{"title": "Both", "keys": ["seg/best/mIoU", "cam/mean/OA"], "unit": "%"}]}]
    found, _ = data(dashboard.write(list(names), two, tmp_path / "two.html", names))
    assert found["plots"]["two-1"]["layout"].get("showlegend") is not False, "lines that are no runs need their names"
    many = {folder: (f"row {k}", 0) for k, folder in enumerate(names)}
    found, _ = data(dashboard.write(list(many), BOARDS, tmp_path / "many.html", many))
    lines = [(t["line"]["color"], t["line"]["dash"]) for t in found["plots"]["progress-1"]["data"]]
    assert len(set(lines)) == len(lines) == 7, "eight rows, seven colours"
    assert page.count("<line ") == 8 and page.count("+ L_dis, seed 3") >= 1


def test_what_cannot_be_shown_is_said(tmp_path):
    with pytest.raises(UserError, match="no runs to show"):
        dashboard.write([], BOARDS, tmp_path / "page.html")
    with pytest.raises(UserError, match="holds no status.json"):
        dashboard.write([tmp_path], BOARDS, tmp_path / "page.html")


def test_runs_of_one_name_stay_apart(tmp_path):
    """Two copies of a run, by one label, are two lines."""
    folders = [make(tmp_path / place / "a-111111111111", 1, [10.0], 0.1) for place in ("x", "y")]
    found, _ = data(dashboard.write(folders, BOARDS, tmp_path / "page.html"))
    assert len(found["tables"]["runs"]["rows"]) == 2
    assert not math.isnan(found["plots"]["progress-1"]["data"][0]["y"][0])
