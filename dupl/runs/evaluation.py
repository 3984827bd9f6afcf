"""The evaluations of a run: which there are, of what, and which of them speak for the run."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dupl.config.fingerprint import digest_of, places
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.best_weights import BestWeights, recorded_best
from dupl.runs.evaluation_files import read_metrics
from dupl.runs.judged import Judged

COMMANDED = re.compile(r"(?P<split>.+?)_(?P<name>(?:train|final|cam)-[^_]+)_(?P<checkpoint>.+)")  # by `dupl eval`
AGAIN = re.compile(r"-\d+$")  # of a further evaluation with other weights or settings
AS_IN_TRAINING = "squashed, no CRF"  # title of the protocol during training
OLD_TITLES = {"single scale, squashed": AS_IN_TRAINING}  # of earlier versions
SELECTED = "best, selected on val"  # what titles call the best weights, so that nobody takes them for the last
BEST_CHECKPOINT = "best checkpoint, selected on val"  # the same in columns
Skipped = list[tuple[Path, str]]  # what could not be used, and why


@dataclass(frozen=True)
class StoredEvaluation:
    """One evaluation of a run.

    Attributes:
        folder: Of its files.
        protocol: "train", "cam", "final" (with the CRF), "final-present" (whose CRF knows the image's tags) or
            "final-no-crf".
        name: The protocol with its settings, as `dupl eval` names folders; the protocol itself where training made it,
            or `dupl eval` with the settings of training.
        title: The same for people.
        split: Of the data.
        checkpoint: Which weights; "" where training made it, of the weights of that iteration.
        iteration: Of those weights, where it is known.
        seconds: That it took, where it is known.
        metrics: By name, NaN where there was nothing to measure.
        judged: Images and classes with truth, of all; None where an earlier version made it.
        read: Digest of what it read of the data, photos and masks; None where that was not recorded.
        made: When, in seconds since the epoch.
        last: Whether it speaks for the run: of its protocol and split the one on the data that were evaluated last; of
            these the one of the latest iteration that training made; else of all students before some, the latest, of
            other weights before the selected best, the newest.
        best: Whether it speaks for the best weights of the run, likewise: the one that training made at the iteration
            whose weights it kept as the best, else the one of these weights by `dupl eval --checkpoint best`.
        rank: What decides that among evaluations on the same data.
    """

    folder: Path
    protocol: str
    name: str
    title: str
    split: str
    checkpoint: str
    iteration: int | None
    seconds: float | None
    metrics: dict[str, float]
    judged: Judged | None = None
    read: str | None = None
    made: float = math.inf
    last: bool = False
    best: bool = False
    rank: tuple[float, ...] = ()

    @property
    def trained(self) -> bool:
        """Whether training made it, not `dupl eval`."""
        return not self.checkpoint

    def speaks(self, report: str) -> bool:
        """Return whether it speaks for the "last" or the "best" weights of its run."""
        return self.best if report == "best" else self.last


def read_evaluations(run: str | Path) -> tuple[list[StoredEvaluation], Skipped]:
    """Read the evaluations of a run.

    A corrupt one is left out, and nothing takes its place: where it was the last, the run has no last.

    Args:
        run: The folder of the run.

    Returns:
        The evaluations, and the folders that are corrupt with the reason.
    """
    try:
        with os.scandir(os.path.join(run, layout.EVALUATIONS)) as entries:
            folders = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        return [], [(Path(run) / layout.EVALUATIONS, str(error))]
    found: list[StoredEvaluation] = []
    skipped: Skipped = []
    for folder in folders:
        try:
            found.append(_read(folder))
        except (UserError, OSError, ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
            if (folder / layout.METRICS).exists():
                skipped.append((folder, f"{layout.METRICS} is corrupt: {type(error).__name__}: {error}"))
            elif (folder / layout.PER_CLASS).exists():  # the metrics are written before it
                skipped.append((folder, f"{layout.METRICS} is missing"))
    own = next((one.split for one in found if one.trained), "val")
    return choose_speaking(found, [_guess(folder, own) for folder, _ in skipped], recorded_best(Path(run))), skipped


def choose_speaking(
    found: list[StoredEvaluation], corrupt: list[StoredEvaluation], kept: BestWeights | None
) -> list[StoredEvaluation]:
    """Mark the evaluations that speak for the last and for the best weights of their run.

    Args:
        found: All that can be read.
        corrupt: Guesses of the others, of which one may take that place.
        kept: The best weights; None where they are not recorded, and only `dupl eval --checkpoint best` knows them.
    """
    newest: dict[tuple[str, str, str | None], float] = {}
    for one in found:
        key = one.protocol, one.split, one.read
        newest[key] = max(one.made, newest.get(key, 0.0))

    def order(one: StoredEvaluation) -> tuple[float, tuple[float, ...]]:
        of_corrupt = max((t for (p, s, _), t in newest.items() if (p, s) == (one.protocol, one.split)), default=0.0)
        return newest.get((one.protocol, one.split, one.read), of_corrupt), one.rank

    everything = sorted([*found, *corrupt], key=order)
    last = {(one.protocol, one.split): one.folder for one in everything}
    best = {(one.protocol, one.split): one.folder for one in everything if is_of_best(one, kept)}
    return [
        replace(one, last=last[place] == one.folder, best=best.get(place) == one.folder)
        for one in found
        for place in [(one.protocol, one.split)]
    ]


def is_of_best(one: StoredEvaluation, kept: BestWeights | None) -> bool:
    """Return whether an evaluation, or the guess of a corrupt one, is of the best weights.

    One that training made again after an interruption, with another value than the kept weights had, is not.
    """
    if one.rank[:1] == (True,):  # of training
        if kept is None or one.rank[1] != kept.iteration:
            return False
        return not one.metrics or one.metrics.get(kept.metric) == kept.value  # a guess has no metrics
    if AGAIN.sub("", one.checkpoint) != "best":
        return False
    return kept is None or one.iteration in (None, kept.iteration)


def _read_of(facts: Mapping[str, Any]) -> str | None:
    """Return the digest of what an evaluation read; an earlier version's is known where the settings say it all."""
    data = facts.get("data")
    if "read" not in facts and isinstance(data, Mapping) and "type" in data and not places(data):
        return digest_of(dict(data))
    return None if facts.get("read") is None else str(facts["read"])


def _made(facts: Mapping[str, Any], written: float) -> float:
    """Return when an evaluation was made, by its files where it does not say."""
    try:
        return datetime.fromisoformat(str(facts["made"])).timestamp()
    except (KeyError, ValueError):
        return written


def trained_evaluations(run: str | Path) -> list[StoredEvaluation]:
    """Return the evaluations that training made, in the order of iterations."""
    return sorted((one for one in read_evaluations(run)[0] if one.trained), key=lambda one: one.iteration or 0)


def _read(folder: Path) -> StoredEvaluation:
    written = (folder / layout.METRICS).stat().st_mtime
    facts, metrics = read_metrics(folder)
    seconds = None if facts.get("seconds") is None else float(facts["seconds"])
    judged = Judged.read(facts)
    title = str(facts.get("protocol", ""))
    title = OLD_TITLES.get(title, title)
    data = _read_of(facts), _made(facts, written)
    if "name" not in facts:
        iteration = _count(facts["iter"])
        split = _split(facts.get("data"))
        rank: tuple[float, ...] = (True, iteration)
        of_training = (folder, "train", "train", title, split, "", iteration, seconds, metrics, judged, *data)
        return StoredEvaluation(*of_training, rank=rank)
    name, checkpoint = str(facts["name"]), Path(str(facts["checkpoint"])).stem
    reached = facts.get("iter", layout.iteration_of(checkpoint))
    reached = None if reached is None else _count(reached)
    protocol = _protocol(name, "crf" in facts, bool(facts.get("present_only")))
    if facts.get("as_in_training") is True:
        name, title = protocol, AS_IN_TRAINING
    alone = folder.name.endswith(f"_{checkpoint}")  # else -2: of other weights or settings than the run's own
    rank = (False, alone, facts.get("students") == "all", reached or 0, checkpoint != "best", written)
    split = str(facts["split"])
    return StoredEvaluation(
        folder, protocol, name, title, split, checkpoint, reached, seconds, metrics, judged, *data, rank=rank
    )


def _count(value: Any) -> int:
    count = int(value)
    if not 0 <= count < 2**63:
        raise ValueError(f"its iteration is {str(count)[:20]}")
    return count


def _guess(folder: Path, split: str) -> StoredEvaluation:
    """Describe a corrupt evaluation by the name of its folder, as far as its rank needs it.

    Args:
        folder: Of the evaluation.
        split: That the run is evaluated on during training.
    """
    if (iteration := layout.iteration_of(folder.name)) is not None:
        return StoredEvaluation(folder, "train", "", "", split, "", None, None, {}, rank=(True, iteration))
    match = COMMANDED.fullmatch(folder.name)
    split, name, checkpoint = match.groups() if match else ("", "", "")
    alone = not AGAIN.search(checkpoint)
    iteration = layout.iteration_of(AGAIN.sub("", checkpoint))
    reached = math.inf if iteration is None else iteration
    rank = (False, alone, "-student-" not in name, reached, checkpoint != "best", math.inf)
    protocol = _protocol(name, "-crf-" in name, "-present" in name)
    return StoredEvaluation(folder, protocol, name, "", split, checkpoint, None, None, {}, rank=rank)


def _protocol(name: str, refined: bool, present: bool) -> str:
    word = name.partition("-")[0]
    if word != "final":
        return word
    return "final-no-crf" if not refined else "final-present" if present else "final"


def _split(data: Any) -> str:
    """Return the split of an evaluation during training, which is of the recipe's `data.val`, as `dupl eval` does."""
    split = data.get("split", "val") if isinstance(data, Mapping) else "val"
    return "val" if split == "val" else f"val-{split}"
