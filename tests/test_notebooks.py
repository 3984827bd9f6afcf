"""The notebooks of analysis/, executed against a small store of real runs; see fixtures/make_store.py."""

from __future__ import annotations

import ast
import importlib.util
import shutil
from pathlib import Path

import nbformat
import optuna
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from dupl.plans.study import open_study
from dupl.plans.sweep import load
from dupl.runs.run import Run

HERE = Path(__file__).parent
BOOKS = sorted(HERE.parent.joinpath("analysis").glob("*.ipynb"))
STORE, PLAN = str(HERE / "fixtures" / "store"), str(HERE / "fixtures" / "plan.py")


spec = importlib.util.spec_from_file_location("notebooks", HERE.parent / "tools" / "notebooks.py")
notebooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(notebooks)


def fingerprint(run: str) -> str:
    """Return the id that a run of the store has today."""
    return Run(Path(STORE, run)).status.fingerprint


SETTINGS = {
    "ablation_tables": {"PLANS": [PLAN]},
    "over_activation": {"PLAN": PLAN, "ROWS": ["baseline", "L_dis"], "FULL_PLAN": PLAN},
    "confirmation_bias": {"PLAN": PLAN},
    "noise_filter": {"PLAN": PLAN},
    "compare_runs": {"MAP": "cam/1", "FIRST": fingerprint("baseline-0"), "SECOND": fingerprint("L_reg-0")},
    "sweep_sensitivity": {"SWEEP": "demo", "BOOTSTRAPS": 2},
}
CHARTS = {"ablation_tables": 1, "over_activation": 3, "confirmation_bias": 3, "noise_filter": 4, "compare_runs": 2}
CHARTS |= {"sweep_sensitivity": 7}  # history, importances, four slices, parallel
PLOTLY = "application/vnd.plotly.v1+json"


def execute(name: str, **settings: object) -> list[dict]:
    """Run a notebook with other parameters; the data of all its outputs."""
    book = nbformat.read(HERE.parent / "analysis" / f"{name}.ipynb", as_version=4)
    (place,) = (k for k, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", []))
    lines = "\n".join(f"{key} = {value!r}" for key, value in settings.items())
    book.cells.insert(place + 1, nbformat.v4.new_code_cell(lines))
    done = NotebookClient(book, timeout=300, startup_timeout=300, kernel_name="python3").execute()
    return [output for cell in done.cells for output in cell.get("outputs", [])]


def study(folder: Path) -> str:
    """A study of the demo's sweep, twelve made-up trials: where it lies."""
    sweep, url = load("demo"), f"sqlite:///{folder / 'study.db'}"
    made = open_study(sweep, url, create=True)
    for number in range(12):
        params = {
            p.name: p.low + (number * k % 12) / 12 * (p.high - p.low) for k, p in enumerate(sweep.space.values(), 1)
        }
        params["warm-up"] = 5 * int(params["warm-up"] / 5)
        spaces = {
            p.name: optuna.distributions.IntDistribution(int(p.low), int(p.high), step=int(p.step))
            if p.type == "int"
            else optuna.distributions.FloatDistribution(p.low, p.high)
            for p in sweep.space.values()
        }
        value = 60 - 100 * (params["model.threshold.final"] - 0.55) ** 2
        made.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=value))
    return url


def test_every_notebook_is_tested():
    assert {path.stem for path in BOOKS} == set(SETTINGS)


@pytest.mark.parametrize("name", sorted(notebooks.PARAMETERS))
def test_stored_outputs_are_of_this_code_and_store(name):
    """Otherwise: python tools/notebooks.py."""
    book = nbformat.read(notebooks.BOOKS / f"{name}.ipynb", as_version=4)
    assert book.metadata["dupl"]["made_from"] == notebooks.digest(name)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= CHARTS[name], "charts on any host"
    assert not any(PLOTLY in output.get("data", {}) or output["output_type"] == "error" for output in outputs)
    text = notebooks.SOURCES[name].text
    assert sum(text in cell.source for cell in book.cells) == 1, "a reader is told what they were made from"


def test_stored_outputs_name_no_place():
    """They would name the machine that made them."""
    for path in BOOKS:
        assert str(Path.home()) not in path.read_text() and "/work/" not in path.read_text()


def test_other_data_are_noticed(tmp_path, monkeypatch):
    """One byte of the store, or of the notebook's code, makes the stored outputs old."""
    shutil.copytree(HERE / "fixtures" / "store", tmp_path / "store")
    shutil.copy(PLAN, tmp_path)
    before = notebooks.digest("noise_filter")
    monkeypatch.setattr(notebooks, "FIXTURES", tmp_path)
    assert notebooks.digest("noise_filter") == before
    with open(tmp_path / "store" / "L_reg-0" / "scalars.jsonl", "a") as file:
        file.write("\n")
    assert notebooks.digest("noise_filter") != before


def test_the_notebook_of_sweeps_is_of_the_search_of_the_tutorial():
    """Its trials were trained: `fixtures/make_searched.py`."""
    assert set(SETTINGS) == set(notebooks.PARAMETERS)
    page = (HERE.parent / "docs" / "tutorials" / "search.md").read_text()
    assert (HERE / "fixtures" / "my_sweep.py").read_text() in page


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_stands_on_the_public_names(path):
    """It imports `dupl` alone, and nothing below it; its first cell opens a store."""
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    nodes = [node for source in code for node in ast.walk(ast.parse(source))]
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert named - {"IPython.display"} == {"dupl"}
    assert "dupl.RunStore(STORE)" in code[1]


@pytest.mark.parametrize("name", SETTINGS)
def test_runs_on_a_store(name, tmp_path):
    more = {"STORAGE": study(tmp_path)} if name == "sweep_sensitivity" else {}
    outputs = execute(name, STORE=STORE, **SETTINGS[name], **more)
    drawn = [output["data"] for output in outputs if PLOTLY in output.get("data", {})]
    assert all("<div" in data["text/html"] for data in drawn), "exported to HTML it shows them too"
    charts = [data[PLOTLY] for data in drawn]
    assert len(charts) >= CHARTS[name]
    assert all(chart["data"] for chart in charts), "no chart is empty"
    assert not [o for o in outputs if "Warning" in str(o.get("text", o.get("data", {}).get("text/plain", "")))]


def test_the_table_is_of_the_stored_runs():
    (table,) = (
        o["data"]["text/markdown"]
        for o in execute("ablation_tables", STORE=STORE, PLANS=[PLAN])
        if "data" in o and "text/markdown" in o["data"]
    )
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert any("63.2" in row and "(2)" in row for row in rows), "the paper's number beside ours, of two seeds"
    assert "not run" not in table


def test_two_runs_are_seen_side_by_side():
    pages = [
        o["data"].get("text/html", "")
        for o in execute("compare_runs", STORE=STORE, **SETTINGS["compare_runs"])
        if "data" in o
    ]
    (pictures,) = (page for page in pages if "<img" in page)
    assert pictures.count("<tr>") == 4, "two images of each run's gallery"
    assert "baseline-0" in pictures and "L_reg-0" in pictures


def test_a_store_without_the_runs_is_told(tmp_path):
    with pytest.raises(CellExecutionError, match="the store has nothing of"):
        execute("over_activation", STORE=str(tmp_path), PLAN=PLAN, ROWS=["baseline"])
