"""Check that the members of an archive agree with each other, beside its cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dupl.config.fingerprint import canonical
from dupl.evidence.gather import image_lists
from dupl.evidence.planned import ArchivedPlan, ArchivedRun
from dupl.evidence.recompute import RUNS, Recomputed, value_at
from dupl.plans.sweep_file import HOURS
from dupl.report.tables.comparison import CLOSE
from dupl.report.tables.layout import layout
from dupl.report.tables.markdown import escape, markdown
from dupl.report.tables.selection import recipe_rules
from dupl.runs.label_maps import is_entry
from dupl.terminal import counted

TABLE = "table.md"
LISTS = "data/"


def inconsistencies(found: Recomputed, members: Mapping[str, bytes]) -> list[str]:
    """Return a line for each member that contradicts the others.

    Args:
        found: The archive's table, computed again.
        members: Content by name.
    """
    return [
        *_strange_runs(found, members),
        *_mistaken_rows(found),
        *_uneven_seeds(found.archived),
        *_other_table(found, members),
        *_other_lists(members),
        *_missing_rules(found),
        *_other_trials(found),
    ]


def _strange_runs(found: Recomputed, members: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the runs that belong to no row: a row or a seed was taken out of the table."""
    held = {name.split("/")[1] for name in members if name.startswith(f"{RUNS}/") and name.count("/") > 1}
    for run in sorted(held - {run.fingerprint for run in found.archived.runs}):
        yield f"the archive holds run {run}, which is of no row"


def _mistaken_rows(found: Recomputed) -> Iterator[str]:
    """Yield the rows of label maps whose runs were trained, and the rows of trainings that hold label maps."""
    if found.archived.source != "plan":
        return
    kinds = {row.key: bool(row.masks) for row in found.archived.plan.rows}
    for run in found.archived.runs:
        if (values := found.configs.get(run.fingerprint)) and is_entry(values) != kinds[run.row]:
            what = "label maps, and its run {} was trained" if kinds[run.row] else "a training, and {} is of label maps"
            yield f"row {run.row} is of {what.format(run.fingerprint)}"


def _uneven_seeds(archived: ArchivedPlan) -> Iterator[str]:
    """Yield the rows of a plan whose runs are not of the seeds that most rows have; a printed row has no runs."""
    if archived.source != "plan":
        return
    rows = [row.key for row in archived.plan.rows if not row.printed]
    seeds = {key: sorted(run.seed for run in archived.runs if run.row == key) for key in rows}
    each = list(seeds.values()) or [[]]
    usual = max(each, key=lambda one: (each.count(one), len(one)))
    for row, own in seeds.items():
        if own != usual:
            yield f"row {row} has runs of the {_seeds(own)}, most rows of the {_seeds(usual)}"


def _seeds(numbers: list[int]) -> str:
    return f"seed{'s' * (len(numbers) != 1)} {', '.join(map(str, numbers)) or 'none'}"


def _other_table(found: Recomputed, members: Mapping[str, bytes]) -> Iterator[str]:
    """Yield a line where the table in Markdown is not that of the cells; its notes are not compared."""
    told, again = (_grid(text) for text in (members.get(TABLE, b"").decode(), markdown(layout(found.table))))
    for how in {escape(how) for how in found.table.how.values() if how}:  # version 0.2.0 wrote it into each heading
        told = [line.replace(f" ({how}): ", ": ") for line in told]
    if told != again:
        others = sum(one != two for one, two in zip(told, again, strict=False)) + abs(len(told) - len(again))
        yield f"{TABLE} differs from the table computed again in {counted(others, 'line')}"


def _grid(text: str) -> list[str]:
    """Return the headings and the lines of the tables of a Markdown text."""
    return [line for line in text.splitlines() if line.startswith(("|", "#"))]


def _other_lists(members: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the lists of images that are not those of the counts."""
    told = {name: data for name, data in members.items() if name.startswith(LISTS)}
    again = image_lists(members)
    for name in sorted({*told, *again}):
        if told.get(name) != again.get(name):
            yield f"{name} is not the list of images that the counts name"


def _missing_rules(found: Recomputed) -> Iterator[str]:
    """Yield the columns that leave out that their runs have values for each class."""
    for column in found.archived.plan.columns:
        runs = set(found.used[column.key]["fingerprint"])
        configs = [values for name, values in found.configs.items() if name in runs]
        needed = {rule.code for rule in recipe_rules(column, configs)}
        for code in sorted(needed - {rule.code for rule in found.table.selection.get(column.key, ())}):
            if found.archived.source == "plan":
                yield f"column {column.key} leaves out how it was selected: {code}"


def _other_trials(found: Recomputed) -> Iterator[str]:
    """Yield the trials of a sweep whose parameters or values are not those of their run."""
    held: dict[str, ArchivedRun] = {run.fingerprint: run for run in found.archived.runs}
    for trial in found.archived.trials:
        name = trial["run"]
        if name not in held or name not in found.configs:
            continue
        for path, value in trial.get("set", trial["params"]).items():  # an earlier version noted the parameters alone
            known = value_at(found.configs[name], path)
            if known and not _same(value, known[0]):
                yield f"trial {trial['number']} has {path}={value}, the config of its run {known[0]}"
        if trial["state"] == "complete":
            yield from _other_values(found, trial)


def _other_values(found: Recomputed, trial: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of a trial that are not those of its run's metrics; its hours follow from none."""
    own, values = found.frame[found.frame["fingerprint"] == trial["run"]], trial["values"] or ()
    for metric, value in zip(trial.get("metrics") or [""] * len(values), values, strict=True):
        measured = own.loc[(own["metric"] == metric) | (not metric), "value"]
        if metric != HOURS and not (abs(measured - value) < CLOSE).any():
            what = f"the value {value} of {metric}, its run has" if metric else f"the value {value}, its run has only"
            yield f"trial {trial['number']} has {what} {', '.join(f'{one:.4f}' for one in measured) or 'none'}"


def _same(stated: object, known: object) -> bool:
    """Return whether a config has a value as it is stated; of a component the arguments that are stated count."""
    if isinstance(stated, Mapping) and isinstance(known, Mapping):
        return all(key in known and _same(value, known[key]) for key, value in stated.items())
    if isinstance(stated, (int, float)) and isinstance(known, (int, float)):
        return math.isclose(stated, known, rel_tol=1e-12)
    return canonical(stated) == canonical(known)
