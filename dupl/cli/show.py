"""``dupl show``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, recipe_options
from dupl.errors import UserError
from dupl.terminal import printable

if TYPE_CHECKING:
    from dupl.api import Status


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
    what.add_argument("recipe", nargs="?", help="a recipe, or a run's folder; omit it to list the recipes")
    what.add_argument("--plan", nargs="?", const="", metavar="PLAN", help="show a plan; without a name, list the plans")
    what.add_argument(
        "--sweep", nargs="?", const="", metavar="SWEEP", help="show a sweep; without a name, list the sweeps"
    )
    what.add_argument(
        "--schema", nargs="?", const="", metavar="PART", help="show what a recipe may contain: all of it, or one part"
    )
    json_option(parser, "print names, a recipe, a plan or a sweep as JSON")
    parser.add_argument("--no-exec", action="store_true", help=argparse.SUPPRESS)
    recipe_options(parser)


def run_show(arguments: argparse.Namespace) -> int:
    """Run ``dupl show``."""
    if arguments.no_exec:
        print("dupl: --no-exec has no effect: nothing is executed; a later release refuses it", file=sys.stderr)
    if arguments.json:
        print_json(_facts(arguments))
    elif arguments.schema is not None:
        print_schema(arguments.schema)
    else:
        print(printable("\n".join(_lines(arguments))))
    return 0


def _facts(arguments: argparse.Namespace) -> Any:
    """Return what is shown as plain values.

    Raises:
        UserError: It is the schema.
    """
    if arguments.schema is not None:
        raise UserError("--json shows recipes, plans and sweeps: docs/reference/config.md has the schema")
    if arguments.plan:
        plan = api.load_plan(arguments.plan)
        runs = {run.row: run for run in plan.expand(seeds=plan.seeds[:1], sets=api.override_values(arguments.set))}
        prints = {key: run.fingerprint for key, run in runs.items()}
        rows = [asdict(row) | {"fingerprint": prints.get(row.key)} for row in plan.rows]
        shown = ("name", "title", "base", "seeds", "set", "factors", "compare", "reference")
        facts = {name: getattr(plan, name) for name in shown}
        return {**facts, "columns": [asdict(column) for column in plan.columns], "rows": rows}
    if arguments.sweep:
        sweep = api.load_sweep(arguments.sweep, arguments.set)
        shown = ("name", "title", "base", "set", "goal", "start_from", "trials", "evaluations")
        return {name: getattr(sweep, name) for name in shown}
    if arguments.recipe is None:
        return [{"name": name, "about": about} for name, about in api.list_recipes(_kind(arguments)).items()]
    found, values = api.describe(arguments.recipe, arguments.set), api.recipe_values(arguments.recipe, arguments.set)
    facts = {"fingerprint": found.fingerprint, "doc": found.doc, "values": values}
    facts |= {"components": [one._asdict() for one in found.components]}
    return facts if found.status is None else {**facts, "status": asdict(found.status)}


def _kind(arguments: argparse.Namespace) -> str:
    return "ablations" if arguments.plan is not None else "sweeps" if arguments.sweep is not None else "experiments"


def print_schema(part: str) -> None:
    """Print a part of the schema; 160 columns wide where there is no terminal."""
    from dupl.terminal import safe_console

    console = safe_console(highlight=False)
    if not console.is_terminal:
        console = safe_console(highlight=False, width=160)
    for table in api.describe_schema(part):
        console.print(table)


def _lines(arguments: argparse.Namespace) -> list[str]:
    if arguments.plan:
        return show_plan(arguments.plan, arguments.set)
    if arguments.sweep:
        return show_sweep(arguments.sweep, arguments.set)
    if arguments.recipe is not None:
        return show_recipe(arguments.recipe, arguments.set)
    return [f"{name:24} {about}".rstrip() for name, about in api.list_recipes(_kind(arguments)).items()]


def show_recipe(name: str, overrides: Sequence[str]) -> list[str]:
    """Return a recipe, or the recipe of a run: where it comes from, its components, every value."""
    found = api.describe(name, overrides)
    signs = {True: "on ", False: "off", None: "?  "}
    head = [found.doc, ""] * bool(found.doc) if found.status is None else _status_lines(name, found.status)
    head += ["loss         images per loss not recorded"] * (found.images_per_loss == "not recorded")
    rows = [f"{one.name:12} {signs[one.on]}  {one.text}" for one in found.components]
    note = [f"{'':13}of the config alone, because {found.absent}"] if found.absent else []
    return [*head, f"fingerprint  {found.fingerprint}", *note, *rows, "", found.text]


def show_plan(name: str, overrides: Sequence[str]) -> list[str]:
    """Return a plan: what it measures, then each row with its fingerprint, the paper's numbers and its overrides."""
    plan = api.load_plan(name)
    runs = {run.row: run for run in plan.expand(seeds=plan.seeds[:1], sets=api.override_values(overrides))}
    lines = [f"{plan.doc.strip() or plan.title}\n", f"base         {plan.base}"]
    seeds = f"{len(plan.seeds)} seeds ({', '.join(map(str, plan.seeds))})"
    lines.append(f"runs         {len(plan.trained)} rows x {seeds}")
    for column in plan.columns:
        split = f", {column.split}" if column.split else ""
        lines.append(f"column       {column.label}: {column.metric}, protocol {column.measured}{split}")
    lines.append(f"compared     with {'the row before' if plan.compare == 'previous' else plan.compare}")
    lines += [f"every row    {path}={value!r}" for path, value in plan.set.items()]
    if absent := next((run.absent for run in runs.values() if run.absent), ""):
        lines.append(f"fingerprints of configs alone, because {absent}")
    wide, label = (
        max(len(text) for text in texts) for texts in zip(*((r.key, r.label) for r in plan.rows), strict=True)
    )
    for row in plan.rows:
        known = (column for column in plan.columns if column.key in row.paper)
        paper = ", ".join(f"{column.label} {row.paper[column.key]:g}" for column in known)
        paper = f"  paper: {paper}" if paper else ""
        name = runs[row.key].fingerprint if row.trained else "printed" if row.printed else "label maps"
        lines.append(f"{row.key:{wide}}  {name:12}  {row.label:{label}}{paper}".rstrip())
        changes = [f"{path}={value!r}" for path, value in row.overrides.items()]
        more = [f"base {row.base}"] * bool(row.base) + changes + [row.note] * bool(row.note)
        lines += [f"{'':{wide}}  {line}" for line in more]
    return [*lines, "", plan.reference] if plan.reference else lines


def show_sweep(name: str, overrides: Sequence[str]) -> list[str]:
    """Return a sweep: what it searches, and the points it starts from with their fingerprints."""
    sweep = api.load_sweep(name, overrides)
    lines = [f"{sweep.doc.strip() or sweep.title}\n", f"base {sweep.base}"]
    lines += [f"every trial: {path} = {value!r}" for path, value in sweep.set.items()]
    lines += [*api.describe_search(sweep), "starts from"]
    starts = [sweep.run(start) for start in sweep.start_from]
    if absent := next((run.absent for run in starts if run.absent), ""):
        lines.append(f"    fingerprints of configs alone, because {absent}")
    for i, planned in enumerate(starts):
        lines.append(f"    trial {i}  {planned.fingerprint}  {planned.row}")
    return [*lines, f"{sweep.trials} trials of {sweep.evaluations} evaluations each"]


def _status_lines(folder: str, status: Status) -> list[str]:
    lines = [
        f"run          {folder}",
        f"state        {status.state}, iteration {status.iteration} of {status.iterations}",
        f"trained      {status.seconds:.0f} s on {status.host}, seed {status.seed}",
        f"code         {status.commit or 'no checkout'}{' with changes' if status.dirty else ''}",
        f"versions     {', '.join(f'{k} {v}' for k, v in (status.versions or {}).items() if v)}",
        f"command      {' '.join(status.command)}",
        *([f"begun as     {status.beginning.told}"] if status.beginning else []),
        *(f"{'stretches' if n == 0 else '':12} {line}" for n, line in enumerate(api.run_stretches(status))),
    ]
    return [*lines, f"error        {status.error}"] if status.error else lines
