"""``dupl explain``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, say, stderr
from dupl.terminal import counted, printable

if TYPE_CHECKING:
    from dupl.api import Difference, Explanation, SettlingPlan

METRIC = "seg/best/mIoU"
WIDE = 60  # letters of a value


def add_explain(commands: Any) -> None:
    """Declare ``dupl explain``."""
    parser = command(
        commands,
        "explain",
        run_explain,
        "what makes two runs differ, by how much where the store knows it, and the fewest runs that settle the rest",
        "  dupl explain runs/A runs/B\n"
        "  dupl explain 50499104abe8 a9260e40f12f --metric cam/best/mIoU\n"
        "  dupl explain runs/A runs/B --out settle.py   then dupl ablate settle.py\n"
        "  dupl explain runs/A runs/B --json\n",
    )
    parser.add_argument("first", metavar="RUN_A", help="a run's folder or fingerprint")
    parser.add_argument("second", metavar="RUN_B", help="another one")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--metric", default=METRIC, metavar="NAME", help=f"metric to explain; default: {METRIC}")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the plan that settles the rest into this .py file"
    )
    json_option(parser, "print the differences and the plan as JSON")


def run_explain(arguments: argparse.Namespace) -> int:
    """Run ``dupl explain``."""
    found = api.explain_runs(arguments.first, arguments.second, arguments.root, metric=arguments.metric)
    plan = api.settling_plan(found, arguments.root)
    if arguments.json:
        print_json(_facts(found, plan))
    else:
        print(printable("\n".join(_lines(found, plan))))
    if arguments.out is not None:
        say(stderr())(f"written to {api.write_settling_plan(plan, arguments.out)}: dupl ablate {arguments.out}")
    return 0


def _lines(found: Explanation, plan: SettlingPlan) -> list[str]:
    lines = [
        f"{name}  {run.path}  {run.fingerprint}  {found.metric} {'unknown' if value is None else f'{value:.1f}'}"
        for name, run, value in zip("AB", found.runs, found.values, strict=True)
    ]
    total = "unknown" if found.total is None else f"{found.total:+.1f}"
    lines += [f"B - A: {total} points", ""]
    if not found.found:
        return [*lines, "nothing that can change the result differs: bit for bit the same on one kind of CPU"]
    lines += [line for one in found.found for line in _difference(one)]
    known = [one for one in found.found if one.effect is not None]
    lines += [f"known effects: {found.known:+.1f} of {total} points, if they add up"] if known else []
    return [*lines, *found.notes, *_rest(found, plan)]


def _difference(one: Difference) -> list[str]:
    effect = "unknown" if one.effect is None else f"{one.effect:+.1f}"
    behind = f"  ({counted(one.pairs, 'pair')} of runs that differ in this alone)" if one.pairs else ""
    if one.mixed:
        behind = f"  ({counted(one.pairs, 'pair')} of runs, {one.mixed} of other code or machine too)"
    line = f"{effect:>8}  {one.kind:6}  {one.name}: {_short(one.old, one.new)}{behind}"
    return [line, *([f"{'':18}{one.note}"] if one.note else [])]


def _short(old: Any, new: Any) -> str:
    """Write two values; of components that are exchanged their types alone."""
    types = [side.get("type") if isinstance(side, dict) else None for side in (old, new)]
    if None not in types and types[0] != types[1]:
        return f"{types[0]} -> {types[1]}"
    texts = (repr(side) for side in (old, new))
    return " -> ".join(text if len(text) <= WIDE else f"{text[: WIDE - 3]}..." for text in texts)


def _rest(found: Explanation, plan: SettlingPlan) -> list[str]:
    """Return the runs that would settle what is not known."""
    lines = []
    if plan.steps:
        steps = ", then ".join(step.name for step in plan.steps)
        lines.append(f"to settle the values: from A change {steps}: {counted(plan.missing, 'run')} to train")
        lines[-1] += ", by the code that is here (--out FILE writes the plan)"
    if any(one.kind == "making" and one.effect is None for one in found.found):
        lines.append("to settle code, packages and machine together: train A again with those of B, 1 run: ")
        lines[-1] += f"dupl reproduce {found.runs[0].path} --out {found.runs[0].path}-again"
    if any(one.kind == "data" and one.effect is None for one in found.found):
        lines.append("to settle the data: train A's recipe on B's data, 1 run")
    return lines


def _facts(found: Explanation, plan: SettlingPlan) -> dict[str, Any]:
    def plain(one: Difference) -> dict[str, Any]:
        return {name: _value(getattr(one, name)) for name in one.__dataclass_fields__}

    runs = [
        {"run": str(run.path), "fingerprint": run.fingerprint, "value": value}
        for run, value in zip(found.runs, found.values, strict=True)
    ]
    steps = {"steps": [step.name for step in plan.steps], "missing": plan.missing}
    differences = [plain(one) for one in found.found]
    facts = {"runs": runs, "metric": found.metric, "total": found.total, "differences": differences}
    return {**facts, "notes": list(found.notes), "plan": steps}


def _value(value: Any) -> Any:
    return value if isinstance(value, (dict, list, str, int, float, bool, type(None))) else repr(value)
