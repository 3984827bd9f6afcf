"""The page of a run: one HTML file with what its folder holds. ``dupl report RUN`` writes it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write
from dupl.report.figures.beginnings import Grown, tree_chart
from dupl.report.figures.plotly_theme import LEGEND_ABOVE, blank_chart
from dupl.report.pages.html import FILE, ChartCard, Site, add_chart, render
from dupl.report.pages.run_classes import classes
from dupl.report.pages.run_curves import curves, speed_cards
from dupl.report.pages.run_files import RunFiles, read_run
from dupl.report.pages.run_gallery import gallery
from dupl.report.tables.evaluation import figure
from dupl.runs import layout
from dupl.runs.config import images_per_loss
from dupl.runs.judged import Judged
from dupl.runs.stretches import described

COLOURS = {"training": "#3b7dd8", "evaluation": "#d4602a", "gallery": "#2f9e72"}  # of the bar of times
SECTIONS = {
    "curves": "Curves",
    "classes": "Classes",
    "gallery": "Gallery",
    "noise": "Noise filter",
    "timing": "Timing",
    "recipe": "Recipe",
}
Tile = tuple[str, str, str]  # label, value, what stands below


def write(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run; the page says what the run lacks.

    Args:
        folder: Of the run, which may still be training.
        out: The file; the page in the run's folder where None.

    Returns:
        The file.

    Raises:
        UserError: The folder holds no run.
    """
    run = read_run(folder)
    path = out or run.path / layout.PAGE
    atomic_write(path, page(run))
    return path


def page(run: RunFiles, site: Site = FILE) -> str:
    """Return the page of a run as HTML."""
    data: dict[str, Any] = {"plots": {}, "tables": {}}
    values = dict(
        sections=SECTIONS,
        state=run.status.state,
        error=run.status.error,
        problems=run.problems,
        header_tiles=_header_tiles(run),
        provenance=_provenance(run),
        curves=curves(run, data),
        classes=classes(run, data),
        gallery=gallery(run, data, site),
        timing=_timing(run, data),
        config_text=run.config_text,
        diff=run.diff,
        files=layout,
    )
    return render("run.html", run.path.name, data, site, **values)


def _header_tiles(run: RunFiles) -> list[Tile]:
    """Return the last metrics with the best over training, and how far the training is."""
    status, last = run.status, run.trained[-1] if run.trained else None
    tiles = []
    for kind, label in (("seg", "Segmentation"), ("cam", "CAM")):
        for key in (k for k in (last.metrics if last else {}) if k.startswith(f"{kind}/best/mIoU")):
            values = {e.metrics[key]: e.iteration or 0 for e in run.trained if e.metrics.get(key, 0) > 0}
            top = f"better student; best {figure(max(values))} at {values[max(values)]:,}" if values else ""
            tiles.append((f"{label}, {key.split('/')[2]}", figure(last.metrics[key]) if last else "–", top))
    done, whole = status.iteration, status.iterations
    tiles.append(("Iteration", f"{done:,}", f"of {whole:,}" if whole else ""))
    begun = status.beginning
    saved = f"; {duration(begun.seconds)} more were another run's" if begun else ""
    return [*tiles, ("Training", duration(status.seconds), f"without evaluation{saved}")]


def _provenance(run: RunFiles) -> list[tuple[str, str]]:
    """Return recipe, code, command, machine and protocol of the run as names and values."""
    status = run.status
    versions = status.versions or {}
    changes = {True: " with uncommitted changes", False: " without changes", None: ""}[status.dirty]
    last = run.trained[-1].facts if run.trained else {}
    data = last.get("data") or {}
    where = " ".join(str(data[key]) for key in ("type", "split") if data.get(key))
    protocol = f"{last.get('protocol')}, {last.get('size')} px, {where}" if last else "never evaluated in training"
    times = [when[:16].replace("T", " ") for when in (status.started, status.ended) if when]
    return [
        ("Recipe", run.recipe),
        ("Fingerprint", status.fingerprint),
        ("Seed", str(status.seed)),
        ("Command", shlex.join(status.command)),
        ("Code", f"{status.commit or 'no checkout'}{changes}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
        ("Images per loss", images_per_loss(run.path) or "–"),
        ("Machine", ", ".join(filter(None, (status.machine, status.host))) or "–"),
        *([("Stretches", "; ".join(described(status.history)))] if status.history else []),
        *([("Beginning", status.beginning.told)] if status.beginning else []),
        ("Protocol", protocol),
        ("Truth", str(Judged.read(last) or "not recorded")),
        ("Time", f"{' to '.join(times)} UTC" if times else "–"),
    ]


def _timing(run: RunFiles, data: dict[str, Any]) -> dict[str, Any]:
    """Return how long training, evaluation and gallery took, as tiles and charts; no tiles where nothing is known."""
    begun = run.status.beginning.iteration if run.status.beginning else 0  # what lies before cost another run
    own = [evaluation for evaluation in run.trained if (evaluation.iteration or 0) > begun]
    spent = {
        "training": run.status.seconds,
        "evaluation": sum(float(evaluation.facts.get("seconds") or 0) for evaluation in own),
    }
    if run.gallery:
        shots = [shot for shot in run.gallery if int(shot.get("iter") or begun + 1) > begun]
        spent["gallery"] = sum(float(shot.get("seconds") or 0) for shot in shots)
    whole = sum(spent.values())
    if not whole:
        return {"tiles": [], "cards": []}
    tiles = [
        (name.capitalize(), duration(seconds), f"{100 * seconds / whole:.1f}% of the time")
        for name, seconds in spent.items()
    ]
    done = run.status.iteration
    each = f"{run.status.whole_seconds / done:.3f} s" if done else "–"
    tiles.append(("One iteration", each, "mean, without evaluation"))
    return {"tiles": tiles, "cards": [_time_card(spent, data), *_tree_card(run, data), *speed_cards(run, data)]}


def _tree_card(run: RunFiles, data: dict[str, Any]) -> list[ChartCard]:
    """Return the card of what another run trained of this one; none where it trained everything itself."""
    begun = run.status.beginning
    if begun is None:
        return []
    own = Grown(run.path.name, run.status.iteration, begun.iteration, begun.run, begun.folder)
    chart = tree_chart({run.status.fingerprint: own})
    return [] if chart is None else [add_chart(data, "tree", chart, "Who trained which iterations", begun.told)]


def _time_card(spent: dict[str, float], data: dict[str, Any]) -> ChartCard:
    """Return the card of a stacked bar of seconds."""
    bar = blank_chart(170, "", barmode="stack", hovermode="closest", margin={"l": 10, "r": 12, "t": 30, "b": 40})
    for name, seconds in spent.items():
        bar.add_bar(
            x=[round(seconds, 1)], y=[""], name=name, orientation="h", marker={"color": COLOURS[name]}, width=0.5
        )
    bar.update_xaxes(title={"text": "seconds"})
    bar.update_layout(legend=LEGEND_ABOVE["legend"])
    return add_chart(data, "time", bar, "Time by activity")


def duration(seconds: float) -> str:
    """Return a duration in the largest units that fit: "1 h 02 min", "3 min 05 s" or "8.0 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
