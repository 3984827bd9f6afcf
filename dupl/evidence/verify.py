"""Verify an archive: every cell, interval and star again, from the counts that it holds."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dupl.errors import UserError
from dupl.evidence import cells_file, container
from dupl.evidence.consistency import inconsistencies
from dupl.evidence.planned import PLAN
from dupl.evidence.recompute import RUNS, Recomputed, recompute
from dupl.runs.label_maps import is_entry
from dupl.terminal import counted

MEANING = (
    "This proves that numbers, counts and configs belong together, not that a training took place: "
    "dupl reproduce RUN trains a run again."
)
CORRUPT = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, OSError, MemoryError),
    csv.Error,
)


@dataclass(frozen=True)
class Verdict:
    """What became of one cell, or of one effect of a factorial.

    Attributes:
        row, column: Labels.
        keys: Keys of row and column.
        value: The number with its spread, change and interval, as it is printed; "" where the cell is empty.
        why: Why it is not proven; empty where it is.
        limits: What limits a number that is proven.
        empty: Whether the table has no number there, so that there is nothing to prove.
    """

    row: str
    column: str
    keys: tuple[str, str]
    value: str
    why: tuple[str, ...] = ()
    limits: str = ""
    empty: bool = False

    @property
    def proven(self) -> bool:
        """Whether the counts, configs and digests bear the number out."""
        return not self.why and not self.empty


@dataclass(frozen=True)
class Verification:
    """What became of an archive.

    Attributes:
        name: Of its table.
        digest: SHA-256 of the file.
        faults: Lines on the archive as a whole.
        verdicts: One for each cell.
        runs: Number of runs.
        images: The numbers of images that cells count, each once.
    """

    name: str
    digest: str
    faults: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    runs: int
    images: tuple[int, ...]

    @property
    def proven(self) -> bool:
        """Whether every number of the table is proven, and the archive is as it was written."""
        return not self.faults and not any(verdict.why for verdict in self.verdicts) and bool(self.verdicts)

    def lines(self) -> list[str]:
        """Return the verification as text, the sum of it last."""
        found = [f"fault        {fault}" for fault in self.faults]
        for one in self.verdicts:
            word = "empty" if one.empty else "proven" if one.proven else "NOT PROVEN"
            about = "; ".join(one.why) if one.why else one.limits
            found.append("  ".join(filter(None, [f"{word:11}", f"{one.row} / {one.column}", one.value, about])))
        numbers = [one for one in self.verdicts if not one.empty]
        sum_of = f"{sum(one.proven for one in numbers)} of {counted(len(numbers), 'cell')} proven"
        empty = len(self.verdicts) - len(numbers)
        sum_of += f", {empty} without a number" if empty else ""
        images = " and ".join(map(str, self.images)) or "no"
        about = f"{counted(self.runs, 'run')}, {images} images each"
        return [*found, f"{self.name}: {sum_of}; {about}; sha256 {self.digest}", MEANING]


def verify(path: str | Path) -> Verification:
    """Verify an archive without its store.

    Args:
        path: A file of `dupl.evidence.export.export`.

    Raises:
        UserError: The file is missing, or no archive that can be unpacked and read.
    """
    path = Path(path)
    held = container.read(path)
    try:
        with tempfile.TemporaryDirectory() as place:
            unpack(held.members, Path(place))
            found = recompute(Path(place))
            told = cells_file.parse(_text(held.members, cells_file.CELLS))
            again = cells_file.parse(cells_file.text_of(found))
            verdicts, faults = judge(found, told, again, held.altered)
            faults += inconsistencies(found, held.members)
            name, runs = found.archived.plan.name, len({run.fingerprint for run in found.archived.runs})
            images = tuple(sorted(set(found.images.values())))
    except UserError as error:
        why = f" ({'; '.join(held.faults)})" if held.faults else ""
        raise UserError(f"{path}: {error}{why}") from None
    except CORRUPT as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise UserError(f"{path}: what it holds cannot be read: {'; '.join([line, *held.faults])}") from None
    return Verification(name, held.digest, (*held.faults, *faults), tuple(verdicts), runs, images)


def unpack(members: Mapping[str, bytes], folder: Path) -> None:
    """Write members, whose names were checked, into a folder."""
    for name, data in members.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def judge(
    found: Recomputed,
    told: Sequence[cells_file.Line],
    again: Sequence[cells_file.Line],
    altered: Mapping[str, str],
) -> tuple[list[Verdict], list[str]]:
    """Compare the cells of an archive with the same computed again.

    Args:
        found: The archive's table, computed again.
        told: Lines of its file of cells.
        again: The same lines of the table computed again.
        altered: Members that differ from the manifest.

    Returns:
        A verdict for each cell, and lines on cells that only one side has.
    """
    stated, verdicts = cells_file.by_cell(told), list[Verdict]()
    for line in again:
        keys = line["row"], line["column"]
        other = stated.pop(keys, None)
        empty = not line["values"] and not line["change_value"]
        why = _why(found, line, altered)
        for run in other["fingerprints"].split() if other is not None else ():
            if run not in found.stored and not found.of_run(run, ""):
                why.append(f"evidence missing: the archive has no run {run}")
        if other is None:
            why.append(f"evidence missing: {cells_file.CELLS} has no such cell")
        else:
            why += cells_file.differences(other, line)
            empty = empty and not other["values"] and not other["change_value"]
        column = next(one.heading for one in found.archived.plan.columns if one.key == line["column"])
        shown = cells_file.shown(other if other is not None else line)
        verdicts.append(Verdict(line["label"], column, keys, shown, tuple(why), line["limits"], empty and not why))
    return verdicts, [f"{cells_file.CELLS} has a cell of no row: {row}, {column}" for row, column in stated]


def _why(found: Recomputed, line: cells_file.Line, altered: Mapping[str, str]) -> list[str]:
    """Return why a cell is not proven, by its runs and those of the row that it is compared with."""
    column, rows = line["column"], {line["row"], line["against"]}
    if line["row"].startswith("effect of "):
        rows = {row.key for row in found.archived.plan.rows}
    runs = dict.fromkeys(run.fingerprint for run in found.archived.runs if run.row in rows)
    why = [f"{name} {reason}" for name, reason in altered.items() if name in (PLAN, cells_file.CELLS)]
    for run in runs:
        why += found.of_run(run, column)
        why += [f"{name} {what}" for name, what in altered.items() if name.startswith(f"{RUNS}/{run}/")]
    return list(dict.fromkeys([*why, *_unlike(found, column, set(runs))]))


def _unlike(found: Recomputed, column: str, runs: set[str]) -> list[str]:
    """Return where an evaluation of these runs is by another protocol, or of other data, than most of its column."""
    used, lines = found.used[column], list[str]()
    given = {run for run, values in found.configs.items() if is_entry(values)}  # by no protocol, as their title says
    for name, what in (("title", "protocol"), ("read", "data")):
        known = used[used[name].notna()]
        known = known[~known["fingerprint"].isin(given)] if name == "title" else known
        for usual in known[name].mode()[:1]:
            other = known[(known[name] != usual) & known["fingerprint"].isin(runs)]
            for run, value in zip(other["fingerprint"], other[name], strict=True):
                lines.append(f"{what} unlike its column: run {run} has {value}, most have {usual}")
    return lines


def _text(members: Mapping[str, bytes], name: str) -> str:
    """Return a member as text.

    Raises:
        UserError: It is missing.
    """
    if name not in members:
        raise UserError(f"the archive has no {name}")
    return members[name].decode()
