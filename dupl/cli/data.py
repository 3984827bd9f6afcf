"""``dupl data check`` and ``dupl data prepare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl.cli.common import command, recipe_options, resolved, stderr


def add_data(commands: Any) -> None:
    """Declare ``dupl data``."""
    parser = commands.add_parser("data", help="verify or prepare data sets", description="Verify or prepare data sets.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = command(
        actions,
        "check",
        run_data_check,
        "verify the data sets of a recipe before training",
        "  dupl data check voc/dupl\n"
        "  dupl data check voc/dupl --set data.train.root=/data/VOC2012 data.val.root=/data/VOC2012\n",
    )
    check.add_argument("recipe", help="a name that `dupl show` lists, or a file")
    check.add_argument("--limit", type=int, default=50, help="most problems to print; 50 by default")
    recipe_options(check)
    prepare = command(
        actions,
        "prepare",
        run_data_prepare,
        "download, verify, unpack and convert a public data set; what is done is skipped",
        "  dupl data prepare voc --root data/voc12 --dry-run\n"
        "  dupl data prepare voc --root data/voc12        VOC 2012: photos, masks, lists, tags.csv\n"
        "  dupl data prepare sbd --root data/voc12        then SBD: SegmentationClassAug, train_aug\n"
        "  dupl data prepare coco --root data/coco14      COCO 2014: photos, tags, masks\n"
        "  dupl data prepare coco --root data/coco14 --from ~/downloads\n",
    )
    prepare.add_argument("dataset", choices=["voc", "sbd", "coco"], help="which one; sbd goes into voc's root")
    prepare.add_argument("--root", type=Path, required=True, help="folder of the set; downloads go to its archives/")
    prepare.add_argument("--from", type=Path, dest="source", metavar="DIR", help="folder that has the archives already")
    prepare.add_argument("--mirror", metavar="URL", help="web folder with the archives, instead of their owners'")
    prepare.add_argument("--dry-run", action="store_true", help="list the steps, their sizes and the free disk")


def run_data_check(arguments: argparse.Namespace) -> int:
    """``dupl data check``."""
    config = resolved(arguments.recipe, arguments.set)

    from rich.progress import Progress

    from dupl.data.check import check_datasets
    from dupl.engine import build

    splits = [k for k, v in config.data.items() if isinstance(v, dict) and "type" in v]
    sources = {split: build.build_dataset(config, split) for split in splits}
    with Progress(console=stderr(), transient=True) as bar:
        task = bar.add_task("check", total=None)
        report = check_datasets(sources, lambda done, total: bar.update(task, completed=done, total=total))
    print("\n".join(report.lines(arguments.limit)))
    return 0 if report.ok else 2


def run_data_prepare(arguments: argparse.Namespace) -> int:
    """``dupl data prepare``."""
    from dupl.data.prepare.command import prepare

    prepare(arguments.dataset, arguments.root, stderr(), arguments.source, arguments.mirror, dry_run=arguments.dry_run)
    return 0
