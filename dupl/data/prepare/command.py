"""The command `dupl data prepare`: its options, and its run with a progress bar."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

HELP = "download, verify, unpack and convert a public data set; what is done is skipped"
EXAMPLES = (
    "  dupl data prepare voc --root data/voc12 --dry-run\n"
    "  dupl data prepare voc --root data/voc12        VOC 2012: photos, masks, lists, tags.csv\n"
    "  dupl data prepare sbd --root data/voc12        then SBD: SegmentationClassAug, train_aug\n"
    "  dupl data prepare coco --root data/coco14      COCO 2014: photos, tags, masks\n"
    "  dupl data prepare coco --root data/coco14 --from ~/downloads\n"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("dataset", choices=["voc", "sbd", "coco"], help="which one; sbd goes into voc's root")
    parser.add_argument(
        "--root", type=Path, required=True, help="folder of the data set; downloads go to its archives/"
    )
    parser.add_argument("--from", type=Path, dest="source", metavar="DIR", help="folder that has the archives already")
    parser.add_argument("--mirror", metavar="URL", help="address of a folder with the archives, for their owners'")
    parser.add_argument("--dry-run", action="store_true", help="list the steps, their sizes and the free disk")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Prepare a data set; return the exit code.

    Raises:
        UserError: A step failed; what is done stays.
    """
    from rich.progress import Progress

    from dupl.data.prepare import coco, sbd, voc
    from dupl.data.prepare.steps import Place, listing
    from dupl.data.prepare.steps import run as run_steps

    root, source = arguments.root.expanduser(), arguments.source and arguments.source.expanduser()
    if source is not None and not source.is_dir():
        raise UserError(f"--from {source}: no such folder")
    make = dict(voc=voc.steps, sbd=sbd.steps, coco=coco.steps)[arguments.dataset]
    if arguments.dry_run:
        print("\n".join(listing(root, make(Place(root, source, arguments.mirror)))))
        return 0
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        doing = [""]

        def tick(what: str, done: int, total: int | None) -> None:
            if what != doing[0]:
                doing[0] = what
                bar.reset(task, description=what)
                if not console.is_terminal:  # a log: what it is at, no bar
                    console.print(f"{what} ...", soft_wrap=True)
            bar.update(task, completed=done, total=total)

        place = Place(root, source, arguments.mirror, tick)
        run_steps(root, make(place), lambda line: console.print(line, soft_wrap=True))
    return 0
