"""The class names that a model was trained with: as its checkpoint or its run has them, without reading its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dupl.config.fingerprint import hash_of
from dupl.data.base import ImageSet
from dupl.data.class_order import check_same_classes, in_class_order
from dupl.engine.checkpoints import meta_of
from dupl.errors import UserError
from dupl.registry import stated_classes
from dupl.runs import layout
from dupl.runs.run import Run


def recorded_classes(checkpoint: Path, run: Path) -> tuple[str, ...] | None:
    """Return the class names of a checkpoint or of its run, background first; None where neither has them.

    Args:
        checkpoint: The file of weights.
        run: The folder of the run, if it is one's.
    """
    names = meta_of(checkpoint).get("classes") or _recorded(run).get("classes")
    return tuple(names) if isinstance(names, list) and names else None


def check_old_record(run: Path, classes: Sequence[str], what: str) -> None:
    """Check class names against a run of version 0.1, which recorded only a digest of them.

    Raises:
        UserError: They are others, or in another order.
    """
    digest = _recorded(run).get("classes")
    if isinstance(digest, str) and digest != hash_of(classes):
        raise UserError(
            f"the classes of {what} ({', '.join(classes[1:])}) are not those that {run} was trained on, or in another "
            f"order; {layout.DATA} of this old run has no names: give them by classes=[...] in their order then"
        )


def match_classes(source: ImageSet, trained: Sequence[str] | None, run: Path, what: str) -> tuple[ImageSet, str]:
    """Return a data set with its classes in the order of a model, and a line where that order is another.

    Args:
        source: The data set.
        trained: What `recorded_classes` returned.
        run: The folder of the run.
        what: The data set in messages, such as "data.val".

    Raises:
        UserError: The classes are others.
    """
    if trained is not None:
        return in_class_order(source, trained, what)
    check_old_record(run, source.classes, what)
    return source, ""


def check_stated(data: Any, trained: Sequence[str]) -> None:
    """Check the class names that a recipe states for its training set, without reading it.

    Raises:
        UserError: They are not those of the model.
    """
    if (stated := stated_classes(data)) is not None:
        check_same_classes(stated, trained, "data.train")


def _recorded(run: Path) -> dict[str, Any]:
    """Return the record of a run's training data; empty where there is none."""
    try:
        found = Run(run).read_json(layout.DATA)["train"]
    except (UserError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
