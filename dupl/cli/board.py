"""``dupl board``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command, recipe_options, say, stderr
from dupl.errors import UserError

OF_PAGE = ("runs", "plan", "rows", "seeds", "set")  # options of --static


def add_board(commands: Any) -> None:
    """Declare ``dupl board``."""
    parser = command(
        commands,
        "board",
        run_board,
        "show the runs of a store in a browser, kept current while they train, or write a page of them",
        "  dupl board                                      serve runs/ until Ctrl-C; prints the address to open\n"
        "  dupl board --open                               and open it in the browser\n"
        "  dupl board --root /data/runs --port 8080        another store, always at the same port\n"
        "  dupl board --static page.html                   a page of the newest runs, one file without a server\n"
        "  dupl board runs/A runs/B --static page.html     of two runs\n"
        "  dupl board --plan demo_table4 --static page.html    of a plan's runs, named by row\n",
    )
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1; default: a free one")
    parser.add_argument("--open", action="store_true", help="open the address in the browser")
    page = parser.add_argument_group("a page instead of a server")
    page.add_argument("--static", type=Path, metavar="FILE", help="write one HTML file that needs no network, and end")
    page.add_argument("runs", nargs="*", type=Path, help="folders of the runs on it; default: the 20 newest")
    page.add_argument("--plan", help="show this plan's runs, named by row")
    page.add_argument("--rows", nargs="+", metavar="KEY", help="keys of the plan's rows; default: all")
    page.add_argument("--seeds", nargs="+", type=int, metavar="N", help="seeds of the plan; default: its own")
    recipe_options(parser)


def run_board(arguments: argparse.Namespace) -> int:
    """Run ``dupl board``."""
    if arguments.static is not None:
        print(_page(arguments))
        return 0
    if given := [name for name in OF_PAGE if getattr(arguments, name)]:
        named = "folders of runs are" if given[0] == "runs" else f"--{given[0]} is"
        raise UserError(f"{named} for a page: add --static FILE; the served board shows the whole store")
    if not 0 <= arguments.port < 65536:
        raise UserError(f"--port {arguments.port}: give a port from 0 (any free one) to 65535")

    def begun(address: str) -> None:
        print(address, flush=True)
        say(stderr())("the address is the key: whoever knows it and is on this machine can read the store; Ctrl-C ends")
        if arguments.open:
            import webbrowser

            webbrowser.open(address)

    api.serve_board(arguments.root, port=arguments.port, begun=begun)
    return 0


def _page(arguments: argparse.Namespace) -> Path:
    if not arguments.plan and (arguments.rows or arguments.seeds or arguments.set):
        raise UserError("--rows, --seeds and --set choose among the runs of a plan: add --plan")
    if arguments.plan and arguments.runs:
        raise UserError("--plan names the runs: leave out their folders")
    if arguments.port or arguments.open:
        raise UserError("--port and --open are for the served board: leave out --static")
    return api.write_board(
        arguments.runs,
        arguments.root,
        plan=arguments.plan,
        rows=arguments.rows,
        seeds=arguments.seeds,
        overrides=arguments.set or None,
        out=arguments.static,
        tell=say(stderr()),
    )
