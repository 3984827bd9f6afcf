"""``dupl power``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, recipe_options, say, stderr
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.api import ColumnForecast


def add_power(commands: Any) -> None:
    """Declare ``dupl power``."""
    parser = command(
        commands,
        "power",
        run_power,
        "forecast what a table can show before it is computed: differences, seeds, probabilities",
        "  dupl power table4_components                                   from the spread of runs in the store\n"
        "  dupl power table4_components --spread 1.8,0.9 --seeds 3 5 10   from points over seeds, images\n"
        "  dupl power table4_components --spread 1.8,0.9 --out power.pdf   the same as curves\n"
        "  dupl power --spread 1.8,0.9 --difference 2 3 --changes 5       without a plan\n",
    )
    parser.add_argument("plan", nargs="?", help="a plan that `dupl show --plan` lists, or a file")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="keys of rows; default: all")
    spread_option(parser)
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[3, 5, 10], metavar="N", help="numbers of seeds; default: 3 5 10"
    )
    parser.add_argument(
        "--difference", nargs="+", type=float, default=[], metavar="POINTS", help="differences, beside the paper's"
    )
    parser.add_argument("--changes", type=int, metavar="N", help="changes that Holm corrects over; default: the plan's")
    parser.add_argument(
        "--power", type=float, default=0.8, metavar="SHARE", help="probability to be reached; default: 0.8"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="draw the curves into a .pdf, .svg or .png")
    json_option(parser, "print the forecasts as JSON")
    recipe_options(parser)


def spread_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--spread``, for the commands that forecast power."""
    parser.add_argument(
        "--spread",
        metavar="SEEDS,IMAGES",
        help="points by which a change varies: standard deviation over seeds, standard error over images; "
        "default: what runs in the store show",
    )


def run_power(arguments: argparse.Namespace) -> int:
    """Run ``dupl power``."""
    if (low := min(arguments.seeds)) < 1:
        raise UserError(f"--seeds {low}: give numbers of seeds from 1 on")
    found = api.forecast_power(
        arguments.plan,
        arguments.root,
        rows=arguments.rows,
        overrides=arguments.set,
        spread=arguments.spread,
        differences=arguments.difference,
        changes=arguments.changes,
        seeds=arguments.seeds[0],
        power=arguments.power,
    )
    if arguments.json:
        print_json([[asdict(one.with_seeds(seeds)) for seeds in arguments.seeds] for one in found])
    else:
        for one in found:
            _print(one, arguments.seeds)
    if arguments.out is not None:
        title = f"Power of {arguments.plan or 'a change'}"
        say(stderr())(f"written to {api.write_power_chart(found, arguments.out, arguments.seeds, title)}")
    return 0


def _print(one: ColumnForecast, numbers: Sequence[int]) -> None:
    """Print what a column can show: a row for each number of seeds, then how many seeds the differences need."""
    from rich.table import Table
    from rich.text import Text

    from dupl.terminal import printable, safe_console

    console = safe_console(highlight=False, markup=False)
    console.print(printable(f"{one.label}: {api.power_source(one)}"), soft_wrap=True)
    if one.spread is None:
        return
    table, share = Table(box=None, pad_edge=False), f"{100 * one.power:g} %"
    heads = ["seeds", f"{share} at", "Holm", *(f"{need.label}, {need.change:+.1f}" for need in one.needs)]
    for head in heads:
        table.add_column(Text(printable(head)), justify="right")
    for number in numbers:
        made = one.with_seeds(number)
        sizes = ["–" if size is None else f"{size:.1f}" for size in (made.smallest, made.corrected)]
        table.add_row(str(number), *sizes, *(f"{100 * need.probability:.0f} %" for need in made.needs))
    if one.needs:
        table.add_row("needed", "", "", *(api.seeds_in_words(need.seeds) for need in one.needs))
        table.add_row("Holm", "", "", *(api.seeds_in_words(need.corrected) for need in one.needs))
    console.print(table)
    over = f"{one.changes} change{'s' * (one.changes > 1)}"
    console.print(
        f"{share} at: the change, in points, that gets p < 0.05 so often; columns of differences: how often each does; "
        f"needed: seeds for {share}; Holm: at the strictest step of the correction over {over}",
        soft_wrap=True,
        style="dim",
    )
