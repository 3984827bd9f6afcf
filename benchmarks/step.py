"""Time our training step, its parts and the evaluation, beside the released implementation where a checkout is given.

    python benchmarks/step.py --reference PATH --case tiny vitb --json speed.json --markdown speed.md
    python benchmarks/step.py --case tiny                 # our own column, and the step by part

Both implementations start from the same weights and get the same inputs, each in a process of its own; repetitions
alternate between them. Before a step is timed, both take it once with the same strong view, and their losses are
compared; a difference ends the run, or with --go-on is written into the table.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from workers import CASES, GIB, SCRIPT, Case, Worker, computed, machine

PHASES = (("first", 1000, 2000), ("second", 5000, 6000), ("last", 14000, 12000))  # name, an iteration, iterations
LAST = PHASES[-1][1]
VARIANTS = {"off": "fp32", "cam": "bf16 in the CAM passes", "bf16": "bf16, whole step"}
ROWS = ("step", "schedule", "refine", "anf", "eval")
RTOL = 1e-4
Bytes = tuple[float, float]  # at the peak, and before


@dataclasses.dataclass
class Row:
    """One line of the table.

    Attributes:
        work: What was measured.
        unit: "s" or "GiB".
        ours: Every measurement.
        released: The same of the released implementation; None without one.
        at_most: Target for ours / released, of medians.
        note: What else is worth saying.
    """

    work: str
    unit: str
    ours: list[float]
    released: list[float] | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return the ratio of the medians; None without a released measurement."""
        return statistics.median(self.ours) / statistics.median(self.released) if self.released else None

    def cells(self) -> list[str]:
        """Return the cells of the row as text."""
        ratio = self.ratio
        target = "" if self.at_most is None else f"{self.at_most:.2f}x"
        met = "" if ratio is None or self.at_most is None else "met" if ratio <= self.at_most else "**not met**"
        return [
            self.work + (f" ({self.note})" if self.note else ""),
            spread(self.released, self.unit),
            spread(self.ours, self.unit),
            "–" if ratio is None else f"{ratio:.3f}x" if ratio < 0.1 else f"{ratio:.2f}x",
            target,
            met,
        ]

    def record(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return dataclasses.asdict(self) | {"ratio": self.ratio}


def spread(values: list[float] | None, unit: str) -> str:
    """Write the median with the least and the most."""
    if not values:
        return "–"
    digits = 2 if statistics.median(values) >= 1 else 4
    text = f"{statistics.median(values):.{digits}f} {unit}"
    return text if len(values) < 2 else f"{text} ({min(values):.{digits}f}–{max(values):.{digits}f})"


class Bench:
    """The measurements of one case.

    Args:
        case: What to measure.
        options: Of the command line.
        ours: Our process.
        released: The released implementation's, or None.
        folder: For what the two exchange.
    """

    def __init__(self, case: Case, options: Any, ours: Worker, released: Worker | None, folder: str) -> None:
        self.case, self.options, self.ours, self.released = case, options, ours, released
        self.repeats = options.repeats or case.repeats
        self.rows: list[Row] = []
        self.checks: list[dict[str, Any]] = []
        self.parts: dict[str, float] = {}
        self.folder = folder
        if released is not None:
            ours("export", folder, released("layout"))
            released("load", folder)

    def run(self, rows: list[str]) -> None:
        """Measure and collect, in an order in which the optimisers' state exists before memory is weighed."""
        phases = {name: (t, count) for name, t, count in PHASES}
        whole = "schedule" in rows
        times: dict[str, tuple[list[float] | None, list[float]]] = {}
        chosen = self.options.phases if whole else ["second"] if "step" in rows else []
        for name in (n for n in ("second", "first") if n in chosen):
            self.check(name, phases[name][0])
            if whole:
                times[name] = self.alternate("step", t=phases[name][0])
        if "step" in rows or (whole and "last" in chosen):
            times["last"] = self.last_phase(variants="step" in rows)
        if whole:
            self.schedule(times)
        if self.released is None and "step" in rows:
            self.parts = self.ours("breakdown", self.repeats)
            self.table_of_parts()
        if {"refine", "anf", "eval"} & set(rows):
            self.ours("prepare_parts", self.folder)
            if self.released is not None:
                self.released("load_parts", self.folder)
        for name in ("refine", "anf", "eval"):
            if name in rows:
                getattr(self, name)()

    def check(self, phase: str, t: int, weigh: bool = False, precision: str = "off") -> tuple[Bytes | None, Bytes]:
        """Compare the losses of a step with one strong view for both; return the memory of both if it is measured.

        Raises:
            SystemExit: The losses differ, and --go-on was not given.
        """
        kind = "weighed" if weigh else "timed"
        ours_bytes, ours = self.ours(kind, "step", t=t, precision=precision, same_strong=True)
        if self.released is None or precision != "off":
            reference = next((c["released"] for c in self.checks if c["phase"] == phase), None)
            self.checks.append({"phase": phase, "precision": precision, "ours": ours, "released": reference})
            say(f"  {phase} phase, {VARIANTS[precision]}: loss {ours['loss']:.6g}")
            return None, ours_bytes
        theirs_bytes, theirs = self.released(kind, "step", t=t, same_strong=True)
        self.checks.append({"phase": phase, "precision": precision, "ours": ours, "released": theirs})
        say(f"  {phase} phase: loss {ours['loss']:.6g} (ours), {theirs['loss']:.6g} (released); terms of both:")
        say("    " + ", ".join(f"{k} {ours[k]:.6g} / {theirs[k]:.6g}" for k in theirs if k != "loss"))
        wrong = [k for k, v in theirs.items() if abs(ours[k] - v) > RTOL * max(abs(v), 1e-3)]
        self.checks[-1]["differ"] = wrong
        if wrong:
            told = ", ".join(f"{k} {ours[k]:.7g} against {theirs[k]:.7g}" for k in wrong)
            told = f"not the same step in the {phase} phase: {told}"
            if not self.options.go_on:
                raise SystemExit(f"{told}; it was not timed (--go-on times it all the same)")
            say(f"    {told}")
        return theirs_bytes, ours_bytes

    def alternate(self, method: str, **arguments: Any) -> tuple[list[float] | None, list[float]]:
        """Return the seconds of a method of both sides, in turn."""
        times = self.rounds(method, [arguments])
        return times[0], times[1] or []

    def rounds(self, method: str, variants: list[dict[str, Any]]) -> list[list[float] | None]:
        """Return the seconds of the released method (None without one) and of ours in each variant, in turn."""
        found: list[list[float]] = [[] for _ in range(len(variants) + 1)]
        shared = {k: v for k, v in variants[0].items() if k != "precision"}
        for _ in range(self.repeats):
            if self.released is not None:
                found[0].append(self.released("timed", method, **shared)[0])
            for seconds, arguments in zip(found[1:], variants, strict=True):
                seconds.append(self.ours("timed", method, **arguments)[0])
        return [seconds or None for seconds in found]

    def last_phase(self, variants: bool) -> tuple[list[float] | None, list[float]]:
        """Check, weigh and time the step with everything on, with ``variants`` in bf16 where it is computed."""
        precisions = computed(list(VARIANTS), self.ours("facts")) if variants else ["off"]
        peaks = {precision: self.check("last", LAST, weigh=True, precision=precision) for precision in precisions}
        theirs = peaks["off"][0]
        times = self.rounds("step", [{"t": LAST, "precision": precision} for precision in precisions])
        for precision, ours in zip(precisions, times[1:], strict=True) if variants else ():
            work = f"training step, last phase, {VARIANTS[precision]}"
            self.add(Row(work, "s", ours or [], times[0], self.case.targets.get(precision)))
            memory = self.case.targets.get("memory") if precision == "off" else None
            top, before = (x / GIB for x in peaks[precision][1])
            weighed, note = None, f"{before:.2f} GiB before the step"
            if theirs is not None:
                weighed = [theirs[0] / GIB]
                added = (top - before) * GIB / (theirs[0] - theirs[1])
                note = f"before the step {theirs[1] / GIB:.2f} and {before:.2f} GiB; what the step adds {added:.2f}x"
            self.add(Row(f"{work}: peak memory", "GiB", [top], weighed, memory, note))
        return times[0], times[1] or []

    def schedule(self, times: dict[str, tuple[list[float] | None, list[float]]]) -> None:
        """Add the rows of the early phases and, from all three, of 20,000 iterations."""
        for name in (n for n in ("first", "second") if n in times):
            theirs, ours = times[name]
            self.add(Row(f"training step, {name} phase, fp32", "s", ours, theirs))
        if len(times) < len(PHASES):
            return

        def hours(side: int) -> float:
            return sum(n * statistics.median(times[name][side] or [0]) for name, _, n in PHASES) / 3600

        theirs_hours = [hours(0)] if self.released is not None else None
        target = self.case.targets.get("schedule")
        self.add(Row("20,000 iterations, projected from the phases, fp32", "h", [hours(1)], theirs_hours, target))

    def refine(self) -> None:
        """Time the refinement of one batch."""
        self.alternate_once("refine")
        theirs, ours = self.alternate("refine")
        note = ""
        if self.released is not None:
            pairs = zip(self.ours("labels"), self.released("labels"), strict=True)
            differ = statistics.mean(float((a != b).mean()) for a, b in pairs)
            note = f"labels differ in {100 * differ:.4f} % of pixels"
        target = self.case.targets.get("refine")
        self.add(Row("refinement of a batch, both students, both thresholds", "s", ours, theirs, target, note))

    def anf(self) -> None:
        """Time the noise filter of one batch, and compare its masks with scikit-learn's."""
        self.alternate_once("filter")
        theirs, ours = self.alternate("filter")
        note = ""
        if self.released is not None:
            self.released("filter", double=True)  # else recent scikit-learn keeps its means in float32
            students = zip(self.ours("filtered"), self.released("filtered"), strict=True)
            pairs = [pair for both in students for pair in zip(*both, strict=True)]
            used = [(a, b) for a, b in pairs if a.any() or b.any()]
            differ = statistics.mean([float((a != b).mean()) for a, b in used] or [0.0])
            note = f"mask used in {len(used)} of {len(pairs)}, where {100 * differ:.4f} % of pixels differ"
        target = self.case.targets.get("anf")
        self.add(Row("noise filter (ANF) of a batch, both students", "s", ours, theirs, target, note))

    def eval(self) -> None:
        """Time the evaluation during training."""
        theirs, ours = self.alternate("evaluate")
        note = f"{self.case.images} images"
        if self.released is not None:
            a, b = self.ours("evaluate"), self.released("evaluate")
            differ = max(abs(a[k] - b[k]) for k in b)
            note += f"; mIoU differs by at most {differ:.4f}"
        target = self.case.targets.get("eval")
        self.add(Row("evaluation, both students, CAM and segmentation", "s", ours, theirs, target, note))

    def alternate_once(self, method: str) -> None:
        """Call a method of both sides without measuring."""
        for side in (self.ours, self.released):
            if side is not None:
                side(method)

    def add(self, row: Row) -> None:
        """Keep and print a row."""
        self.rows.append(row)
        say("  " + " | ".join(c for c in row.cells() if c))

    def table_of_parts(self) -> None:
        """Print the breakdown."""
        for line in parts_table(self.parts):
            say("  " + line)

    def record(self) -> dict[str, Any]:
        """Return the case for JSON."""
        facts = {"case": dataclasses.asdict(self.case), "repeats": self.repeats, "checks": self.checks}
        return facts | {"rows": [r.record() for r in self.rows], "parts": self.parts}


def parts_table(parts: dict[str, float]) -> list[str]:
    """Return the breakdown of a step as Markdown."""
    whole = parts.get("whole step", 0.0)
    rows = sorted(((k, v) for k, v in parts.items() if k != "whole step"), key=lambda kv: -kv[1])
    lines = [f"| {name} | {s:.3f} s | {100 * s / whole:.1f} % |" for name, s in rows]
    return [
        "| part of the step, last phase, fp32 | median | share |",
        "|---|---|---|",
        *lines,
        f"| whole step | {whole:.3f} s | |",
    ]


def markdown(report: dict[str, Any], benches: list[Bench]) -> str:
    """Return the report as Markdown."""
    m = report["machine"]
    where = report["gpu"] or f"{m['cpu']}, {m['cores']} cores, {report['threads']} threads"
    versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    commit = report["code"]["commit"]
    code = f"commit {commit[:10]}{' with changes' if report['code']['dirty'] else ''}" if commit else "no checkout"
    lines = [
        f"{where}; {versions}; {code}; {report['date']}. Inputs: {report['inputs']}. Median (least–most).",
        f"Load of the machine before the run: {m['load_before']}. The device {report['capability']}.",
    ]
    for bench in benches:
        lines += ["", f"**{bench.case.title}** (repetitions, in turn: {bench.repeats})", ""]
        lines += ["| work | released | ours | ours / released | at most | |", "|---|---|---|---|---|---|"]
        lines += [f"| {' | '.join(row.cells())} |" for row in bench.rows]
        lines += [
            "",
            f"| loss, one strong view for both | released | ours | terms apart by > {RTOL:g} |",
            "|---|---|---|---|",
        ]
        for c in bench.checks:
            theirs = f"{c['released']['loss']:.6g}" if c["released"] else "–"
            apart = ", ".join(c.get("differ", [])) or ("none" if "differ" in c else "–")
            lines.append(
                f"| {c['phase']} phase, {VARIANTS[c['precision']]} | {theirs} | {c['ours']['loss']:.6g} | {apart} |"
            )
        if bench.parts:
            lines += ["", *parts_table(bench.parts)]
    return "\n".join(lines) + "\n"


def say(line: str) -> None:
    """Print a line without buffering."""
    print(line, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", metavar="PATH", help="a checkout of the released repository")
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=["tiny"], help="default: tiny")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="what to measure; default: all")
    names = [name for name, *_ in PHASES]
    parser.add_argument("--phases", nargs="+", choices=names, default=names, help="of the row schedule; default: all")
    parser.add_argument("--repeats", type=int, help="measured repetitions; default: 5, ViT-B 3")
    parser.add_argument("--size", type=int, help="another crop, a multiple of 32; no targets then")
    parser.add_argument("--batch", type=int, help="another batch; no targets then")
    parser.add_argument("--go-on", action="store_true", help="time also where the losses differ; the table says so")
    parser.add_argument("--images", metavar="DIR", help="photos in VOC layout with masks; default: toy scenes")
    parser.add_argument("--split", default="train", help="a list of that folder; default: train")
    parser.add_argument("--weights", metavar="FILE", help="ImageNet weights of the backbone; default: random ones")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", metavar="OUT", type=Path)
    parser.add_argument("--markdown", metavar="OUT", type=Path)
    options = parser.parse_args(arguments)
    if options.size and options.size % 32:
        parser.error(f"--size {options.size}: all CAM scales are whole patches only at a multiple of 32")
    if options.reference and not (Path(options.reference) / SCRIPT).is_file():
        parser.error(f"--reference {options.reference}: no {SCRIPT} there; give a checkout of the released repository")
    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "cases": {}}
    report["inputs"] = f"photos of a folder in VOC layout, list {options.split}" if options.images else "toy scenes"
    benches: list[Bench] = []

    def write() -> None:
        report["cases"] = {b.case.name: b.record() for b in benches}
        for file, text in ((options.json, json.dumps(report, indent=1)), (options.markdown, markdown(report, benches))):
            if file is not None:
                file.write_text(text + ("" if text.endswith("\n") else "\n"), encoding="utf-8")

    for name in options.case:
        other = {k: v for k in ("size", "batch") if (v := getattr(options, k))}
        case = dataclasses.replace(CASES[name], **other, targets={}) if other else CASES[name]
        shared = dict(case=case, device=options.device, threads=options.threads)
        given = dict(images=options.images, split=options.split, weights=options.weights)
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            ours = stack.enter_context(Worker("ours:Ours", **shared, **given))
            reference = dict(root=options.reference, **shared)
            released = stack.enter_context(Worker("released:Released", **reference)) if options.reference else None
            report |= ours("facts")
            say(f"{case.title}: {report['machine']['cores']} cores, {report['threads']} threads")
            bench = Bench(case, options, ours, released, folder)
            benches.append(bench)
            try:
                bench.run(options.rows)
            finally:
                write()


if __name__ == "__main__":
    main()
