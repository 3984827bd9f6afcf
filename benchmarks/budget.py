"""Compare the time of a whole training of a recipe with that of the released maths at the same length and size.

    python benchmarks/budget.py animals/steady --released voc_animals --reference PATH --seconds 54

The time is counted: iterations of each phase times the median step of the phase, all steps measured in turn on the same
machine. Phases begin where a component of the recipe starts. --released names the recipe whose phases the released
step follows; --seconds adds what the recipe does before its first iteration, such as a warm start, as training prints
it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import Any

from step import PHASES
from workers import CASES, SCRIPT, Worker, machine

from dupl.config import catalogue

Phases = list[tuple[int, int]]  # first iteration and end


def phases(recipe: str) -> Phases:
    """Return the phases of a recipe: between the iterations at which its components start."""
    config = catalogue.load(recipe)
    length = int(config.schedule.iterations)
    parts = (part for part in config.model.to_dict().values() if isinstance(part, dict))
    starts = sorted({0, *(part["start"] for part in parts if 0 < part.get("start", 0) < length)})
    return list(zip(starts, [*starts[1:], length], strict=True))


def like(released: Phases, recipe: str) -> list[int]:
    """Return for each phase an iteration of the released script in which the same losses act."""
    model = catalogue.load(recipe).model
    names = dict(zip(("first", "second", "last"), (t for _, t, _ in PHASES), strict=True))
    late = max(model.noise_filter.get("start", 0), model.consistency.get("start", 0))
    return [
        names["last"] if begin >= late else names["second"] if begin >= model.segmentation.start else names["first"]
        for begin, _ in released
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="the recipe that is counted")
    parser.add_argument("--released", default="voc_animals", help="recipe of the released phases; default: voc_animals")
    parser.add_argument("--reference", metavar="PATH", required=True, help="a checkout of the released repository")
    parser.add_argument("--seconds", type=float, default=0.0, help="before the first iteration; default: 0")
    parser.add_argument("--case", choices=list(CASES), default="tiny")
    parser.add_argument("--size", type=int, default=160, help="of the crop; default: 160")
    parser.add_argument("--repeats", type=int, default=5, help="measured steps of each phase, in turn; default: 5")
    parser.add_argument("--images", metavar="DIR", help="photos in VOC layout with masks; default: toy scenes")
    parser.add_argument("--threads", type=int, default=1, help="of torch; default: 1")
    options = parser.parse_args(arguments)
    if not (Path(options.reference) / SCRIPT).is_file():
        parser.error(f"--reference {options.reference}: no {SCRIPT} there; give a checkout of the released repository")
    case = dataclasses.replace(CASES[options.case], size=options.size, targets={})
    shared: dict[str, Any] = dict(case=case, device="cpu", threads=options.threads)
    theirs, own = phases(options.released), phases(options.recipe)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        exporter, ours = (
            stack.enter_context(Worker("ours:Ours", **shared, images=options.images, recipe=name))
            for name in ("voc/dupl_released", options.recipe)
        )
        released = stack.enter_context(Worker("released:Released", root=options.reference, **shared))
        exporter("export", folder, released("layout"))
        released("load", folder)
        calls = [(released, t) for t in like(theirs, options.released)] + [(ours, (a + b) // 2) for a, b in own]
        seconds: list[list[float]] = [[] for _ in calls]
        for repeat in range(options.repeats + 1):
            for (worker, t), taken in zip(calls, seconds, strict=True):
                time, _ = worker("timed", "step", t=t)
                if repeat:  # the first round warms up
                    taken.append(time)
    steps = [statistics.median(taken) for taken in seconds]
    print(f"{machine()['cpu']}, {options.threads} thread, {case.title}; median of {options.repeats}, in turn\n")
    print("| training | iterations | step | seconds |\n|---|---|---|---|")
    totals = []
    for name, spans, medians, extra in (
        ("released maths", theirs, steps[: len(theirs)], 0.0),
        (options.recipe, own, steps[len(theirs) :], options.seconds),
    ):
        for (a, b), step in zip(spans, medians, strict=True):
            print(f"| {name} | {a} to {b} | {step:.3f} s | {(b - a) * step:.0f} |")
        if extra:
            print(f"| {name} | before the first | | {extra:.0f} |")
        totals.append(extra + sum((b - a) * step for (a, b), step in zip(spans, medians, strict=True)))
        print(f"| {name} | all | | {totals[-1]:.0f} |")
    print(f"\n{options.recipe} takes {totals[1] / totals[0]:.2f} of the time of the released maths")


if __name__ == "__main__":
    main()
