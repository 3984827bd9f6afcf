"""The report of a sweep in words: what stands in its Markdown and at the head of its page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from dupl.report.sweep.charts import told
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.trials import spared, tally
from dupl.report.tables.layout import NONE, layout
from dupl.report.tables.markdown import escape, markdown
from dupl.report.tables.table import Table

Grid = tuple[list[str], list[list[str]]]  # heads and rows


def summary(report: SweepReport) -> dict[str, str]:
    """Names and values that head a report."""
    outline, trials = report.outline, report.trials
    goals = "; ".join(f"{metric}, {direction}" for metric, direction in outline.goals)
    found = {"goal": f"{goals}, on the search split"}
    found["trials"] = ", ".join(f"{n} {state}" for state, n in tally(trials).items()) or "none yet"
    if trials["seconds"].notna().any():
        found["time in training"] = f"{trials['seconds'].sum() / 3600:.1f} h in all"
    saved = spared(outline, trials)
    if saved and saved[0]:
        found["pruning"] = f"{saved[0]:,} of {saved[1]:,} iterations not trained ({saved[0] / saved[1]:.0%})"
    return found | dict(outline.facts)


def caution(report: SweepReport) -> list[str]:
    """What a reader has to know before believing the numbers."""
    name = report.outline.name
    notes = [
        f"Chosen on the search split, and the best of many is partly luck: dupl sweep {name} --confirm K trains the "
        "best K again with several seeds and judges them on the report split."
    ]
    lost = [(row["number"], row["reason"]) for _, row in report.trials.iterrows() if row["state"] == "failed"]
    notes += [f"Trial {number} failed: {reason or 'no reason was noted'}." for number, reason in lost]
    return notes


def trial_grid(report: SweepReport, numbers: Iterable[int]) -> Grid:
    """Trials with their parameters and what they reached."""
    outline, rows = report.outline, []
    for number in numbers:
        row = report.trial(number)
        cells = [str(number), row["state"], *values_of(report, row)]
        cells += [told(axis, row.get(axis.column)) for axis in outline.axes]
        rows.append([*cells, count(row["iteration"]), row["run"] or NONE])
    heads = ["trial", "state", *(metric for metric, _ in outline.goals), *(axis.label for axis in outline.axes)]
    return [*heads, "iteration", "run"], rows


def values_of(report: SweepReport, row: Any) -> list[str]:
    """What a trial reached by each goal."""
    values = [
        row["values"][goal] if len(row["values"]) > goal else math.nan for goal in range(len(report.outline.goals))
    ]
    return [f"{value:.2f}" if math.isfinite(value) else NONE for value in values]


def count(value: Any) -> str:
    """A number of iterations or seconds, where there is one."""
    return NONE if value is None or value != value else f"{int(value):,}"


def importance_grid(report: SweepReport, metric: str) -> Grid:
    """Shares with their spread, a row for each parameter."""
    labels = {axis.name: axis.label for axis in report.outline.axes}
    found = [one for one in report.importances if one.metric == metric]
    evaluators = list(dict.fromkeys(one.evaluator for one in found))
    rows = []
    for name in dict.fromkeys(one.axis for one in found):
        cells = [labels[name]]
        for evaluator in evaluators:
            one = next(one for one in found if (one.axis, one.evaluator) == (name, evaluator))
            if math.isnan(one.first):
                cells += [f"{one.value:.2f}", NONE]
            else:
                cells += [f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]", f"{one.first:.0%}"]
        rows.append(cells)
    heads = [head for evaluator in evaluators for head in (evaluator, "first")]
    return ["parameter", *heads], rows


def importance_about(report: SweepReport) -> str:
    """What the figures of importances are."""
    sampled = f" (each of {report.sampled}, as is the sample of the shares)" if report.sampled else ""
    return (
        f"Shares of 1; in brackets the 5th to the 95th percentile over {report.bootstraps} bootstraps of the trials"
        f"{sampled}; "
        "first: share of bootstraps in which the parameter matters most. PED-ANOVA: what the best trials have "
        "in common, beside the others and the pruned; fANOVA: how the goal's mean varies along one parameter, from "
        "complete trials. Both tell of the trials that were drawn, "
        "which a sampler gathers where it is good."
    )


def best_title(report: SweepReport) -> str:
    """Of the list of best trials."""
    return "Pareto front" if len(report.outline.goals) > 1 else "Best trials"


def sweep_markdown(report: SweepReport, tables: Sequence[Table] = ()) -> str:
    """The report in GitHub's Markdown.

    Args:
        report: Of the sweep.
        tables: Of plans, from its trials.
    """
    parts = [f"## {escape(report.outline.title)}"]
    parts.append("\n".join(f"- {escape(name)}: {escape(value)}" for name, value in summary(report).items()))
    parts.append("\n".join(f"- {escape(line)}" for line in caution(report)))
    parts.append(f"### {best_title(report)}")
    numbers = list(report.best)
    start = report.outline.start
    if numbers and start is not None and start not in numbers and (report.trials["number"] == start).any():
        numbers.append(start)
        parts.append(f"The last row is the starting point, trial {start}.")
    parts.append(_grid(trial_grid(report, numbers)) if numbers else "No trial is complete yet.")
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
