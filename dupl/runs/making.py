"""What made the runs behind a table: code, packages and machines, also of runs that went on elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dupl.atomic import read_regular
from dupl.runs import layout
from dupl.runs.config import images_per_loss
from dupl.runs.label_maps import PROTOCOL
from dupl.runs.provenance import PACKAGES, changes_digest
from dupl.runs.stretches import BITS, Stretch, distinct, turns
from dupl.terminal import counted

if TYPE_CHECKING:
    from pandas import DataFrame

    from dupl.runs.stored_run import StoredRun

VERSIONS = ("python", *PACKAGES)
CODE = ("commit", "dirty", "changes", "commits", "package")
MACHINE = ("processor", "vector", "threads", "processes")
MAKING = (*CODE, *VERSIONS, *MACHINE, "turns", "images_per_loss")
EVALUATED = {"name": "settings", "checkpoint": "weights", "iteration": "iterations", "judged": "truth", "read": "data"}
LISTED = 3  # runs that a line names
TO = " -> "  # between what a run was made by first and later


def making(stored: StoredRun) -> tuple[Any, ...]:
    """Return what made a run, in the order of `MAKING`; None where it is not known.

    What changed during a run is written with an arrow, such as "2.6.0 -> 2.7.1".
    """
    status, history = stored.status, stored.status.history
    changes = _changes(stored)
    words = [f"{one.commit[:12]}{'+' * bool(one.dirty)}" for one in history if one.commit]
    if not words and status.commit:
        words = [f"{status.commit[:12]}{'+' * bool(status.dirty)}"]
    code = (status.commit, status.dirty, changes, " ".join(dict.fromkeys(words)), _over(history, "package"))
    packages = [_version(name, history, status.versions or {}) for name in VERSIONS]
    machine = [_over(history, name) for name in MACHINE]
    return (*code, *packages, *machine, "; ".join(turns(history)), images_per_loss(stored.path))


def _over(history: tuple[Stretch, ...], name: str) -> str | None:
    return TO.join(map(str, distinct(history, name))) or None


def _version(name: str, history: tuple[Stretch, ...], start: Mapping[str, str | None]) -> str | None:
    known = [one.versions or {} for one in history] or [start]
    return TO.join(dict.fromkeys(value for versions in known if (value := versions.get(name)))) or None


def _changes(stored: StoredRun) -> str | None:
    """Return the digest of the uncommitted changes that a run began with; "" where there were none."""
    if not stored.status.dirty:
        return "" if stored.status.dirty is False else None
    try:
        return changes_digest(read_regular(stored.path / layout.CHANGES))
    except OSError:
        return None


def mixed(table: DataFrame) -> list[str]:
    """Return what keeps the runs behind a table from being compared as they are, one line each.

    Different code, package versions and machines; runs that went on in another way than they began; of the
    evaluations that speak for the runs, different iterations, weights or settings of one protocol, or other data or
    numbers of images and classes judged.

    Args:
        table: Of `dupl.runs.frames.frame`, or the part of it that is shown; a column `report` says as which weights,
            "last" or "best".
    """
    runs = table[~_given(table)].drop_duplicates("run")
    lines = [*_code(runs), *_resumed(runs), *_machines(runs)]
    if unknown := int((runs["images_per_loss"] == "not recorded").sum()):
        lines.append(f"images per loss not recorded: {unknown} of {_runs(len(runs))}, trained by an earlier version")
    report = table.get("report", "last")
    each = table.assign(report=report)[table["last"] | (report == "best")]
    each = each.drop_duplicates(["run", "protocol", "split", "report"])
    for (protocol, split, weights), part in each.groupby(["protocol", "split", "report"]):
        for column, what in EVALUATED.items():
            if weights == "best" and what in ("weights", "iterations"):  # each run has its own
                continue
            part = part if column in ("judged", "read") else part[~_given(part)]
            cells = part[column].astype(object).where(part[column].notna(), "unknown").replace("", "as trained")
            if cells.nunique() > 1:
                lines.append(f"different {what} evaluated by {protocol} on {split}: {_tally(cells)}")
    return lines


def _given(table: DataFrame) -> Any:
    """Return which rows are of label maps that another program made: what scored them is not what made them."""
    return table["name"].fillna("").str.endswith(PROTOCOL.format(""))


def _code(runs: DataFrame) -> list[str]:
    """Return a line for each difference of code; commits do not matter where the package's files are known equal."""
    lines, equal = [], len(runs) and runs["package"].notna().all() and runs["package"].nunique() == 1
    if not equal:
        if runs["commit"].fillna("").nunique() > 1:
            lines.append(f"different commits: {_tally(runs['commit'].str[:7].fillna('no checkout'))}")
        if (dirty := int(runs["dirty"].fillna(False).sum())) and runs["changes"].fillna("unknown").nunique() > 1:
            lines.append(f"different uncommitted changes: {dirty} of {_runs(len(runs))} have any ({layout.CHANGES})")
        if runs["package"].nunique() > 1:
            lines.append(f"different code, by the digest of the package's files: {_known(runs['package'])}")
    for package in VERSIONS:
        if runs[package].fillna("").nunique() > 1:
            lines.append(f"different versions of {package}: {_tally(runs[package].fillna('none'))}")
    return lines


def _resumed(runs: DataFrame) -> list[str]:
    other = runs[runs["turns"].fillna("") != ""]
    if other.empty:
        return []
    named = [f"{run} ({text})" for run, text in zip(other["run"], other["turns"], strict=True)]
    more = [f"{len(named) - LISTED} more"] if len(named) > LISTED else []
    return [f"{_runs(len(named))} went on in another way than begun: {', '.join(named[:LISTED] + more)}"]


def _machines(runs: DataFrame) -> list[str]:
    names = {"processor": "processors", "vector": "vector instructions", "threads": "numbers of threads"}
    names["processes"] = "numbers of processes"
    differ = [f"{what}: {_known(runs[name])}" for name, what in names.items() if runs[name].nunique() > 1]
    return [f"different {'; '.join(differ)}; {BITS} between them"] if differ else []


def _known(cells: Any) -> str:
    return _tally(cells.fillna("not recorded"))


def _tally(cells: Any) -> str:
    return ", ".join(f"{value} ({_runs(count)})" for value, count in cells.value_counts().items())


def _runs(count: int) -> str:
    return counted(count, "run")
