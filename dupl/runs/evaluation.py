"""The evaluations of a run, as its folder holds them."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

TRAINING = re.compile(r"iter_(\d+)")  # folder of an evaluation that training made
ASSESSED = re.compile(r"(?P<split>.+?)_(?P<name>(?:train|final|cam)-[^_]+)_(?P<checkpoint>.+)")  # that `dupl eval` made
AGAIN = re.compile(r"-\d+$")  # of a further evaluation with other weights or settings
FORMERLY = {"single scale, squashed": "squashed, no CRF"}  # titles of earlier versions
Damage = list[tuple[Path, str]]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a run.

    Attributes:
        folder: Of its files.
        protocol: "train", "cam", "final" (with the CRF), "final-present" (whose CRF knows the image's tags) or
            "final-no-crf".
        name: The protocol with its settings, as `dupl eval` names folders; the protocol itself where training made it.
        title: The same for people.
        split: Of the data.
        checkpoint: Which weights; "" where training made it, of the weights of that iteration.
        iteration: Of those weights, where it is known.
        seconds: That it took, where it is known.
        metrics: By name, NaN where there was nothing to measure.
        last: Whether it speaks for the run: of its protocol and split the one of the latest iteration that training
            made; else of all students before some, the latest, of the best weights before others, the newest.
        rank: What decides that.
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
    last: bool = False
    rank: tuple[float, ...] = ()


def read_evaluations(run: str | Path) -> tuple[list[Evaluation], Damage]:
    """Reads the evaluations of a run, and which folders of them are damaged.

    A damaged one is left out, and nothing takes its place: where it was the last, the run has no last.
    """
    try:
        with os.scandir(os.path.join(run, "evaluation")) as entries:
            folders = sorted(entry.path for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        return [], [(Path(run) / "evaluation", str(error))]
    found: list[Evaluation] = []
    damage: Damage = []
    for folder in folders:
        try:
            found.append(_read(folder))
        except FileNotFoundError:
            if os.path.exists(f"{folder}/per_class.csv"):  # metrics.json is written before it
                damage.append((Path(folder), "metrics.json is missing"))
        except (OSError, ArithmeticError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            damage.append((Path(folder), f"metrics.json is damaged: {type(error).__name__}: {error}"))
    own = next((one.split for one in found if not one.checkpoint), "val")
    every = found + [_guess(folder, own) for folder, _ in damage]
    last = {(one.protocol, one.split): one for one in sorted(every, key=lambda one: one.rank)}
    chosen = {one.folder for one in last.values()}
    return [replace(one, last=one.folder in chosen) for one in found], damage


def _read(folder: str) -> Evaluation:
    with open(f"{folder}/metrics.json", "rb") as file:
        facts = json.loads(file.read())
        written = os.fstat(file.fileno()).st_mtime
    metrics = {str(key): math.nan if value is None else float(value) for key, value in facts["metrics"].items()}
    seconds = None if facts.get("seconds") is None else float(facts["seconds"])
    title = str(facts.get("protocol", ""))
    title = FORMERLY.get(title, title)
    if "name" not in facts:
        iteration = _count(facts["iter"])
        split = _split(facts.get("data"))
        rank: tuple[float, ...] = (True, iteration)
        return Evaluation(Path(folder), "train", "train", title, split, "", iteration, seconds, metrics, rank=rank)
    name, checkpoint = str(facts["name"]), Path(str(facts["checkpoint"])).stem
    match = TRAINING.fullmatch(checkpoint)
    reached = facts.get("iter", match and match[1])
    reached = None if reached is None else _count(reached)
    protocol = _protocol(name, "crf" in facts, bool(facts.get("present_only")))
    alone = Path(folder).name.endswith(f"_{checkpoint}")  # else -2: of other weights or settings than the run's own
    rank = (False, alone, facts.get("students") == "all", reached or 0, checkpoint == "best", written)
    split = str(facts["split"])
    return Evaluation(Path(folder), protocol, name, title, split, checkpoint, reached, seconds, metrics, rank=rank)


def _count(value: Any) -> int:
    count = int(value)
    if not 0 <= count < 2**63:
        raise ValueError(f"its iteration is {str(count)[:20]}")
    return count


def _guess(folder: Path, split: str) -> Evaluation:
    """A damaged evaluation, from its folder's name.

    Args:
        folder: Of the evaluation.
        split: That the run is evaluated on in training.
    """
    if match := TRAINING.fullmatch(folder.name):
        return Evaluation(folder, "train", "", "", split, "", None, None, {}, rank=(True, int(match[1])))
    match = ASSESSED.fullmatch(folder.name)
    split, name, checkpoint = match.groups() if match else ("", "", "")
    alone = not AGAIN.search(checkpoint)
    reached = int(match[1]) if (match := TRAINING.fullmatch(AGAIN.sub("", checkpoint))) else math.inf
    rank = (False, alone, "-student-" not in name, reached, checkpoint == "best", math.inf)
    protocol = _protocol(name, "-crf-" in name, "-present" in name)
    return Evaluation(folder, protocol, name, "", split, checkpoint, None, None, {}, rank=rank)


def _protocol(name: str, refined: bool, present: bool) -> str:
    word = name.partition("-")[0]
    if word != "final":
        return word
    return "final-no-crf" if not refined else "final-present" if present else "final"


def _split(data: Any) -> str:
    """Of an evaluation in training, which is of the recipe's `data.val`; named as `dupl eval` names it."""
    split = data.get("split", "val") if isinstance(data, dict) else "val"
    return "val" if split == "val" else f"val-{split}"
