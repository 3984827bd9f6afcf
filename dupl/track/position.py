"""How far a run is on wandb or trackio: the step of its last row, and the last training iteration that was sent.

wandb numbers rows by itself from 0 in every stretch that is recorded offline, so that a resumed run would have each
number twice. The number is kept beside the records instead and goes on in the next stretch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dupl.atomic import atomic_write

FILE = "position.json"  # in the tracker's folder of a run


@dataclass(frozen=True)
class Position:
    """How far a run is on a tracker.

    Attributes:
        step: Number of the last row; -1 before the first.
        iteration: The last training iteration that was sent; 0 before the first.
    """

    step: int = -1
    iteration: int = 0


def read_position(folder: Path, reached: int = 0, tracker: str = "wandb") -> Position:
    """Return how far a run is on a tracker.

    Args:
        folder: Of the run.
        reached: Iteration that the run has reached: earlier versions, which kept no position, sent fewer rows.
        tracker: "wandb" or "trackio".
    """
    try:
        known = json.loads((folder / tracker / FILE).read_text(encoding="utf-8"))
        found = Position(known["step"], known["iteration"])
        if type(found.step) is int and type(found.iteration) is int and found.step >= -1 and found.iteration >= 0:
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    earlier = any((folder / tracker).glob("*run-*"))
    return Position(reached if earlier else -1)


def write_position(folder: Path, position: Position, tracker: str = "wandb") -> None:
    """Write how far a run is on a tracker."""
    atomic_write(folder / tracker / FILE, json.dumps(asdict(position)))
