"""How near our training step comes to the machine: FLOP/s beside those of one large product, eager or compiled.

    python benchmarks/utilisation.py --case tiny
    python benchmarks/utilisation.py --case vitb --batch 4 --device cuda --precision bf16 --compile none inductor

Each variant is a process of its own, except with --here. FLOP are those of the step's matrix products and
convolutions, forward and backward, as torch counts them. The loader is measured alone. Hours are projected from the
three phases.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from step import PHASES, VARIANTS, spread
from workers import CASES, GIB, Case, Here, Parent, Worker, computed, machine


def measure(case: Case, precision: str, compiled: str | None, options: Any) -> dict[str, Any]:
    """A variant's seconds by phase, bytes, operations, and the rate of one large product."""
    shared = dict(case=case, device=options.device, threads=options.threads, compiled=compiled)
    with (Here if options.here else Worker)("ours:Ours", images=options.images, split=options.split, **shared) as ours:
        found: dict[str, Any] = {"precision": precision, "compile": compiled, "facts": ours("facts"), "phases": {}}
        for name, t, _ in PHASES:
            ours("step", t=t, precision=precision)  # compiles, and makes the optimiser's state
            found["phases"][name] = [ours("timed", "step", t=t, precision=precision)[0] for _ in range(options.repeats)]
        found["peak"] = ours("weighed", "step", precision=precision)[0][0] / GIB
        found["best_rate"] = ours("best_rate", precision, min(10, 2 * options.repeats))
        found["syncs"] = ours("syncs", precision) if options.device == "cuda" else None
    return found


def count(case: Case, options: Any) -> tuple[float, float, dict[str, Any]]:
    """Operations of a step, images per second of the loader, and facts about the device."""
    inputs = dict(threads=options.threads, images=options.images, split=options.split)
    with (Here if options.here else Parent)("ours:Ours", case=case, device=options.device, **inputs) as ours:
        return ours("flops"), ours("load", options.workers, options.loader_seconds), ours("facts")


def row(found: dict[str, Any], flops: float) -> str:
    """A variant as a line of the table."""
    last = statistics.median(found["phases"]["last"])
    hours = sum(n * statistics.median(found["phases"][name]) for name, _, n in PHASES) / 3600
    variant = VARIANTS[found["precision"]] + (f", compiled by {found['compile']}" if found["compile"] else "")
    cells = [
        variant,
        spread(found["phases"]["last"], "s"),
        f"{found['peak']:.2f} GiB",
        f"{flops / last / 1e9:.0f} GFLOP/s",
        f"{found['best_rate'] / 1e9:.0f} GFLOP/s",
        f"{100 * flops / last / found['best_rate']:.0f} %",
        f"{hours:.2f} h",
        "–" if found["syncs"] is None else str(found["syncs"]),
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=list(CASES), default="tiny", help="default: tiny")
    parser.add_argument("--batch", type=int, help="another batch")
    parser.add_argument("--precision", nargs="+", choices=list(VARIANTS), default=["off"], help="default: off (fp32)")
    parser.add_argument("--compile", nargs="+", default=["none"], help="none, or backends of torch.compile")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the loader; default: all cores")
    parser.add_argument("--loader-seconds", type=float, default=10.0, help="time of the loader alone; default: 10")
    parser.add_argument("--repeats", type=int, default=5, help="measured repetitions; default: 5")
    parser.add_argument("--images", metavar="DIR", help="photos in VOC layout; default: toy scenes")
    parser.add_argument("--split", default="train", help="a list of that folder; default: train")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--here", action="store_true", help="all in this process, to try the command")
    parser.add_argument("--json", metavar="OUT", type=Path)
    parser.add_argument("--markdown", metavar="OUT", type=Path)
    options = parser.parse_args(arguments)
    case = CASES[options.case]
    case = dataclasses.replace(case, batch=options.batch or case.batch)
    computer = machine()
    flops, images, facts = count(case, options)
    kept = computed(options.precision, facts)
    variants = [(precision, None if c == "none" else c) for precision in kept for c in options.compile]
    found = [measure(case, precision, compiled, options) for precision, compiled in variants]
    where = facts["gpu"] or f"{computer['cpu']}, {computer['cores']} cores, {facts['threads']} threads"
    inputs = "photos in VOC layout" if options.images else "toy scenes"
    lines = [
        f"{where}; torch {facts['versions']['torch']}; {time.strftime('%Y-%m-%d')}; load before: "
        f"{computer['load_before']}. {case.title}, {inputs}; {flops / 1e9:.0f} GFLOP in a step of the last phase; "
        f"median (least–most) of {options.repeats}. Loader: {images:.0f} images/s with {options.workers} workers. "
        f"The device {facts['capability']}.",
        "",
        "| precision | step, last phase | peak memory | rate | of one large product | share | 20,000 iterations "
        "| host waits |",
        "|---|---|---|---|---|---|---|---|",
        *(row(f, flops) for f in found),
    ]
    print("\n".join(lines), flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.json:
        record = {"machine": computer, "case": dataclasses.asdict(case), "flops": flops, "images_per_second": images}
        options.json.write_text(json.dumps({**record, "variants": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
