"""A run's folder as a page reads it: plain files in, plain values out. What is damaged is noted, not raised."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dupl.config import catalogue
from dupl.errors import UserError
from dupl.report.tables.evaluation import read_evaluation

Row = tuple[Any, ...]
Found = TypeVar("Found")
NUMBER = (int, float)
MOST = 2**53  # beyond, and for NaN, a number is nothing that a page computes with
STATUS: dict[str, Any] = dict(  # what a page computes with; the rest is shown as it is
    iteration=int, iterations=int, seconds=NUMBER, command=list, versions=dict, dirty=bool, error=str
)
SHEET: dict[str, Any] = dict(iter=int, cell=int, columns=list, images=list, legend=list)
COLUMN: dict[str, Any] = dict(kind=str, student=int)
FACTS: dict[str, Any] = dict(seconds=NUMBER, data=dict)
IMAGE: dict[str, Any] = dict(name=str, tags=list, size=list, filled=list)
LOSSES: dict[str, Any] = dict(low=NUMBER, high=NUMBER, gamma=NUMBER, eta=NUMBER, filtered=NUMBER, fitted=bool)
SERIES = dict(counts=0, weight=2, mean=2, variance=2)  # further numbers of LOSSES, and how many; 0: any


@dataclass(frozen=True)
class Evaluated:
    """One evaluation.

    Attributes:
        title: Of which weights and by which protocol.
        iteration: Of the weights, where training made it; None of one by ``dupl eval``.
        facts: metrics.json without its metrics: protocol, data, seconds, ...
        metrics: By name, NaN where there is none.
        rows: Of per_class.csv: map, class, IoU, precision, recall, OA, pixels.
        confusion: Pixels by truth and prediction of each map; empty where the file is missing.
    """

    title: str
    iteration: int | None
    facts: dict[str, Any]
    metrics: dict[str, float]
    rows: list[Row]
    confusion: dict[str, list[list[int]]]


@dataclass(frozen=True)
class RunFiles:
    """What a page needs of a run.

    Attributes:
        path: The folder.
        status: Of status.json.
        config: The resolved recipe as plain values, {} where it cannot be read.
        config_text: The same as it is written.
        diff: What was changed in the code and not committed.
        rows: Of scalars.jsonl.
        evaluations: In the order of iterations, then those of ``dupl eval`` by name.
        gallery: Descriptions in the order of iterations, each with the bytes of its contact sheet as ``sheet``.
        problems: One line for each file that could not be read.
    """

    path: Path
    status: dict[str, Any]
    config: dict[str, Any]
    config_text: str
    diff: str
    rows: list[dict[str, Any]]
    evaluations: list[Evaluated]
    gallery: list[dict[str, Any]]
    problems: list[str] = field(default_factory=list)

    @property
    def trained(self) -> list[Evaluated]:
        """The evaluations that training made."""
        return [one for one in self.evaluations if one.iteration is not None]

    @property
    def recipe(self) -> str:
        """What was trained, by the folder's name or else the command; a dash where neither tells."""
        fingerprint, command = str(self.status.get("fingerprint")), list(self.status.get("command") or [])
        if self.path.name.endswith(f"-{fingerprint}"):
            return self.path.name.removesuffix(f"-{fingerprint}")
        if "train" in command[:-1]:
            return str(command[command.index("train") + 1])
        return "demo/toy" if "demo" in command else "–"


def read_run(folder: Path) -> RunFiles:
    """Read the folder of a run.

    Raises:
        UserError: It holds no run.
    """
    folder = Path(folder).resolve()
    try:
        status = dict(json.loads((folder / "status.json").read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{folder} holds no status.json: is it the folder of a run?") from None
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{folder / 'status.json'} is damaged: {error}") from None
    if bad := _other(status, STATUS, optional=True):
        raise UserError(f"{folder / 'status.json'} is damaged: {bad}")
    problems: list[str] = []

    def attempt(read: Callable[[Path], Found], path: Path, otherwise: Found) -> Found:
        try:
            return read(path)
        except FileNotFoundError:
            return otherwise
        except (
            UserError,
            OSError,
            LookupError,
            ArithmeticError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
            csv.Error,
        ) as error:
            problems.append(f"{path.relative_to(folder)} cannot be read: {' '.join(str(error).split())}")
            return otherwise

    evaluations = [attempt(_evaluation, p.parent, None) for p in folder.glob("evaluation/*/metrics.json")]
    gallery = [attempt(_sheet, p, None) for p in sorted(folder.glob("gallery/iter_*.json"))]
    found = [one for one in evaluations if one is not None]
    return RunFiles(
        path=folder,
        status=status,
        config=attempt(_config, folder / "config.py", {}),
        config_text=attempt(Path.read_text, folder / "config.py", ""),
        diff=attempt(Path.read_text, folder / "git.diff", ""),
        rows=attempt(_rows, folder / "scalars.jsonl", []),
        evaluations=sorted(found, key=lambda e: (e.iteration is None, e.iteration or 0, e.title)),
        gallery=[one for one in gallery if one is not None],
        problems=problems,
    )


def _config(path: Path) -> dict[str, Any]:
    return dict(catalogue.plain(catalogue.read(path))) if path.exists() else {}


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of scalars.jsonl; a last line without its end is not one yet."""
    *lines, _ = path.read_text().split("\n")
    rows = [dict(json.loads(line)) for line in lines]
    for number, row in enumerate(rows, 1):
        if type(row.get("iter")) is not int or any(v is not None and type(v) not in NUMBER for v in row.values()):
            raise ValueError(f"line {number} holds more than numbers, or no iteration")
    return rows


def _evaluation(folder: Path) -> Evaluated:
    metrics, rows = read_evaluation(folder)
    facts = json.loads((folder / "metrics.json").read_bytes())
    del facts["metrics"]
    if bad := _other(facts, FACTS, optional=True):
        raise ValueError(bad)
    if any(len(row) != 7 or row[0].count("/") != 1 for row in rows):
        raise ValueError("per_class.csv has other columns, or maps called otherwise")
    trained = folder.name.startswith("iter_")
    iteration = int(facts["iter"]) if trained else None
    who = f"iteration {iteration:,}" if trained else _assessed(folder, facts)
    return Evaluated(f"{who}: {facts.get('protocol')}", iteration, facts, metrics, rows, _confusion(folder))


def _assessed(folder: Path, facts: Mapping[str, Any]) -> str:
    """What an evaluation by ``dupl eval`` is of, in words that no other of the run has."""
    checkpoint = Path(facts["checkpoint"]).stem
    words = [str(facts.get("split")), checkpoint]
    if facts.get("iter") is not None and not checkpoint.startswith("iter_"):
        words.append(f"iteration {facts['iter']}")
    if isinstance(chosen := facts.get("students"), list):
        words.append(f"student {' and '.join(map(str, chosen))}")
    if again := re.search(rf"_{re.escape(checkpoint)}-(\d+)$", folder.name):  # of other weights or settings
        words.append(f"evaluation {again[1]}")
    return ", ".join(words)


def _confusion(folder: Path) -> dict[str, list[list[int]]]:
    found: dict[str, list[list[int]]] = {}
    if (path := folder / "confusion.csv").exists():
        with open(path, newline="") as file:
            for name, _, *cells in list(csv.reader(file))[1:]:
                found.setdefault(name, []).append([int(cell) for cell in cells])
    return found


def _sheet(path: Path) -> dict[str, Any]:
    described = dict(json.loads(path.read_bytes()))
    parts = [(described, SHEET)]
    for name, shape in (("images", IMAGE), ("columns", COLUMN)):
        parts += [(one, shape) for one in described.get(name) or ()]
    losses = [entry for one in described.get("images") or () for entry in one.get("losses") or ()]
    for value, shape in parts + [(entry, LOSSES) for entry in losses]:
        if bad := _other(value, shape):
            raise ValueError(bad)
    for name, count in SERIES.items():
        for series in (entry.get(name) for entry in losses):
            if not isinstance(series, list) or len(series) != (count or len(series)) or not all(map(_sound, series)):
                raise ValueError(f"{name} of losses is {str(series)[:60]}")
    for entry in losses:
        if entry["low"] > entry["high"] or (entry["fitted"] and min(entry["variance"]) <= 0):
            raise ValueError("losses that end before they begin, or a mixture without variance")
    if bad := _other(described, {"seconds": NUMBER}, optional=True):
        raise ValueError(bad)
    json.dumps(described, allow_nan=False)  # as the page has it
    return {**described, "sheet": path.with_suffix(".webp").read_bytes()}


def _sound(value: Any) -> bool:
    return isinstance(value, NUMBER) and abs(value) < MOST


def _other(value: Any, shape: dict[str, Any], optional: bool = False) -> str:
    """What is not as it should be in a JSON object; "" where nothing is."""
    if not isinstance(value, dict):
        return f"{str(value)[:60]!r} is no object"
    for name, kind in shape.items():
        found = value.get(name)
        huge = isinstance(found, NUMBER) and not abs(found) < MOST
        if huge or not (isinstance(found, kind) or (optional and found is None)):
            return f"{name} is {'no such number' if huge else repr(found)[:60]}"
    return ""
