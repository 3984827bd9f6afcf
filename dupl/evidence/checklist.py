"""What runs can answer of a checklist of reproducibility."""

from __future__ import annotations

from collections.abc import Sequence

from dupl.config.fingerprint import weight_files
from dupl.evidence.compute import ComputeForm
from dupl.report.tables.table import Table
from dupl.runs import layout
from dupl.runs.config import read_config_values
from dupl.runs.stored_run import StoredRun
from dupl.terminal import counted


def facts_of(table: Table, runs: Sequence[StoredRun], form: ComputeForm) -> dict[str, str]:
    """Return the answers that the runs of a table give, by the names of `dupl.evidence.forms.ITEMS`.

    Args:
        table: Which.
        runs: Behind it.
        form: Its compute report.
    """
    if not runs:
        return {}
    commits = table.provenance.get("commits", "none")
    changed = sum(bool(run.status.dirty) for run in runs)
    recorded = sum((run.path / layout.DATA).is_file() for run in runs)
    data, weights = _assets(runs)
    return {
        "reproducibility": f"{counted(len(runs), 'run')}, each with its resolved config, seed, versions and machine; "
        "dupl reproduce RUN trains one again, dupl export writes the evidence",
        "code": f"commits {commits}; {changed} of {len(runs)} runs had changes that no commit holds, kept as patches; "
        f"digests of the data were recorded by {recorded} of {len(runs)}",
        "setting": "; ".join(f"{column.heading}: {table.how.get(column.key) or 'no value'}{_chosen(table, column.key)}"
                             for column in table.plan.columns),
        "significance": _significance(table),
        "resources": f"{form.total.gpu_hours:.2f} GPU hours and {form.total.cpu_hours:.2f} CPU core hours on "
        f"{', '.join(form.total.devices) or 'devices that were not recorded'}; dupl report --compute-form has each row",
        "assets": f"data: {data}; weights: {weights}; their licenses only a person can state",
    }  # fmt: skip


def _chosen(table: Table, column: str) -> str:
    rules = [rule.text for rule in table.selection.get(column, ())]
    return f" (selected: {'; '.join(rules)})" if rules else ""


def _significance(table: Table) -> str:
    """Return how many seeds there are, and what the intervals cover."""
    seeds = sorted({len(cell.values) for cell in table.cells.values() if cell.values})
    over = {cell.step.estimate.over for cell in table.cells.values() if cell.step and cell.step.estimate}
    shown = " to ".join(map(str, dict.fromkeys([seeds[0], seeds[-1]]))) if seeds else "no"
    intervals = f"95 % intervals over {' or '.join(sorted(over))}" if over else "no intervals"
    return f"{shown} seeds a row; standard deviation over seeds; {intervals}; p values corrected by Holm"


def _assets(runs: Sequence[StoredRun]) -> tuple[str, str]:
    data, weights = dict[str, None](), dict[str, None]()
    for run in runs:
        values = read_config_values(run.path)
        for entry in (values.get("data") or {}).values():
            if isinstance(entry, dict) and "type" in entry:
                data[str(entry["type"])] = None
        weights |= dict.fromkeys(weight_files(values.get("model")))
    return ", ".join(data) or "none", ", ".join(name.rpartition("/")[2] for name in weights) or "none from a file"
