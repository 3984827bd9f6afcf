"""Runs side by side as one page that needs no network: what the wandb workspace shows, from the runs' files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write
from dupl.errors import UserError
from dupl.report.figures.plots import HUES, blank, hue, label_of, line_chart, rate_bars
from dupl.report.pages.frame import Section, document, link, note, plot, text
from dupl.report.pages.run import NAME
from dupl.report.pages.run_files import RunFiles, read_run
from dupl.report.tables.evaluation import figure, title_of

MAPS = (("seg/1", 2), ("cam/1", 5))  # what is shown per class, and its column in per_class.csv
MEASURES = {2: "IoU per class", 5: "OA rate per class"}
DASHES = {
    "solid": "",
    "dash": "9 9",
    "dot": "3 3",
    "dashdot": "9 3 3 3",
    "longdash": "15 5",
}  # of plotly, and as SVG has them
LEGEND = 6  # names below a chart; more are named once, below the table of runs


@dataclass(frozen=True)
class Shown:
    """A run and how its lines are drawn."""

    run: RunFiles
    colour: str
    dash: str


def write(
    folders: Sequence[Path],
    boards: Sequence[Mapping[str, Any]],
    out: Path,
    names: Mapping[Path, tuple[str, int]] | None = None,
) -> Path:
    """Write the page of some runs.

    Args:
        folders: Of the runs, at least one.
        boards: Sections as plain data: name, charts and bars (title, keys, unit), table, versus, differences.
        out: The file.
        names: Row of a plan and seed by folder: a row has a colour, a seed a dash; both repeat where there are many.
            Otherwise a run is called by recipe,
            fingerprint and seed.

    Returns:
        The file.

    Raises:
        UserError: There are no runs, or a folder holds none.
    """
    if not folders:
        raise UserError("no runs to show: train some, or name their folders")
    runs: dict[str, Shown] = {}
    rows, seeds = (
        ([*dict.fromkeys(found)] for found in zip(*(names or {}).values(), strict=True)) if names else ([], [])
    )
    for number, (folder, run) in enumerate(zip(folders, map(read_run, folders), strict=True)):
        name, colour, dash = label(run), number, number // len(HUES)
        if names:
            row, seed = names[folder]
            name, colour = f"{row}, seed {seed}", rows.index(row)
            dash = seeds.index(seed) + colour // len(HUES)
        shown = Shown(run, hue("", colour), list(DASHES)[dash % len(DASHES)])
        runs[name if name not in runs else f"{name} in {run.path}"] = shown
    data: dict[str, Any] = {"plots": {}, "tables": {}}
    sections = [_section(board, runs, data) for board in boards]
    head = f"<p>{len(runs)} runs</p>{_list(runs, data, out)}{_key(runs) if len(runs) > LEGEND else ''}"
    atomic_write(out, document("Dashboard", "dupl dashboard", head, sections, data))
    return out


def label(run: RunFiles) -> str:
    """What a run is called here: recipe, the head of its fingerprint, its seed."""
    return f"{run.recipe} {str(run.status.get('fingerprint'))[:6]} (seed {run.status.get('seed')})"


def _list(runs: Mapping[str, Shown], data: dict[str, Any], out: Path) -> str:
    """The table of runs, each linked to its own page where it has one."""
    rows = []
    for name, run in ((name, shown.run) for name, shown in runs.items()):
        page = run.path / NAME
        there = {"link": link(page, out.resolve().parent)} if page.is_file() else {}
        done, best = run.status.get("iteration") or 0, {k: _best(run, k) for k in ("seg/best/mIoU", "cam/best/mIoU")}
        cells: list[dict[str, Any]] = [{"value": name, "text": name, **there}]
        cells.append({"value": str(run.status.get("state")), "text": str(run.status.get("state"))})
        cells.append({"value": done, "text": f"{done:,}"})
        cells += [{"value": v, "text": "–" if v is None else figure(v)} for v in best.values()]
        rows.append(cells)
    heads = ["run", "state", "iteration", "best Seg mIoU", "best CAM mIoU"]
    data["tables"]["runs"] = {"heads": heads, "rows": rows, "foot": None}
    return '<div class="scroll"><table data-table="runs"></table></div>'


def _key(runs: Mapping[str, Shown]) -> str:
    """Each run's line, as the charts draw it, and name: the legend of them all."""
    entries = []
    for name, shown in runs.items():
        stroke = f'stroke="{shown.colour}" stroke-width="3" stroke-dasharray="{DASHES[shown.dash]}"'
        line = f'<svg width="28" height="8"><line x1="0" y1="4" x2="28" y2="4" {stroke}/></svg>'
        entries.append(f'<span style="white-space:nowrap;margin-right:1.2em">{line} {text(name)}</span>')
    return f"<p>{' '.join(entries)}</p>"


def _best(run: RunFiles, key: str) -> float | None:
    """The highest value that a scalar ever had; None where it never had one."""
    values = [row[key] for row in run.rows if row.get(key) is not None]
    return max(values) if values else None


def _section(board: Mapping[str, Any], runs: Mapping[str, Shown], data: dict[str, Any]) -> Section:
    key, body, number = str(board["name"]).lower(), "", 0
    drawn = [(c["title"], _lines(c, runs)) for c in board.get("charts", ())]
    drawn += [(c["title"], _bars(c, runs)) for c in board.get("bars", ())]
    if board.get("versus"):
        x, y = board["versus"]
        drawn.append((f"{title_of_metric(y)} against {title_of_metric(x)}", _points(x, y, runs)))
    tall = [(f"{title_of(m)}, {MEASURES[at]}", _classes(m, at, runs)) for m, at in MAPS if board.get("table")]
    for charts in (drawn, tall):  # in grids of their own: a tall one leaves no gaps
        places = ""
        for title, made in charts:
            if made is not None:
                number += 1
                data["plots"][f"{key}-{number}"] = made.to_plotly_json()
                places += plot(f"{key}-{number}", title)
        body += f'<div class="grid">{places}</div>' if places else ""
    body = body or note("None of the runs logged any of this.")
    return Section(key, str(board["name"]), body + (_differences(runs) if board.get("differences") else ""))


def title_of_metric(key: str) -> str:
    """A metric in words: "seg/best/mIoU" is Seg mIoU, best."""
    kind, who, metric = key.split("/")
    return f"{'CAM' if kind == 'cam' else kind.capitalize()} {metric}, {who}"


def _lines(chart: Mapping[str, Any], runs: Mapping[str, Shown]) -> Any:
    """A line for each run and key; None where there is nothing to draw."""
    rows: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    styles: dict[str, tuple[str, str]] = {}
    for number, (name, shown) in enumerate(runs.items()):
        for key in chart["keys"]:
            short = f"{name}, {key.rsplit('/', 1)[-1]}" if len(chart["keys"]) > 1 else name
            names[short] = f"run{number}:{key}"
            colour = shown.colour if len(chart["keys"]) == 1 else hue("", len(styles))
            styles[label_of(short)] = colour, shown.dash
            rows += [
                {"iter": row["iter"], names[short]: row[key]} for row in shown.run.rows if row.get(key) is not None
            ]
    if not rows:
        return None
    made = line_chart(rows, names, chart.get("unit", ""), smooth=chart["title"].startswith("L"))
    for trace in made.data:
        trace.line.color, trace.line.dash = styles[trace.name]
    return _unlabelled(made, len(runs)) if len(chart["keys"]) == 1 else made


def _unlabelled(made: Any, runs: int) -> Any:
    """A chart without its legend, where the page has one for all."""
    return made.update_layout(showlegend=False, margin={"b": 30}) if runs > LEGEND else made


def _bars(chart: Mapping[str, Any], runs: Mapping[str, Shown]) -> Any:
    """A bar for each run, of the best value of a key that begins with "best/"."""
    values = {name: _best(shown.run, chart["keys"][0].removeprefix("best/")) for name, shown in runs.items()}
    known = {label_of(name): value for name, value in values.items() if value is not None}
    colours = [runs[name].colour for name, value in values.items() if value is not None]
    if not known:
        return None
    made = blank(90 + 26 * len(known), "", hovermode="y")
    made.add_bar(y=list(known), x=list(known.values()), orientation="h", marker={"color": colours}, name="")
    made.update_xaxes(title={"text": chart.get("unit", "")}, hoverformat=".2f")
    made.update_yaxes(type="category", autorange="reversed")
    return made


def _points(x: str, y: str, runs: Mapping[str, Shown]) -> Any:
    """A point for each run, of the last values of two keys."""
    made, found = blank(320, title_of_metric(y) + " (%)", hovermode="closest"), 0
    for name, shown in runs.items():
        rows = [row for row in shown.run.rows if row.get(x) is not None and row.get(y) is not None]
        if rows:
            found += 1
            mark = {"size": 10, "color": shown.colour}
            made.add_scatter(x=[rows[-1][x]], y=[rows[-1][y]], mode="markers", name=label_of(name), marker=mark)
    made.update_xaxes(title={"text": title_of_metric(x) + " (%)"}, hoverformat=".2f")
    return _unlabelled(made, len(runs)) if found else None


def _classes(name: str, column: int, runs: Mapping[str, Shown]) -> Any:
    """Bars per class of the last evaluation in training, one for each run."""
    found: dict[str, dict[str, float]] = {}
    for run_name, run in ((name, shown.run) for name, shown in runs.items()):
        for row in run.trained[-1].rows if run.trained else []:
            if row[0] == name and not math.isnan(float(row[column])):
                found.setdefault(run_name, {})[str(row[1])] = float(row[column])
    classes = list(dict.fromkeys(c for values in found.values() for c in values))
    if not classes:
        return None
    rates = {run: [values.get(c, math.nan) for c in classes] for run, values in found.items()}
    made = rate_bars(rates, classes, "%")
    for trace in made.data:
        trace.marker.color = next(shown.colour for name, shown in runs.items() if label_of(name) == trace.name)
    return _unlabelled(made, len(runs))


def _differences(runs: Mapping[str, Shown]) -> str:
    """The settings in which the runs differ, as a table."""
    flat = {name: dict(_leaves(shown.run.config, "")) for name, shown in runs.items()}
    paths = sorted({path for values in flat.values() for path in values})
    rows = []
    for path in paths:
        values = [flat[name].get(path, "–") for name in runs]
        if any(value != values[0] for value in values):
            cells = "".join(f'<td title="{text(v)}">{text(_short(v))}</td>' for v in values)
            rows.append(f"<tr><th scope='row'>{text(path)}</th>{cells}</tr>")
    if not rows:
        return "<h3>Settings</h3>" + note("The runs have the same settings." if len(runs) > 1 else "There is one run.")
    heads = "".join(f"<th>{text(name)}</th>" for name in runs)
    table = f"<table><tr><th></th>{heads}</tr>{''.join(rows)}</table>"
    return f"<h3>Settings that differ</h3><div class='scroll'>{table}</div>"


def _short(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:18]}…{value[-21:]}"


def _leaves(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}" if path else str(key))]
    return [(path, repr(value))]
