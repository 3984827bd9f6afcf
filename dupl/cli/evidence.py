"""``dupl export`` and ``dupl verify``."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, recipe_options, say, stderr, store_options
from dupl.errors import UserError
from dupl.terminal import printable


def add_export(commands: Any) -> None:
    """Declare ``dupl export``."""
    parser = command(
        commands,
        "export",
        run_export,
        "write the archive of a table: its numbers and all that they follow from, for dupl verify",
        "  dupl export table4_components --out table4.zip\n"
        "  dupl export table4_components --out table4.zip --anonymous     without hosts, users, paths, commits\n"
        "  dupl export demo_table4 --rows baseline L_reg --seeds 0 1 --out two.zip\n"
        "  dupl export dta_anf --out search.zip                            the trials of a sweep\n"
        "  dupl export runs/RUN runs/OTHER --out runs.zip                  runs by their folders or ids\n",
    )
    parser.add_argument("what", metavar="PLAN|SWEEP|RUN", nargs="+", help="a plan, a sweep, or runs: folders or ids")
    parser.add_argument("--out", type=Path, metavar="FILE.zip", required=True, help="the archive to write")
    parser.add_argument(
        "--anonymous",
        action="store_true",
        help="leave out what names people, machines and places, and uncommitted changes of the code",
    )
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="keys of a plan's rows; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="seeds; default: the plan's")
    parser.add_argument(
        "--masks", nargs="+", default=[], metavar="NAME", help="further rows: label maps that dupl eval --masks scored"
    )
    parser.add_argument("--storage", metavar="URL", help="storage of a sweep's study; default: SQLite in the store")
    recipe_options(parser)
    store_options(parser)


def run_export(arguments: argparse.Namespace) -> int:
    """Run ``dupl export``."""
    names = arguments.what
    one = len(names) == 1 and (api.is_plan(names[0]) or api.is_sweep(names[0]))
    options = ["--anonymous"] if arguments.anonymous else []
    for name in ("rows", "seeds", "masks", "set", "data", "call"):
        value = getattr(arguments, name)
        options += [f"--{name}", *map(str, value if isinstance(value, list) else [value])] if value else []
    found = api.export_evidence(
        names[0] if one else names,
        arguments.out,
        arguments.root,
        rows=arguments.rows,
        seeds=arguments.seeds,
        overrides=arguments.set or None,
        data=arguments.data,
        call=arguments.call,
        masks=arguments.masks,
        storage=arguments.storage,
        anonymous=arguments.anonymous,
        command=shlex.join(["dupl", "export", *names, *options, "--out", arguments.out.name]),
        tell=say(stderr()),
    )
    *_, told, _ = found.verification.lines()
    print(printable(f"written to {found.path}, {found.size / 1e6:.1f} MB: {told}"))
    if not found.verification.proven:
        say(stderr())(f"not every cell is proven: dupl verify {found.path} says why")
    return 0


def add_verify(commands: Any) -> None:
    """Declare ``dupl verify``."""
    parser = command(
        commands,
        "verify",
        run_verify,
        "compute every cell, interval and star of an archive again, without torch, network or store",
        "  dupl verify table4.zip                 cell by cell: proven, or why not; exit code 1 where one is not\n"
        "  dupl verify table4.zip --json          the same for other programs\n",
    )
    parser.add_argument("files", metavar="FILE.zip", nargs="+", type=Path, help="archives of dupl export")
    json_option(parser, "print what became of each cell as JSON")


def run_verify(arguments: argparse.Namespace) -> int:
    """Run ``dupl verify``."""
    found, refused = dict[str, Any](), list[UserError]()
    for file in arguments.files:
        try:
            found[str(file)] = one = api.verify_evidence(file)
        except UserError as error:
            refused.append(error)
            continue
        if not arguments.json:
            print(printable("\n".join(one.lines())))
    if arguments.json:
        print_json({name: {**asdict(one), "proven": one.proven} for name, one in found.items()})
    for other in refused[:-1]:
        say(stderr())(f"dupl: {printable(str(other))}")
    if refused:
        raise refused[-1]
    return 0 if all(one.proven for one in found.values()) else 1
