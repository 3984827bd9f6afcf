"""What a store holds of a plan's runs for one column of its table, and why something is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dupl.plans.plan import Column
from dupl.report.tables.row_run import RowRun

if TYPE_CHECKING:
    from pandas import DataFrame

VERSIONS = ("python", "dupl-lab", "torch", "torchvision", "timm", "mmengine", "numpy")


@dataclass(frozen=True)
class Evidence:
    """The evaluations that speak for one column.

    Attributes:
        column: Of the table.
        runs: Of the plan.
        split: Of the data; "" before there is an evaluation.
        how: Split, protocol, and how much truth was judged, in words.
        used: Rows of the frame with the column's metric, one for each run.
        others: Rows of other protocols, splits and metrics, of finished runs.
    """

    column: Column
    runs: Sequence[RowRun]
    split: str
    how: str
    used: DataFrame
    others: DataFrame

    @classmethod
    def of(cls, column: Column, runs: Sequence[RowRun], frame: DataFrame) -> Evidence:
        """Chooses them: of the last weights of each finished run, on val, or else the split that most have."""
        wanted = {run.fingerprint for run in runs if run.state == "finished"}
        known = frame[frame["last"] & frame["fingerprint"].isin(wanted)]
        part = known[(known["protocol"] == column.protocol) & (known["metric"] == column.metric)]
        reached = part["fingerprint"].map({run.fingerprint: run.iteration or None for run in runs}).astype("Int64")
        part = part[part["value"].notna() & (part["iteration"].astype("Int64") == reached).fillna(True)]
        splits = part["split"].value_counts()
        split = "" if part.empty else "val" if "val" in splits else str(splits.index[0])
        used = part[part["split"] == split]
        titles = "; or ".join(dict.fromkeys(used["title"]))
        judged = "; or ".join(filter(None, dict.fromkeys(used["judged"])))
        how = ", ".join(filter(None, [split, titles, judged]))
        return cls(column, runs, split, how, used, known.drop(used.index))

    def fingerprint(self, row: str, seed: int) -> str:
        """Of the run of a row and a seed."""
        return next(run.fingerprint for run in self.runs if (run.row, run.seed) == (row, seed))

    def values(self, row: str) -> dict[int, float]:
        """By seed, of the runs that have one."""
        known = dict(zip(self.used["fingerprint"], self.used["value"].astype(float), strict=True))
        return {r.seed: known[r.fingerprint] for r in self.runs if r.row == row and r.fingerprint in known}

    def commits(self, row: str) -> tuple[str, ...]:
        """Of the code behind a row's values, each once, with a + where it had changes."""
        prints = {run.fingerprint for run in self.runs if run.row == row}
        return commits(self.used[self.used["fingerprint"].isin(prints)])

    def absent(self, row: str) -> tuple[str, ...]:
        """Why runs of a row have no value, one line for each reason."""
        have, reasons = self.values(row), dict[str, list[int]]()
        planned = [run for run in self.runs if run.row == row]
        for run in planned:
            if run.seed not in have:
                reasons.setdefault(self._reason(run), []).append(run.seed)
        if len(planned) == 1 or (len(reasons) == 1 and not have):
            return tuple(reasons)
        return tuple(f"seed{'s' * (len(s) > 1)} {', '.join(map(str, s))}: {why}" for why, s in reasons.items())

    def _reason(self, run: RowRun) -> str:
        if run.state is None:
            return f"failed before training: {run.error}" if run.error else "not run"
        if run.state != "finished":
            where = f"iteration {run.iteration}" + ("" if run.iterations is None else f" of {run.iterations}")
            if run.state == "failed":
                return f"failed at {where}: {run.error or 'no error was noted'}"
            return f"{run.state} at {where}" if run.iteration else run.state
        column, others = self.column, self.others[self.others["fingerprint"] == run.fingerprint]
        same = others[others["protocol"] == column.protocol]
        evaluate = f"dupl eval {run.folder} --protocol {column.protocol} --checkpoint last"
        if others.empty:
            return f"finished, but no evaluation of it was found: {evaluate}"
        if same.empty:
            return f"evaluated by {_listed(others['protocol'])}, not by {column.protocol}: {evaluate}"
        if self.split and self.split not in set(same["split"]):
            return f"evaluated on {_listed(same['split'])}, not on {self.split}: {evaluate}"
        if column.metric in set(same["metric"]) and run.iteration not in set(same["iteration"]):
            weights = f"evaluated with weights of iteration {_listed(same['iteration'])}, not {run.iteration}"
            return f"{weights}: {evaluate}"
        return f"its evaluation has no {column.metric}"


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(sorted(set(map(str, names))))


def commits(frame: DataFrame) -> tuple[str, ...]:
    """The code behind the rows of a frame: commits, each once, with a + where there were changes beside."""
    known = frame[frame["commit"].notna()]
    changed = known["dirty"].fillna(False).astype(bool)
    return tuple(dict.fromkeys(f"{c[:12]}{'+' * d}" for c, d in zip(known["commit"], changed, strict=True)))


def provenance(
    plan: str,
    runs: Sequence[RowRun],
    used: Sequence[DataFrame],
    mixed: Callable[[DataFrame], Sequence[str]],
    command: str,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Where a table comes from: notes on what is mixed in it, and facts by name."""
    import pandas as pd

    shown = pd.concat(list(used))
    notes = [] if shown.empty else [f"mixed: {line}" for line in mixed(shown)]
    single = shown.drop_duplicates("run")
    versions = [
        f"{name} {', '.join(sorted(set(single[name].dropna().astype(str))))}"
        for name in VERSIONS
        if name in single and single[name].notna().any()
    ]
    have = set(single["fingerprint"])
    prints = dict.fromkeys(run.fingerprint for run in runs if run.fingerprint in have)
    facts = {
        "plan": plan,
        "seeds": ", ".join(map(str, sorted({run.seed for run in runs}))),
        "runs": ", ".join(prints) or "none",
        "commits": ", ".join(commits(single)) or "none",
        "versions": ", ".join(versions) or "none",
        "command": command,
    }
    return tuple(notes), facts
