"""The page of a run: one HTML file with what its folder holds. `dupl report RUN` writes it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write
from dupl.report.figures.plots import blank
from dupl.report.pages import run_classes, run_curves, run_gallery
from dupl.report.pages.frame import Section, document, facts, folded, note, plot, text, tile
from dupl.report.pages.run_files import RunFiles, read_run
from dupl.report.tables.evaluation import figure

NAME = "report.html"


def write(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run; what the run lacks is said in its place.

    Args:
        folder: Of the run; it may still be at work.
        out: The file; ``report.html`` in the folder where None.

    Returns:
        The file.

    Raises:
        UserError: The folder holds no run.
    """
    run = read_run(folder)
    path = out or run.path / NAME
    atomic_write(path, page(run))
    return path


def page(run: RunFiles) -> str:
    """Return the page of a run as HTML."""
    data: dict[str, Any] = {"plots": {}, "tables": {}}
    sections = [
        run_curves.section(run, data),
        run_classes.section(run, data),
        run_gallery.pictures(run, data),
        run_gallery.losses(run, data),
        timing(run, data),
        recipe(run),
    ]
    status = run.status
    state = f'<span class="state {text(status.get("state"))}">{text(status.get("state"))}</span>'
    problems = "".join(note(problem) for problem in run.problems)
    error = note(f"Why it failed: {status['error']}") if status.get("error") else ""
    head = f"<p>{state}</p>{error}{problems}{_tiles(run)}{_provenance(run)}"
    return document(run.path.name, "dupl run", head, sections, data)


def _tiles(run: RunFiles) -> str:
    """Return the figures that head the page: the last ones, and the best over training."""
    status, last = run.status, run.trained[-1] if run.trained else None
    tiles = []
    for kind, label in (("seg", "Segmentation"), ("cam", "CAM")):
        keys = [k for k in (last.metrics if last else {}) if k.startswith(f"{kind}/best/mIoU")]
        for key in keys:
            values = {e.metrics[key]: e.iteration or 0 for e in run.trained if e.metrics.get(key, 0) > 0}
            top = f"better student; best {figure(max(values))} at {values[max(values)]:,}" if values else ""
            tiles.append(tile(f"{label}, {key.split('/')[2]}", figure(last.metrics[key]) if last else "–", top))
    done, whole = status.get("iteration") or 0, status.get("iterations")
    tiles.append(tile("Iteration", f"{done:,}", f"of {whole:,}" if whole else ""))
    tiles.append(tile("Training", duration(float(status.get("seconds") or 0)), "evaluation left out"))
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _provenance(run: RunFiles) -> str:
    """Return where the run comes from: recipe, code, command, machine, protocol."""
    status = run.status
    versions = status.get("versions") or {}
    changed = {True: " with uncommitted changes", False: " without changes", None: ""}[status.get("dirty")]
    last = run.trained[-1].facts if run.trained else {}
    data = last.get("data") or {}
    where = " ".join(str(data[key]) for key in ("type", "split") if data.get(key))
    protocol = f"{last.get('protocol')}, {last.get('size')} px, {where}" if last else "never evaluated in training"
    times = [str(status[name])[:16].replace("T", " ") for name in ("started", "ended") if status.get(name)]
    rows = {
        "Recipe": text(run.recipe),
        "Fingerprint": f"<code>{text(status.get('fingerprint'))}</code>",
        "Seed": text(status.get("seed")),
        "Command": f"<code>{text(shlex.join(map(str, status.get('command') or [])))}</code>",
        "Code": f"<code>{text(status.get('commit') or 'no checkout')}</code>{text(changed)}",
        "Versions": text(", ".join(f"{name} {version}" for name, version in versions.items() if version)),
        "Machine": text(", ".join(str(status[key]) for key in ("machine", "host") if status.get(key)) or "–"),
        "Protocol": text(protocol),
        "Time": text(f"{' to '.join(times)} UTC" if times else "–"),
    }
    return facts(rows)


def recipe(run: RunFiles) -> Section:
    """The resolved recipe, and the code's uncommitted changes."""
    body = folded("config.py", run.config_text) if run.config_text else note("The folder holds no config.py.")
    if run.diff:
        body += folded("git.diff: changes of the code that no commit holds", run.diff)
    return Section("recipe", "Recipe", body)


def timing(run: RunFiles, data: dict[str, Any]) -> Section:
    """Where the time went."""
    spent = {
        "training": float(run.status.get("seconds") or 0),
        "evaluation": sum(float(e.facts.get("seconds") or 0) for e in run.trained),
    }
    if run.gallery:
        spent["gallery"] = sum(float(shot.get("seconds") or 0) for shot in run.gallery)
    whole = sum(spent.values())
    if not whole:
        return Section("timing", "Timing", note("No time is known: the run has not begun, or writes no times."))
    shares = {name: f"{100 * seconds / whole:.1f}% of the time" for name, seconds in spent.items()}
    tiles = "".join(tile(name.capitalize(), duration(seconds), shares[name]) for name, seconds in spent.items())
    done = run.status.get("iteration") or 0
    each = f"{spent['training'] / done:.3f} s" if done else "–"
    body = f'<dl class="tiles">{tiles}{tile("An iteration", each, "mean, evaluation left out")}</dl>'
    bar = blank(170, "", barmode="stack", hovermode="closest", margin={"l": 10, "r": 12, "t": 30, "b": 40})
    for (name, seconds), colour in zip(spent.items(), ("#3b7dd8", "#d4602a", "#2f9e72"), strict=False):
        bar.add_bar(x=[round(seconds, 1)], y=[""], name=name, orientation="h", marker={"color": colour}, width=0.5)
    bar.update_xaxes(title={"text": "seconds"})
    bar.update_layout(legend={"y": 1, "yanchor": "bottom", "traceorder": "normal"})
    data["plots"]["time"] = bar.to_plotly_json()
    body += f'<div class="grid">{plot("time", "Where the time went")}{run_curves.speed(run, data)}</div>'
    return Section("timing", "Timing", body)


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
