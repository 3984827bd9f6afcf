"""The table of all trials on a sweep's page, which its script sorts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.report.pages.html import FILE, Site
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.text import count_text, value_texts
from dupl.report.sweep.trials import NONE, fingerprint_of, goal_values, state_of, value_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def trial_table(report: SweepReport, folder: Path, site: Site = FILE) -> dict[str, Any]:
    """Return the table of all trials for the page's script."""
    goals, labels = [metric for metric, _ in report.goals], [parameter.label for parameter in report.parameters]
    heads = ["trial", "state", *goals, *labels, "iteration", "seconds", "run", "reason"]
    return {"heads": heads, "rows": [_trial_cells(report, trial, folder, site) for trial in report.trials]}


def _trial_cells(report: SweepReport, trial: FrozenTrial, folder: Path, site: Site) -> list[dict[str, Any]]:
    """Return the cells of a trial: the text that is shown and the value by which a column sorts."""
    facts = trial.user_attrs
    address = site.run_page(Path(facts["folder"]), folder) if facts.get("folder") else None
    cells = [{"value": trial.number, "text": str(trial.number), "link": address}, _cell(state_of(trial))]
    for goal, text in enumerate(value_texts(report, trial)):
        cells.append({"value": None if text == NONE else goal_values([trial], goal)[0], "text": text})
    for parameter in report.parameters:
        chosen = trial.params.get(parameter.name)
        text = value_text(parameter, chosen)
        cells.append({"value": text if parameter.type == "categorical" and text != NONE else chosen, "text": text})
    for name in ("iteration", "seconds"):
        text = count_text(facts.get(name))
        cells.append({"value": None if text == NONE else float(facts[name]), "text": text})
    return [*cells, _cell(fingerprint_of(trial) or NONE), _cell(facts.get("reason") or NONE)]


def _cell(text: str) -> dict[str, Any]:
    return {"value": text, "text": text}
