"""Execute the notebooks of ``analysis/`` on small stores of the tests, and keep their outputs in them.

    python tools/notebooks.py [NAME ...]

Charts are kept as PNG pictures, because hosts of code show no others; Chromium draws them. The metadata of a notebook
hold the digest of what its outputs were made from, which a test compares. The site executes the same notebooks when it
is built (docs/conf.py).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

ROOT = Path(__file__).parents[1]
BOOKS = ROOT / "analysis"
FIXTURES = ROOT / "tests" / "fixtures"
PLAN = "tests/fixtures/plan.py"
NOTE = "outputs"  # tag of the cell that says what the outputs were made from
END = "They show what a notebook draws; their numbers mean nothing. Run it on a store of your own.*"
PLOTLY = "application/vnd.plotly.v1+json"
LIBRARY = "plotly.js v"  # in the source of plotly.js, which the first chart of a notebook brings


class Source(NamedTuple):
    """What outputs are made from.

    Attributes:
        store: Folder of the runs, in the fixtures of the tests.
        file: The plan or the sweep, beside it.
        text: Tells the reader.
    """

    store: str
    file: str
    text: str


TABLE = Source(
    "store",
    "plan.py",
    "*The outputs below are of the small store of the tests: runs of 90 iterations on synthetic scenes, kept in "
    f"`tests/fixtures/store`. {END}",
)
SEARCH = Source(
    "searched",
    "my_sweep.py",
    "*The outputs below are of the search of the tutorial: eight trials of `demo/small`, kept in "
    f"`tests/fixtures/searched`. {END}",
)
PARAMETERS: dict[str, dict[str, Any]] = {
    "ablation_tables": {"PLANS": [PLAN]},
    "over_activation": {"PLAN": PLAN, "ROWS": ["baseline", "L_dis"], "FULL_PLAN": PLAN},
    "confirmation_bias": {"PLAN": PLAN},
    "noise_filter": {"PLAN": PLAN},
    "compare_runs": {"MAP": "cam/1"},
    "sweep_sensitivity": {
        "SWEEP": "tests/fixtures/my_sweep.py",
        "STORAGE": "journal:tests/fixtures/searched/study.log",
        "BOOTSTRAPS": 10,
    },
}
SOURCES = {name: SEARCH if name == "sweep_sensitivity" else TABLE for name in PARAMETERS}


def digest(name: str) -> str:
    """Return a digest of what the outputs of a notebook are made from: its code, the store, and the plan or sweep."""
    source = SOURCES[name]
    whole = hashlib.sha256(repr(sorted(PARAMETERS[name].items())).encode())
    for cell in read(name).cells:
        if cell.cell_type == "code":
            whole.update(cell.source.encode())
    stored = (path for path in (FIXTURES / source.store).rglob("*") if path.is_file())
    for file in sorted([FIXTURES / source.file, *stored]):
        if not any(part.startswith(".") for part in file.relative_to(FIXTURES).parts):
            whole.update(file.relative_to(FIXTURES).as_posix().encode() + file.read_bytes())
    return whole.hexdigest()[:16]


def read(name: str) -> Any:
    """Return a notebook without the cell that says what its outputs were made from."""
    book = nbformat.read(BOOKS / f"{name}.ipynb", as_version=4)
    book.cells = [cell for cell in book.cells if NOTE not in cell.metadata.get("tags", [])]
    return book


def prepared(name: str) -> tuple[Any, int]:
    """Return a notebook with the parameters that its outputs are made with, and the place of their cell."""
    book = read(name)
    (place,) = (k for k, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", []))
    values = {"STORE": f"tests/fixtures/{SOURCES[name].store}", **PARAMETERS[name]}
    lines = "\n".join(f"{key} = {value!r}" for key, value in values.items())
    book.cells.insert(place + 1, nbformat.v4.new_code_cell(lines, id=f"{NOTE}-values"))
    return book, place + 1


def note(name: str) -> Any:
    """Return the cell that says what the outputs of a notebook were made from."""
    return nbformat.v4.new_markdown_cell(SOURCES[name].text, id=f"{NOTE}-note", metadata={"tags": [NOTE]})


def execute(name: str) -> Any:
    """Return a notebook with the outputs of its cells, executed from the root of the repository."""
    from nbclient import NotebookClient

    book, place = prepared(name)
    client = NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    del book.cells[place]
    book.cells.insert(1, note(name))
    return book


def keep_pictures(book: Any, draw: Any) -> None:
    """Replace charts by pictures, and drop what differs from one execution to the next."""
    count = 0
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = [output for output in cell.outputs if LIBRARY not in output.get("data", {}).get("text/html", "")]
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
            data: Mapping[str, Any] = output.get("data", {})
            if PLOTLY in data:
                output["data"] = {"image/png": draw(data[PLOTLY]), "text/plain": "a chart"}
            elif "text/html" in data or "text/markdown" in data:
                output["data"]["text/plain"] = "a table"


def main(names: list[str]) -> int:
    """Execute notebooks and write them."""
    from playwright.sync_api import sync_playwright
    from plotly.offline import get_plotlyjs

    os.environ.setdefault("DUPL_CACHE", "/tmp/dupl-notebooks")
    with sync_playwright() as play:
        import shutil

        program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())

        def draw(chart: Mapping[str, Any]) -> str:
            script = """chart => {
                const size = {width: 860, height: chart.layout.height || 420};
                return Plotly.toImage({data: chart.data, layout: {...chart.layout, ...size}}, {format: 'png', ...size});
            }"""
            return str(page.evaluate(script, dict(chart))).partition(",")[2]

        for name in names or list(PARAMETERS):
            book = execute(name)
            keep_pictures(book, draw)
            book.metadata["dupl"] = {"made_from": digest(name)}
            nbformat.write(book, BOOKS / f"{name}.ipynb")
            print(f"{name}: {book.metadata['dupl']['made_from']}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
