"""Runs side by side on one page, from the runs' files; it shows what the wandb workspace shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write
from dupl.errors import UserError
from dupl.report.figures.colours import PAGE_HUES, page_colour
from dupl.report.pages.dashboard_charts import DASHES, LEGEND, ShownRun, best_value, board_charts
from dupl.report.pages.html import FILE, Site, add_chart, render
from dupl.report.pages.run_files import RunFiles, read_run
from dupl.report.tables.evaluation import figure
from dupl.runs.judged import Judged

Runs = Mapping[str, ShownRun]
BEST = {"best Seg mIoU": "seg/best/mIoU", "best CAM mIoU": "cam/best/mIoU"}  # columns of the table of runs
LONGEST = 40  # letters of a setting's value that are shown


def write(
    folders: Sequence[Path],
    boards: Sequence[Mapping[str, Any]],
    out: Path,
    names: Mapping[Path, tuple[str, int]] | None = None,
) -> Path:
    """Write the page of some runs into a file; arguments and errors as of `page`.

    Returns:
        The file.
    """
    atomic_write(out, page(folders, boards, out.resolve().parent, names))
    return out


def page(
    folders: Sequence[Path],
    boards: Sequence[Mapping[str, Any]],
    folder: Path = Path(),
    names: Mapping[Path, tuple[str, int]] | None = None,
    site: Site = FILE,
    galleries: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the page of some runs as HTML.

    Args:
        folders: Of the runs, at least one.
        boards: Sections as plain data: name, charts and bars (title, keys, unit), table, versus, differences.
        folder: Where the page will lie, for links to the pages of the runs.
        names: Row of a plan and seed by folder. A row has a colour and a seed a dash pattern; both repeat where there
            are many. Without names a run is called by recipe, fingerprint and seed.
        site: Where the page stands.
        galleries: For each run its ``shots``: what its gallery shows, with the addresses of the pictures.

    Raises:
        UserError: There are no runs, or a folder holds none.
    """
    if not folders:
        raise UserError("no runs to show: train some, or name their folders")
    runs = _styled(folders, names or {})
    data: dict[str, Any] = {"plots": {}, "tables": {"runs": _runs_table(runs, folder, site)}}
    sections = {str(board["name"]).lower(): str(board["name"]) for board in boards}
    if any(one["shots"] for one in galleries):
        sections |= {"galleries": "Galleries"}
        data["galleries"] = [{"name": name, **one} for name, one in zip(runs, galleries, strict=True)]
    values = dict(
        sections=sections,
        count=len(runs),
        names=list(runs),
        legend=[(name, run.colour, DASHES[run.dash]) for name, run in runs.items()] if len(runs) > LEGEND else [],
        boards=[_board(board, runs, data) for board in boards],
    )
    return render("dashboard.html", "Runs side by side", data, site, **values)


def label(run: RunFiles) -> str:
    """Return what a run is called on the page: recipe, first letters of its fingerprint, seed."""
    return f"{run.recipe} {run.status.fingerprint[:6]} (seed {run.status.seed})"


def _styled(folders: Sequence[Path], names: Mapping[Path, tuple[str, int]]) -> dict[str, ShownRun]:
    """Read the runs and give each a name, a colour and a dash pattern."""
    rows = list(dict.fromkeys(row for row, _ in names.values()))
    seeds = list(dict.fromkeys(seed for _, seed in names.values()))
    runs: dict[str, ShownRun] = {}
    for number, folder in enumerate(folders):
        run = read_run(folder)
        name, colour, dash = label(run), number, number // len(PAGE_HUES)
        if names:
            row, seed = names[folder]
            name, colour = f"{row}, seed {seed}", rows.index(row)
            dash = seeds.index(seed) + colour // len(PAGE_HUES)
        shown = ShownRun(run, page_colour("", colour), list(DASHES)[dash % len(DASHES)])
        runs[name if name not in runs else f"{name} in {run.path}"] = shown
    return runs


def _runs_table(runs: Runs, folder: Path, site: Site) -> dict[str, Any]:
    """Return the table of runs for the page's script; a run with a page is linked to it."""
    rows = []
    for name, run in ((name, shown.run) for name, shown in runs.items()):
        address = site.run_page(run.path, folder)
        linked = {"link": address} if address else {}
        done, state = run.status.iteration, run.status.state
        best = [best_value(run, key) for key in BEST.values()]
        judged = str(Judged.read(run.trained[-1].facts if run.trained else {}) or "–")
        rows.append(
            [
                {"value": name, "text": name, **linked},
                {"value": state, "text": state},
                {"value": done, "text": f"{done:,}"},
                *({"value": value, "text": "–" if value is None else figure(value)} for value in best),
                {"value": judged, "text": judged},
            ]
        )
    return {"heads": ["run", "state", "iteration", *BEST, "judged"], "rows": rows, "foot": None}


def _board(board: Mapping[str, Any], runs: Runs, data: dict[str, Any]) -> dict[str, Any]:
    """Return the section of a board: its cards in two groups, and the settings that differ where it asks for them."""
    key, number, groups = str(board["name"]).lower(), 0, []
    for charts in board_charts(board, runs):
        cards = []
        for title, chart in charts:
            number += 1
            cards.append(add_chart(data, f"{key}-{number}", chart, title))
        groups.append(cards)
    differences = _differences(runs) if board.get("differences") else None
    return {"key": key, "name": board["name"], "groups": groups, "differences": differences}


def _differences(runs: Runs) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the settings in which the runs differ: path, and for each run the value and its short form."""
    flat = [dict(_leaves(shown.run.config, "")) for shown in runs.values()]
    rows = []
    for path in sorted({path for settings in flat for path in settings}):
        values = [settings.get(path, "–") for settings in flat]
        if any(value != values[0] for value in values):
            rows.append((path, [(value, _short(value)) for value in values]))
    return rows


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[:18]}…{value[-21:]}"


def _leaves(value: Any, path: str) -> list[tuple[str, str]]:
    """Return path and printed value of every setting below a config."""
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}" if path else str(key))]
    return [(path, repr(value))]
