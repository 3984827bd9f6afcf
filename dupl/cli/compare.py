"""``dupl compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command, progress_bar, recipe_options, stderr
from dupl.errors import UserError


def add_compare(commands: Any) -> None:
    """Declare ``dupl compare``."""
    parser = command(
        commands,
        "compare",
        run_compare,
        "show trained methods side by side on the same images: image, truth, CAM and mask of each",
        "  dupl compare runs/TOCO runs/DUPL --out compare.png          where they differ most, by IoU of the image\n"
        "  dupl compare runs/TOCO runs/DUPL --images worst --count 10 --out compare.html\n"
        "  dupl compare runs/TOCO runs/DUPL --images random --seed 3 --out compare.pdf\n"
        "  dupl compare runs/TOCO runs/DUPL --images 2007_000033 2007_000129 --out compare.png\n"
        "  dupl compare runs/DUPL --masks deeplab --out compare.png    beside label maps of dupl eval --masks\n",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs, or NAME=FOLDER for the headings")
    parser.add_argument(
        "--images",
        nargs="+",
        default=["difference"],
        metavar="RULE|NAME",
        help="difference (of the last run's IoU to the first one's; default), best or worst (by the last run's IoU), "
        "random, or names of images",
    )
    parser.add_argument("--count", type=int, default=6, metavar="N", help="images that a rule chooses; default: 6")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random choice; default: 0")
    parser.add_argument(
        "--kind", choices=["seg", "cam"], default="seg", help="whose IoU counts: masks (seg; default) or CAMs (cam)"
    )
    parser.add_argument(
        "--masks", nargs="+", default=[], metavar="NAME", help="label maps that dupl eval --masks scored"
    )
    parser.add_argument("--split", default="val", help="entry of the first run's data; default: val")
    parser.add_argument("--out", type=Path, default=Path("compare.png"), metavar="FILE", help=".png, .pdf or .html")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="store of the label maps; default: runs")
    recipe_options(parser)


def run_compare(arguments: argparse.Namespace) -> int:
    """Run ``dupl compare``."""
    console = stderr()
    with progress_bar("methods", console) as progress:
        written = api.write_comparison(
            _named(arguments.runs),
            arguments.out,
            masks=arguments.masks,
            store=arguments.root,
            images=arguments.images[0] if len(arguments.images) == 1 else arguments.images,
            count=arguments.count,
            seed=arguments.seed,
            split=arguments.split,
            kind=arguments.kind,
            overrides=arguments.set,
            progress=progress,
        )
    print(written)
    return 0


def _named(words: list[str]) -> dict[str, str]:
    """Return folders by the names to show.

    Raises:
        UserError: Two have the same name.
    """
    found: dict[str, str] = {}
    for word in words:
        name, _, folder = word.rpartition("=")
        shown = name or Path(folder).name
        if shown in found:
            raise UserError(f"two runs are called {shown}: give NAME=FOLDER")
        found[shown] = folder
    return found
