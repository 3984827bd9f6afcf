"""``dupl figure``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command, recipe_options, say, stderr, store_options
from dupl.errors import UserError


def add_figure(commands: Any) -> None:
    """Declare ``dupl figure``."""
    figures = api.paper_figures()
    parser = command(
        commands,
        "figure",
        run_figure,
        "draw a figure of the paper, or curves, from the runs of a store, as PDF, SVG or PNG",
        "  dupl figure 7a --out fig7a.pdf                              runs of the plan fig7a_overactivation\n"
        "  dupl figure 7a demo_table4 --rows baseline L_dis            fig7a.pdf, of another plan's rows\n"
        "  dupl figure 2 demo_table4 --rows baseline L_dis --out fig2.svg\n"
        "  dupl figure 1 runs/A runs/B --out fig1.png                  a point for each run\n"
        "  dupl figure 5 animals_methods --images worst --out fig5.png   CAMs side by side; 6: masks\n"
        "  dupl figure 7b animals_methods --rows toco dupl --out fig7b.pdf\n"
        "  dupl figure 4 runs/RUN --image 2007_000032 --out fig4.pdf\n"
        "  dupl figure curves demo_table4 --rows baseline L_reg --metrics cam/1/mIoU --out over-training.png\n",
    )
    parser.epilog = "figures:\n" + "".join(f"  {n:6} {about}\n" for n, about in figures.items()) + f"\n{parser.epilog}"
    parser.add_argument("number", choices=list(figures), metavar="FIGURE", help=f"one of {', '.join(figures)}")
    parser.add_argument(
        "what", nargs="*", metavar="PLAN|RUN", help="a plan, or folders of runs; default: the plan of the figure"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=".pdf, .svg or .png; default: figFIGURE.pdf")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="keys of the plan's rows; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="seeds; default: the plan's")
    recipe_options(parser)
    store_options(parser)
    parser.add_argument(
        "--map", default="", metavar="MAP", help="2, 7a and 7b: whose label map, such as cam/2; default: cam/1"
    )
    parser.add_argument(
        "--images",
        nargs="+",
        default=["difference"],
        metavar="RULE|NAME",
        help="5 and 6: difference (default), best, worst, random or names, as for dupl compare",
    )
    parser.add_argument("--count", type=int, default=6, metavar="N", help="5 and 6: images that a rule chooses")
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=[],
        metavar="METRIC",
        help="curves: what the runs logged; default: cam/best/mIoU seg/best/mIoU",
    )
    parser.add_argument("--image", default="", metavar="NAME", help="2 and 4: an image of the runs' galleries")
    parser.add_argument("--iteration", type=int, metavar="N", help="4: which iteration; default: the last")


def run_figure(arguments: argparse.Namespace) -> int:
    """Run ``dupl figure``."""
    what = arguments.what
    folders = [name for name in what if api.is_run(name)]
    if len(what) > 1 and len(folders) < len(what):
        other = next(name for name in what if name not in folders)
        raise UserError(f"{other} is no run: give one plan, or folders of runs")
    print(
        api.write_paper_figure(
            arguments.number,
            arguments.out or Path(f"fig{arguments.number}.pdf"),
            None if not what else folders or what[0],
            arguments.root,
            rows=arguments.rows,
            seeds=arguments.seeds,
            overrides=arguments.set or None,
            data=arguments.data,
            call=arguments.call,
            tell=say(stderr()),
            label_map=arguments.map,
            image=arguments.image,
            iteration=arguments.iteration,
            metrics=arguments.metrics,
            images=arguments.images[0] if len(arguments.images) == 1 else arguments.images,
            count=arguments.count,
        )
    )
    return 0
