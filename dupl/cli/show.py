"""``dupl show``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

from dupl.cli.common import command, recipe_options, resolved_values
from dupl.errors import UserError
from dupl.terminal import printable


def add_show(commands: Any) -> None:
    """Declare ``dupl show``."""
    parser = command(
        commands,
        "show",
        run_show,
        "print a recipe (components, fingerprint, every value), a plan of runs, a sweep or the schema; or list them",
        "  dupl show                               the recipes\n"
        "  dupl show voc/dupl\n  dupl show runs/RUN\n"
        "  dupl show voc/dupl --set model.students.type=SingleStudent\n"
        "  dupl show --plan                        the plans of ablation tables\n"
        "  dupl show --plan table4_components      its rows, what each changes, the paper's numbers\n"
        "  dupl show --sweep dta_anf               what it searches, by which goal, on which data\n"
        "  dupl show --schema                      every key of a recipe: values, range, default, meaning\n"
        "  dupl show --schema noise_filter         one section, slot or component of it\n",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("recipe", nargs="?", help="a recipe, or a run's folder; nothing lists recipes")
    what.add_argument("--plan", nargs="?", const="", metavar="PLAN", help="a plan; nothing lists the plans")
    what.add_argument("--sweep", nargs="?", const="", metavar="SWEEP", help="a sweep; nothing lists the sweeps")
    what.add_argument("--schema", nargs="?", const="", metavar="PART", help="what a recipe may hold; nothing is all")
    parser.add_argument("--no-exec", action="store_true", help=argparse.SUPPRESS)
    recipe_options(parser)


def run_show(arguments: argparse.Namespace) -> int:
    """``dupl show``."""
    if arguments.no_exec:
        print("dupl: --no-exec has no effect: nothing is executed; a later release refuses it", file=sys.stderr)
    if arguments.schema is not None:
        return show_schema(arguments.schema)
    told = io.StringIO()
    with redirect_stdout(told):
        code = show(arguments)
    print(printable(told.getvalue()), end="")
    return code


def show_schema(name: str) -> int:
    """Print a part of the schema."""
    from rich.console import Console

    from dupl.config.reference import tables
    from dupl.plans.plan_file import PlanFile
    from dupl.plans.sweep import SweepFile

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    for table in tables(name, {"plan": PlanFile, "sweep": SweepFile}):
        console.print(table)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """``dupl show`` of a recipe, a run, a plan or a sweep."""
    from dupl.config import catalogue
    from dupl.config.fingerprint import fingerprint
    from dupl.runs.run import Run

    if arguments.plan:
        show_plan(arguments.plan, arguments.set)
        return 0
    if arguments.sweep:
        show_sweep(arguments.sweep, arguments.set)
        return 0
    if arguments.recipe is None:
        kind = "ablations" if arguments.plan is not None else "sweeps" if arguments.sweep is not None else "experiments"
        for name in catalogue.names(kind):
            print(f"{name:24} {catalogue.docstring(name, kind).strip().partition(chr(10))[0]}".rstrip())
        return 0
    run = Run(arguments.recipe)
    if run.exists():
        config, head = resolved_values(run.config_path, arguments.set), _status_lines(run)
    else:
        config = resolved_values(arguments.recipe, arguments.set)
        head = (catalogue.docstring(arguments.recipe) or "").strip() + "\n"
    rows = components(config["model"])
    print(head)
    print(f"fingerprint  {fingerprint(config)}")
    for name, on, what in rows:
        print(f"{name:12} {'?  ' if on is None else 'on ' if on else 'off'}  {what}")
    print("\n" + catalogue.to_text(config))
    return 0


def components(model: Mapping[str, Any]) -> list[tuple[str, bool | None, str]]:
    """Return the five components of a model config: name, whether it is on, its class and arguments.

    Whether a class of a module that is not imported is on is not known: None.
    """
    from dupl.config.components import find

    places = {
        "DS": "students",
        "L_dis": "discrepancy",
        "DTA": "threshold",
        "ANF": "noise_filter",
        "L_reg": "consistency",
    }
    rows = []
    for name, key in places.items():
        if not isinstance(model.get(key), dict) or "type" not in model[key]:
            raise UserError(f"model.{key}: no component stands there; write dict(type=...)")
        arguments = {k: v for k, v in model[key].items() if k != "type"}
        component = find(str(model[key]["type"]))
        on = None if component is None else not component.null
        rows.append((name, on, f"{model[key]['type']}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"))
    return rows


def show_plan(name: str, sets: Sequence[str]) -> None:
    """Print a plan: what it measures, then each row with its fingerprint, the paper's numbers and its overrides."""
    from dupl.config import overrides
    from dupl.plans.plan import load

    plan = load(name)
    runs = {run.row: run for run in plan.expand(seeds=plan.seeds[:1], sets=overrides.parse(sets))}
    print(f"{plan.doc.strip() or plan.title}\n")
    print(f"base         {plan.base}")
    print(f"runs         {len(plan.rows)} rows x {len(plan.seeds)} seeds ({', '.join(map(str, plan.seeds))})")
    for column in plan.columns:
        print(f"column       {column.label}: {column.metric}, protocol {column.protocol}")
    print(f"compared     with {'the row before' if plan.compare == 'previous' else plan.compare}")
    print("".join(f"every row    {path}={value!r}\n" for path, value in plan.set.items()))
    wide = max(len(row.key) for row in plan.rows)
    label = max(len(row.label) for row in plan.rows)
    for row in plan.rows:
        paper = ", ".join(
            f"{column.label} {row.paper[column.key]:g}" for column in plan.columns if column.key in row.paper
        )
        told = f"  paper: {paper}" if paper else ""
        print(f"{row.key:{wide}}  {runs[row.key].fingerprint}  {row.label:{label}}{told}".rstrip())
        changes = [f"{path}={value!r}" for path, value in row.overrides.items()]
        for line in [f"base {row.base}"] * bool(row.base) + changes + [row.note] * bool(row.note):
            print(f"{'':{wide}}  {line}")
    if plan.reference:
        print(f"\n{plan.reference}")


def show_sweep(name: str, sets: Sequence[str]) -> None:
    """Print a sweep: what it searches, and the points it starts from with their fingerprints."""
    from dupl.cli.sweep import searched
    from dupl.config import overrides
    from dupl.plans.sweep import load

    sweep = load(name, overrides.parse(sets))
    lines = [f"{sweep.doc.strip() or sweep.title}\n", f"base {sweep.base}"]
    lines += [f"every trial: {path} = {value!r}" for path, value in sweep.set.items()]
    lines += [*searched(sweep), "starts from"]
    for i, planned in enumerate(map(sweep.run, sweep.start_from)):
        lines.append(f"    trial {i}  {planned.fingerprint}  {planned.row}")
    print("\n".join([*lines, f"{sweep.trials} trials of {sweep.evaluations} evaluations each"]))


def _status_lines(run: Any) -> str:
    status = run.status
    lines = [
        f"run          {run.path}",
        f"state        {status.state}, iteration {status.iteration} of {status.iterations}",
    ]
    lines.append(f"trained      {status.seconds:.0f} s on {status.host}, seed {status.seed}")
    lines.append(f"code         {status.commit or 'no checkout'}{' with changes' if status.dirty else ''}")
    lines.append(f"versions     {', '.join(f'{k} {v}' for k, v in (status.versions or {}).items() if v)}")
    lines.append(f"command      {' '.join(status.command)}")
    if status.error:
        lines.append(f"error        {status.error}")
    return "\n".join(lines)
