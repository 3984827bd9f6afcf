"""What the page of a run shows, read from the run's folder. Corrupt files are noted, not raised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dupl.atomic import read_regular
from dupl.errors import UserError
from dupl.runs import ids, layout
from dupl.runs.config import read_config_values
from dupl.runs.evaluation import SELECTED
from dupl.runs.evaluation_files import ClassRow, read_confusion, read_evaluation
from dupl.runs.gallery import NUMBER, read_sheet, wrong_value
from dupl.runs.judged import Judged
from dupl.runs.run import Run
from dupl.runs.status import Status

Found = TypeVar("Found")
FACTS: dict[str, Any] = dict(seconds=NUMBER, data=dict)  # what a page computes with; the rest is shown as it is


@dataclass(frozen=True)
class ShownEvaluation:
    """One evaluation.

    Attributes:
        title: Of which weights and by which protocol.
        iteration: Of the weights, where training made it; None of one by ``dupl eval``.
        facts: What stands beside the metrics: protocol, data, seconds, ...
        metrics: By name, NaN where there is none.
        rows: The figures per label map and class.
        confusion: Pixels by truth and prediction of each label map; empty where the file is missing.
    """

    title: str
    iteration: int | None
    facts: dict[str, Any]
    metrics: dict[str, float]
    rows: list[ClassRow]
    confusion: dict[str, list[list[int]]]


@dataclass(frozen=True)
class RunFiles:
    """What a page needs of a run.

    Attributes:
        path: The folder.
        status: The status.
        config: The resolved recipe as plain values, {} where it cannot be read.
        config_text: The same as it is written.
        diff: What was changed in the code and not committed.
        rows: The scalars.
        evaluations: In the order of iterations, then those of ``dupl eval`` by name.
        gallery: Descriptions in the order of iterations, each with the bytes of its contact sheet as ``sheet``.
        problems: One line for each file that could not be read.
    """

    path: Path
    status: Status
    config: dict[str, Any]
    config_text: str
    diff: str
    rows: list[dict[str, Any]]
    evaluations: list[ShownEvaluation]
    gallery: list[dict[str, Any]]
    problems: list[str] = field(default_factory=list)

    @property
    def trained(self) -> list[ShownEvaluation]:
        """The evaluations that training made."""
        return [one for one in self.evaluations if one.iteration is not None]

    @property
    def recipe(self) -> str:
        """What was trained, by the folder's name or else the command; a dash where neither tells."""
        command = self.status.command
        if (recipe := ids.recipe_of(self.path.name, self.status.fingerprint)) != self.path.name:
            return recipe
        if "train" in command[:-1]:
            return command[command.index("train") + 1]
        return "demo/toy" if "demo" in command else "–"


def read_run(folder: Path) -> RunFiles:
    """Read the folder of a run.

    Raises:
        UserError: It holds no run, or its status is corrupt.
    """
    run = Run(Path(folder).resolve())
    status = run.status
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
        ) as error:
            told = " ".join(str(error).split()).replace(f"{run.path}/", "")
            problems.append(f"{path.relative_to(run.path)} cannot be read: {told}")
            return otherwise

    metrics = run.path.glob(f"{layout.EVALUATIONS}/*/{layout.METRICS}")
    evaluations = [attempt(_evaluation, file.parent, None) for file in metrics]
    gallery = [attempt(read_sheet, file, None) for file in layout.gallery_descriptions(run.path)]
    found = [one for one in evaluations if one is not None]
    return RunFiles(
        path=run.path,
        status=status,
        config=attempt(_config, run.config_path, {}),
        config_text=attempt(_text, run.config_path, ""),
        diff=attempt(lambda file: Run(file.parent).changes(), run.path / layout.CHANGES, ""),
        rows=attempt(_rows, run.path / layout.SCALARS, []),
        evaluations=sorted(found, key=lambda e: (e.iteration is None, e.iteration or 0, e.title)),
        gallery=[one for one in gallery if one is not None],
        problems=problems,
    )


def _text(path: Path) -> str:
    return read_regular(path).decode()


def _config(path: Path) -> dict[str, Any]:
    return dict(read_config_values(path.parent)) if path.exists() else {}


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the scalars, which must be numbers at an iteration."""
    rows = Run(path.parent).scalars()
    for number, row in enumerate(rows, 1):
        if type(row.get("iter")) is not int or any(v is not None and type(v) not in NUMBER for v in row.values()):
            raise ValueError(f"line {number} holds more than numbers, or no iteration")
    return rows


def _evaluation(folder: Path) -> ShownEvaluation:
    found = read_evaluation(folder)
    if wrong := wrong_value(found.facts, FACTS, optional=True):
        raise ValueError(wrong)
    if any(row.label_map.count("/") != 1 for row in found.per_class):
        raise ValueError(f"{layout.PER_CLASS} has label maps of other names than KIND/STUDENT")
    trained = layout.iteration_of(folder.name) is not None
    iteration = int(found.facts["iter"]) if trained else None
    who = f"iteration {iteration:,}" if trained else _commanded(folder, found.facts)
    judged = Judged.read(found.facts)
    title = f"{who}: {found.facts.get('protocol')}" + (f"; {judged}" if judged else "")
    return ShownEvaluation(title, iteration, found.facts, found.metrics, found.per_class, _confusion(folder))


def _commanded(folder: Path, facts: Mapping[str, Any]) -> str:
    """Return what an evaluation by ``dupl eval`` is of, in words that no other of the run has."""
    checkpoint = Path(facts["checkpoint"]).stem
    of_run = Path(facts["checkpoint"]).parent.name == layout.CHECKPOINTS
    words = [str(facts.get("split")), SELECTED if of_run and checkpoint == "best" else checkpoint]
    if facts.get("iter") is not None and layout.iteration_of(checkpoint) is None:
        words.append(f"iteration {facts['iter']}")
    if isinstance(chosen := facts.get("students"), list):
        words.append(f"student {' and '.join(map(str, chosen))}")
    if again := re.search(rf"_{re.escape(checkpoint)}-(\d+)$", folder.name):  # of other weights or settings
        words.append(f"evaluation {again[1]}")
    return ", ".join(words)


def _confusion(folder: Path) -> dict[str, list[list[int]]]:
    if not (folder / layout.CONFUSION).exists():
        return {}
    return {label_map: matrix.tolist() for label_map, matrix in read_confusion(folder)[1].items()}
