"""``dupl doctor``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, recipe_options

SIGNS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


def add_doctor(commands: Any) -> None:
    """Declare ``dupl doctor``."""
    parser = command(
        commands,
        "doctor",
        run_doctor,
        "what this machine has and lacks for training, what would fail, and how to fix it",
        "  dupl doctor                    packages, GPU, compiler, CRF, wandb, disk\n"
        "  dupl doctor voc/dupl           and what the recipe needs: data, model, weights, disk\n"
        "  dupl doctor voc/dupl --deep    and a training step and an evaluation of two images\n"
        "  dupl doctor --json             for scripts; exit code 1 where something needed fails\n",
    )
    parser.add_argument("recipe", nargs="?", help="a recipe whose needs are checked too")
    parser.add_argument(
        "--deep", action="store_true", help="load the recipe's weights, train on two images and evaluate two"
    )
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    json_option(parser, "a list of findings: name, state, found, fix")
    recipe_options(parser)


def run_doctor(arguments: argparse.Namespace) -> int:
    """Run ``dupl doctor``."""
    found = api.diagnose(arguments.recipe, arguments.set, arguments.root, deep=arguments.deep)
    failed = [one for one in found if one.state == "fail"]
    if arguments.json:
        print_json([asdict(one) for one in found])
        return 1 if failed else 0
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{SIGNS[one.state]}  {one.name:{width}}  {one.found}")
        if one.fix:
            print(f"      {'':{width}}  -> {one.fix}")
    print(
        f"\n{len(failed)} of {len(found)} would make training fail" if failed else "\nnothing would make training fail"
    )
    return 1 if failed else 0
