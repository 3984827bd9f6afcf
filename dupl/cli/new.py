"""``dupl new``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command, say, stderr


def add_new(commands: Any) -> None:
    """Declare ``dupl new``."""
    parser = command(
        commands,
        "new",
        run_new,
        "write a recipe for your own photos and their tags",
        "  dupl new mine --data mydata\n"
        "  dupl new mine --data photos/ --tags tags.csv --base auto\n"
        "  dupl new mine --data mydata --base voc_animals\n",
    )
    parser.add_argument("name", help="name of the file to write; .py is added")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder of photos, or of images/ and tags.csv"
    )
    parser.add_argument("--tags", type=Path, metavar="CSV", help="default: tags.csv in it, or the folders of classes")
    parser.add_argument(
        "--base",
        default="voc/dupl",
        metavar="RECIPE",
        help="recipe to build on; default: voc/dupl; auto: chosen for this machine, as dupl train FOLDER does",
    )


def run_new(arguments: argparse.Namespace) -> int:
    """Run ``dupl new``."""
    tell = say(stderr())
    print(api.new_recipe(arguments.name, arguments.data, arguments.base, tags=arguments.tags, tell=tell))
    return 0
