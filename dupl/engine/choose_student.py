"""Choosing the student that predicts, if the user names none."""

from __future__ import annotations

from dataclasses import dataclass

from dupl.engine.restore import Restored
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.run import Run


@dataclass(frozen=True)
class ChosenStudent:
    """A student and the reason for its choice.

    Attributes:
        name: "1", "2", ..., or "mean" of the students' probabilities, scores and CAMs.
        reason: The reason, for messages.
    """

    name: str
    reason: str


def choose_student(restored: Restored, asked: str | None, students: int) -> ChosenStudent:
    """Choose the student that predicts.

    Without a name, it is the student with the higher mIoU on val at the iteration of these weights, or the mean of all
    where no mask of val was scored then. "best" demands such a score.

    Args:
        restored: The recipe and its weights.
        asked: "best", "mean", or the number of a student; None chooses.
        students: Number of students of the model.

    Raises:
        UserError: The model has no such student, or "best" is asked for and nothing was scored.
    """
    known = ["mean", "best", *(str(i + 1) for i in range(students))]
    if asked is not None and asked not in known:
        raise UserError(f"student {asked}: this model has {', '.join(known)}")
    if asked not in (None, "best"):
        return ChosenStudent(str(asked), "as asked")
    scores = student_scores(restored, students)
    if not scores:
        if asked == "best":
            raise UserError(
                f"student best: no mIoU on val is recorded for {restored.checkpoint}; choose {known[0]} or a student"
            )
        return ChosenStudent("mean", "the mean of all students, because no mask of val was scored with these weights")
    best = max(scores, key=lambda name: scores[name])
    others = ", ".join(f"{value:.1f} of student {name}" for name, value in scores.items() if name != best)
    found = f"the better one on val at iteration {restored.iteration}: mIoU {scores[best]:.1f}"
    return ChosenStudent(best, found + (f" against {others}" if others else ""))


def student_scores(restored: Restored, students: int) -> dict[str, float]:
    """Return the mIoU of each student on val at the iteration of the run's weights; empty if it is not recorded."""
    run = Run(restored.folder)
    own = restored.checkpoint.parent.resolve() == (run.path / layout.CHECKPOINTS).resolve()
    if not own or restored.iteration is None or not run.exists():
        return {}
    keys = {str(s): f"seg/{s}/mIoU" for s in range(1, students + 1)}
    for row in reversed(run.scalars()):
        if row.get("iter") == restored.iteration and all(_is_number(row.get(key)) for key in keys.values()):
            return {name: float(row[key]) for name, key in keys.items()}
    return {}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and value == value
