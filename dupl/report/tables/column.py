"""What a store holds of a plan's runs for one column of its table, and why something is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dupl.plans.plan import Column
from dupl.report.tables.counts import FAIR
from dupl.report.tables.row_run import RowRun
from dupl.runs.stretches import BITS
from dupl.terminal import counted

if TYPE_CHECKING:
    from pandas import DataFrame, Series

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
        elsewhere: By fingerprint, the data of evaluations by the same protocol that are on other data.
    """

    column: Column
    runs: Sequence[RowRun]
    split: str
    how: str
    used: DataFrame
    others: DataFrame
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, column: Column, runs: Sequence[RowRun], frame: DataFrame) -> Evidence:
        """Choose them: of the last or best weights of each finished run, on the column's split, or what most have."""
        wanted = {run.fingerprint for run in runs if run.state == "finished"}
        known = frame[frame[column.report] & frame["fingerprint"].isin(wanted)]
        part = known[(known["protocol"] == column.protocol) & (known["metric"] == column.metric)]
        reached = part["fingerprint"].map({run.fingerprint: run.iteration or None for run in runs}).astype("Int64")
        of_weights = (part["iteration"].astype("Int64") == reached).fillna(True) | (column.report == "best")
        part = part[part["value"].notna() & of_weights]
        split = shown_split(column, part["split"])
        used = part[part["split"] == split]
        given = used["fingerprint"].isin({run.fingerprint for run in runs if run.masks})  # which the row says
        told = used if given.all() else used[~given]
        titles = "; or ".join(dict.fromkeys(told["title"]))
        judged = "; or ".join(filter(None, dict.fromkeys(told["judged"])))
        how = ", ".join(filter(None, [split, titles, judged]))
        return cls(
            column,
            runs,
            split,
            how,
            used,
            known.drop(used.index),
            _elsewhere(column, wanted, frame, used, split),
        )

    def fingerprint(self, row: str, seed: int) -> str:
        """Return the fingerprint of the run of a row and a seed."""
        return self._prints[row, seed]

    def values(self, row: str) -> dict[int, float]:
        """Return the values of a row by seed, of the runs that have one."""
        known = self._known
        return {r.seed: known[r.fingerprint] for r in self._by_row.get(row, ()) if r.fingerprint in known}

    def commits(self, row: str) -> tuple[str, ...]:
        """Return the commits behind a row's values, seed by seed, each once, with a + where the code had changes."""
        prints = dict.fromkeys(run.fingerprint for run in self._by_row.get(row, ()))
        return tuple(dict.fromkeys(commit for name in prints for commit in self._commits.get(name, ())))

    def absent(self, row: str) -> tuple[str, ...]:
        """Return why runs of a row have no value, one line for each reason."""
        have, reasons = self.values(row), dict[str, list[int]]()
        planned = self._by_row.get(row, [])
        for run in planned:
            if run.seed not in have:
                reasons.setdefault(self._reason(run), []).append(run.seed)
        if len(planned) == 1 or (len(reasons) == 1 and not have):
            return tuple(reasons)
        return tuple(f"seed{'s' * (len(s) > 1)} {', '.join(map(str, s))}: {why}" for why, s in reasons.items())

    @cached_property
    def told(self) -> dict[str, float]:
        """The value of each run that has one, by fingerprint: the first, where there are several."""
        return dict(zip(self.used["fingerprint"][::-1], self.used["value"][::-1].astype(float), strict=True))

    @cached_property
    def _known(self) -> dict[str, float]:
        """The value of each run that has one, by fingerprint."""
        return dict(zip(self.used["fingerprint"], self.used["value"].astype(float), strict=True))

    @cached_property
    def _by_row(self) -> dict[str, list[RowRun]]:
        found = defaultdict[str, list[RowRun]](list)
        for run in self.runs:
            found[run.row].append(run)
        return dict(found)

    @cached_property
    def _prints(self) -> dict[tuple[str, int], str]:
        return {(run.row, run.seed): run.fingerprint for run in reversed(self.runs)}

    @cached_property
    def _commits(self) -> dict[str, list[str]]:
        """The commits of each run, by fingerprint."""
        found = defaultdict[str, list[str]](list)
        for name, commit in zip(self.used["fingerprint"], commit_names(self.used), strict=True):
            if commit is not None:
                found[name].append(commit)
        return dict(found)

    @cached_property
    def _others(self) -> dict[str, DataFrame]:
        """Rows of other protocols, splits and metrics, by fingerprint."""
        return dict(tuple(self.others.groupby("fingerprint")))

    def _reason(self, run: RowRun) -> str:
        if run.masks and run.state is None:
            return f"the store has no label maps of this name: dupl eval --masks DIR --name {run.masks} --data RECIPE"
        if run.state is None:
            return f"failed before training: {run.error}" if run.error else "not run"
        if run.state != "finished":
            where = f"iteration {run.iteration}" + ("" if run.iterations is None else f" of {run.iterations}")
            if run.state == "failed":
                return f"failed at {where}: {run.error or 'no error was noted'}"
            return f"{run.state} at {where}" if run.iteration else run.state
        if run.masks and self.column.report == "best":
            return "label maps of another program, of whose checkpoints nothing is known here"
        if run.masks:
            return f"its label maps are not scored as {self.column.metric} on {self.column.entry}: dupl eval --masks"
        column, others = self.column, self._others.get(run.fingerprint, self.others[:0])
        same = others[others["protocol"] == column.protocol]
        split = f" --split {column.split}" if column.split else ""
        evaluate = f"dupl eval {run.folder} --protocol {column.protocol}{split} --checkpoint {column.report}"
        if column.report == "best" and not run.has_best:
            return "it has no best checkpoint: training kept none, or it was removed"
        if run.fingerprint in self.elsewhere:
            return f"evaluated on other data ({self.elsewhere[run.fingerprint]}): {evaluate}"
        if others.empty:
            what = "its best checkpoint" if column.report == "best" else "it"
            return f"finished, but no evaluation of {what} was found: {evaluate}"
        if same.empty:
            return f"evaluated by {_listed(others['protocol'])}, not by {column.protocol}: {evaluate}"
        if self.split and self.split not in set(same["split"]):
            return f"evaluated on {_listed(same['split'])}, not on {self.split}: {evaluate}"
        if f"/{FAIR}/" in column.metric and "checkpoint" in same and (same["checkpoint"] == "best").all():
            return f"evaluated with the best checkpoint alone, which was selected: {evaluate}"
        moved = column.report == "last" and run.iteration not in set(same["iteration"])
        if column.metric in set(same["metric"]) and moved:
            weights = f"evaluated with weights of iteration {_listed(same['iteration'])}, not {run.iteration}"
            return f"{weights}: {evaluate}"
        return f"its evaluation has no {column.metric}"


def shown_split(column: Column, found: Series[str]) -> str:
    """Return the split that a column shows: its own; where it names none and val was not judged, the most frequent one.

    Args:
        column: Of the table.
        found: Splits of evaluations by the column's protocol.

    Returns:
        "" where there is none.
    """
    counts = (found[found.map(column.judges).astype(bool)] if column.split else found).value_counts()
    return "" if counts.empty else column.entry if column.entry in counts else str(counts.index[0])


def _elsewhere(column: Column, wanted: set[str], frame: DataFrame, used: DataFrame, split: str) -> dict[str, str]:
    """Return the data of evaluations by a column's protocol and split that are not those of its values, by run."""
    if "read" not in frame or used.empty:
        return {}
    alike = (frame["protocol"] == column.protocol) & (frame["split"] == split)
    mine = frame[frame["fingerprint"].isin(wanted - set(used["fingerprint"])) & alike]
    other = mine[~mine[column.report] & mine["read"].notna() & ~mine["read"].isin(set(used["read"]))]
    return {str(name): _listed(part) for name, part in other.groupby("fingerprint")["read"]}


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(sorted(set(map(str, names))))


def commit_names(frame: DataFrame) -> list[str | None]:
    """Return the commits of each row of a frame, with a + where the code had changes; None where none is known."""
    if "commits" in frame:  # of all stretches of a run
        return [words if isinstance(words, str) and words else None for words in frame["commits"]]
    known, dirty = frame["commit"].notna(), frame["dirty"].fillna(False).astype(bool)
    columns = zip(frame["commit"], known, dirty, strict=True)
    return [f"{commit[:12]}{'+' * changed}" if there else None for commit, there, changed in columns]


def commits(frame: DataFrame) -> tuple[str, ...]:
    """Return the commits behind the rows of a frame, each once, with a + where the code had changes beside."""
    return tuple(dict.fromkeys(word for words in commit_names(frame) for word in (words or "").split()))


def provenance(
    plan: str,
    runs: Sequence[RowRun],
    used: Sequence[DataFrame],
    mixed: Callable[[DataFrame], Sequence[str]],
    command: str,
    spread: str = "",
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return where a table comes from: notes on what is mixed in it, and facts by name.

    Args:
        plan: Name of the plan.
        runs: The runs that it asks for.
        used: For each column the metrics that it shows.
        mixed: What keeps a part of them from being compared, in lines.
        command: That makes the table.
        spread: By how much seeds differ, for a line that says that runs are of different machines.
    """
    import pandas as pd

    shown = pd.concat(list(used))
    lines = [] if shown.empty else mixed(shown)
    notes = [f"mixed: {line}{f'; {spread}' if spread and BITS in line else ''}" for line in lines]
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
        **_machines(single),
        "command": command,
    }
    return tuple(notes), facts


def _machines(runs: DataFrame) -> dict[str, str]:
    """Return the machines behind a table: kinds of processors, with vector instructions and threads of a CPU."""
    found = dict[str, int]()
    for row in runs.to_dict("records") if "processor" in runs else ():
        if isinstance(row["processor"], str):
            more = [row["vector"]] if isinstance(row["vector"], str) else []
            more += [f"threads {row['threads']}"] if isinstance(row["threads"], str) else []
            more += [f"processes {row['processes']}"] if row["processes"] not in (None, "1") else []
            text = ", ".join([row["processor"], *more])
            found[text] = found.get(text, 0) + 1
    return {"machines": "; ".join(f"{text} ({counted(n, 'run')})" for text, n in found.items())} if found else {}
