"""What our training step costs against crop, batch, classes, classes of an image, and students: time and peak memory.

    python benchmarks/scaling.py --markdown scaling.md

One thing at a time is moved away from the case; every point is a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

from step import spread
from workers import CASES, GIB, Case, Worker, machine

FACTORS = {
    "size": "crop, pixels",
    "batch": "batch",
    "classes": "classes, background included",
    "present": "classes of each image",
    "students": "students",
}


def values(case: Case, factor: str) -> list[int]:
    """Where a factor is measured."""
    return {
        "size": [case.size // 2, case.size, case.size * 3 // 2, case.size * 2],
        "batch": [1, 2, 4, 8],
        "classes": [21, 81],
        "present": [1, 2, 4, 8],
        "students": [1, 2],
    }[factor]


def measure(case: Case, options: Any) -> dict[str, Any]:
    """Seconds and bytes of a step in the last phase."""
    with Worker("ours:Ours", case=case, device=options.device, threads=options.threads) as ours:
        if options.precision != "off" and not ours("facts")["bf16"]:
            raise SystemExit(f"--precision {options.precision} would be emulated here: give off")
        ours("step", precision=options.precision)  # the optimiser's state exists after it
        (top, before), _ = ours("weighed", "step", precision=options.precision)
        seconds = [ours("timed", "step", precision=options.precision)[0] for _ in range(options.repeats)]
        return {"seconds": seconds, "peak": top / GIB, "before": before / GIB, "facts": ours("facts")}


def table(case: Case, factor: str, points: dict[int, dict[str, Any]]) -> list[str]:
    """A factor as Markdown; the case's own value is bold."""
    own = getattr(case, factor)
    base = statistics.median(points[own]["seconds"]) if own in points else None
    lines = [f"| {FACTORS[factor]} | step | of the bold row | peak memory | before the step |", "|---|---|---|---|---|"]
    for value, point in points.items():
        ratio = f"{statistics.median(point['seconds']) / base:.2f}x" if base else "–"
        name = f"**{value}**" if value == own else str(value)
        weight = f"{point['peak']:.2f} GiB | {point['before']:.2f} GiB"
        lines.append(f"| {name} | {spread(point['seconds'], 's')} | {ratio} | {weight} |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=list(CASES), default="tiny", help="default: tiny")
    parser.add_argument("--factors", nargs="+", choices=list(FACTORS), default=list(FACTORS), help="default: all")
    parser.add_argument("--repeats", type=int, default=3, help="measured repetitions; default: 3")
    parser.add_argument("--precision", choices=("off", "cam", "bf16"), default="off", help="default: off (fp32)")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", metavar="OUT", type=Path)
    parser.add_argument("--markdown", metavar="OUT", type=Path)
    options = parser.parse_args(arguments)
    case, computer = CASES[options.case], machine()
    found: dict[str, dict[int, dict[str, Any]]] = {}
    known: dict[Case, dict[str, Any]] = {}
    lines: list[str] = []
    for factor in options.factors:
        for value in values(case, factor):
            point = dataclasses.replace(case, **{factor: value}, targets=())  # type: ignore[arg-type]
            known[point] = known.get(point) or measure(point, options)
            found.setdefault(factor, {})[value] = known[point]
        lines += ["", *table(case, factor, found[factor])]
        print("\n".join(lines[-len(found[factor]) - 3 :]), flush=True)
    facts = next(iter(known.values()))["facts"]
    where = facts["gpu"] or f"{computer['cpu']}, {computer['cores']} cores, {facts['threads']} threads"
    head = [
        f"{where}; torch {facts['versions']['torch']}; {time.strftime('%Y-%m-%d')}; load before: "
        f"{computer['load_before']}. Last phase, {case.title}, precision {options.precision}, toy scenes; "
        f"median (least–most) of {options.repeats}. The device {facts['capability']}."
    ]
    if options.markdown:
        options.markdown.write_text("\n".join(head + lines) + "\n", encoding="utf-8")
    if options.json:
        record = {"machine": computer, "facts": facts, "case": dataclasses.asdict(case), "points": found}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
