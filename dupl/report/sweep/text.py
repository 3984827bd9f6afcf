"""The report of a sweep in words: its Markdown, and the texts and tables that its page shares with it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.trials import (
    NONE,
    count_states,
    fingerprint_of,
    goal_values,
    saved_iterations,
    state_of,
    value_text,
)
from dupl.report.tables.layout import layout
from dupl.report.tables.markdown import escape, markdown
from dupl.report.tables.table import Table

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Grid = tuple[list[str], list[list[str]]]  # column titles and rows


def summary(report: SweepReport) -> dict[str, str]:
    """Return the facts that head a report, by name."""
    trials = report.trials
    goals = "; ".join(f"{metric}, {direction}" for metric, direction in report.goals)
    found = {"goal": f"{goals}, on the search split"}
    found["trials"] = ", ".join(f"{n} {state}" for state, n in count_states(trials).items()) or "none yet"
    seconds = [trial.user_attrs["seconds"] for trial in trials if trial.user_attrs.get("seconds") is not None]
    if seconds:
        found["time in training"] = f"{sum(seconds) / 3600:.1f} h in all"
    saved, whole = saved_iterations(report.sweep.config.schedule.iterations, trials)
    if saved:
        found["pruning"] = f"{saved:,} of {whole:,} iterations not trained ({saved / whole:.0%})"
    return found | dict(report.facts)


def cautions(report: SweepReport) -> list[str]:
    """Return what a reader must know to judge the numbers: how they were chosen, and which trials failed."""
    words = shlex.split(report.facts.get("command", ""))  # dupl report NAME ...: the name may be that of a file
    name = words[2] if len(words) > 2 else report.sweep.name
    notes = [
        "These values were chosen on the search split, and the best of many is partly luck: dupl sweep "
        f"{name} --confirm K trains the best K again with several seeds and evaluates them on the report "
        "split."
    ]
    lost = [trial for trial in report.trials if state_of(trial) == "failed"]
    reasons = [trial.user_attrs.get("reason") or "no reason was recorded" for trial in lost]
    return notes + [f"Trial {trial.number} failed: {why}." for trial, why in zip(lost, reasons, strict=True)]


def best_with_start(report: SweepReport) -> list[FrozenTrial]:
    """Return the best trials, and last the starting point where it is not among them; none where none is complete."""
    best = [report.trials[number] for number in report.best]
    start = report.start
    return [*best, start] if best and start is not None and start.number not in report.best else best


def trial_grid(report: SweepReport, trials: Iterable[FrozenTrial]) -> Grid:
    """Return trials with their values and parameters."""
    rows = []
    for trial in trials:
        cells = [str(trial.number), state_of(trial), *value_texts(report, trial)]
        cells += [value_text(parameter, trial.params.get(parameter.name)) for parameter in report.parameters]
        rows.append([*cells, count_text(trial.user_attrs.get("iteration")), fingerprint_of(trial) or NONE])
    heads = ["trial", "state", *(metric for metric, _ in report.goals), *(p.label for p in report.parameters)]
    return [*heads, "iteration", "run"], rows


def value_texts(report: SweepReport, trial: FrozenTrial) -> list[str]:
    """Return the value of a trial by each goal; a dash where there is none."""
    values = [goal_values([trial], goal)[0] for goal in range(len(report.goals))]
    return [f"{value:.2f}" if math.isfinite(value) else NONE for value in values]


def count_text(value: Any) -> str:
    """Return a number of iterations or seconds; a dash where there is none."""
    return NONE if value is None or value != value else f"{int(value):,}"


def importance_grid(report: SweepReport, metric: str) -> Grid:
    """Return shares with their spread, a row for each parameter."""
    labels = {parameter.name: parameter.label for parameter in report.parameters}
    found = [one for one in report.importances if one.metric == metric]
    evaluators = list(dict.fromkeys(one.evaluator for one in found))
    rows = []
    for name in dict.fromkeys(one.parameter for one in found):
        cells = [labels[name]]
        for evaluator in evaluators:
            one = next(one for one in found if (one.parameter, one.evaluator) == (name, evaluator))
            if math.isnan(one.first):
                cells += [f"{one.value:.2f}", NONE]
            else:
                cells += [f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]", f"{one.first:.0%}"]
        rows.append(cells)
    heads = [head for evaluator in evaluators for head in (evaluator, "first")]
    return ["parameter", *heads], rows


def importance_about(report: SweepReport) -> str:
    """Return what the numbers of importances mean."""
    sampled = f" (each of {report.sampled}, as is the sample of the shares)" if report.sampled else ""
    return (
        f"Shares of 1; in brackets the 5th to the 95th percentile over {report.bootstraps} bootstraps of the trials"
        f"{sampled}; "
        "first: share of bootstraps in which the parameter matters most. PED-ANOVA: what the best trials have "
        "in common, compared with the others and the pruned; fANOVA: how the mean of the goal varies along one "
        "parameter, from complete trials. Both describe the trials that were drawn, and a sampler draws more of them "
        "where values are good."
    )


def best_title(report: SweepReport) -> str:
    """Return the title of the list of best trials."""
    return "Pareto front" if len(report.goals) > 1 else "Best trials"


def sweep_markdown(report: SweepReport, tables: Sequence[Table] = ()) -> str:
    """Return the report in GitHub's Markdown.

    Args:
        report: Of the sweep.
        tables: Of plans, from its trials.
    """
    parts = [f"## {escape(report.sweep.title)}"]
    parts.append("\n".join(f"- {escape(name)}: {escape(value)}" for name, value in summary(report).items()))
    parts.append("\n".join(f"- {escape(line)}" for line in cautions(report)))
    parts.append(f"### {best_title(report)}")
    shown = best_with_start(report)
    if len(shown) > len(report.best):
        parts.append(f"The last row is the starting point, trial {shown[-1].number}.")
    parts.append(_grid(trial_grid(report, shown)) if shown else "No trial is complete yet.")
    parts.append("### Importances")
    if report.missing:
        parts.append(escape(report.missing))
    for metric in dict.fromkeys(one.metric for one in report.importances):
        parts += [f"{escape(metric)}:", _grid(importance_grid(report, metric))]
    parts += [escape(importance_about(report))] if report.importances else []
    text = "\n\n".join(parts) + "\n"
    return text + "".join(f"\n{markdown(layout(table)).replace('## ', '### ')}" for table in tables)


def _grid(grid: Grid) -> str:
    heads, rows = grid
    lines = [heads, ["--:"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell if k == 1 else escape(cell) for cell in line)} |" for k, line in enumerate(lines)
    )
