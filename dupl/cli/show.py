"""``dupl show``."""

from __future__ import annotations

import argparse
from typing import Any

from dupl.cli.shared import command, recipe_options, resolved
from dupl.errors import UserError


def add_show(commands: Any) -> None:
    """Declare ``dupl show``."""
    parser = command(
        commands,
        "show",
        run_show,
        "print a recipe: which components are on, its fingerprint, every value; or list the recipes",
        "  dupl show\n  dupl show voc/dupl\n  dupl show runs/RUN\n"
        "  dupl show voc/dupl --set model.students.type=SingleStudent\n",
    )
    parser.add_argument("recipe", nargs="?", help="a recipe or a run's folder; nothing lists the recipes")
    recipe_options(parser)


def run_show(arguments: argparse.Namespace) -> int:
    """``dupl show``."""
    from dupl import recipes
    from dupl.lab.fingerprint import fingerprint
    from dupl.lab.run import Run

    if arguments.recipe is None:
        for name in recipes.names():
            print(f"{name:24} {recipes.docstring(name).strip().partition(chr(10))[0]}".rstrip())
        return 0
    run = Run(arguments.recipe)
    source = str(run.config_path) if run.exists() else arguments.recipe
    config = resolved(source, arguments.set)
    rows = components(config.model)
    print((recipes.docstring(source) or "").strip() + "\n" if not run.exists() else _status_lines(run))
    print(f"fingerprint  {fingerprint(config)}")
    for name, on, what in rows:
        print(f"{name:12} {'on ' if on else 'off'}  {what}")
    print("\n" + recipes.to_text(config))
    return 0


def components(model: dict[str, Any]) -> list[tuple[str, bool, str]]:
    """The five components of a model config: name, whether it is on, its class and arguments."""
    from dupl.method import dupl  # noqa: F401  (registers the components)
    from dupl.registry import COMPONENTS

    places = {
        "DS": "students",
        "L_dis": "discrepancy",
        "DTA": "threshold",
        "ANF": "noise_filter",
        "L_reg": "consistency",
    }
    rows = []
    for name, key in places.items():
        arguments = {k: v for k, v in model[key].items() if k != "type"}
        kind = COMPONENTS.get(model[key]["type"])
        if kind is None:
            known = ", ".join(sorted(COMPONENTS.module_dict))
            raise UserError(f"model.{key}: no component is called {model[key]['type']}; there are {known}")
        on = not getattr(kind, "null", False) and model[key]["type"] != "SingleStudent"
        rows.append((name, on, f"{model[key]['type']}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"))
    return rows


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
