"""``dupl data check``, ``dupl data tags`` and ``dupl data prepare``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import RECIPE, command, json_option, print_json, progress_bar, recipe_options, say, stderr
from dupl.errors import UserError


def add_data(commands: Any) -> None:
    """Declare ``dupl data``."""
    parser = commands.add_parser(
        "data", help="verify, tag or prepare data sets", description="Verify, tag or prepare data sets."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = command(
        actions,
        "check",
        run_data_check,
        "verify the data sets of a recipe before training",
        "  dupl data check voc/dupl\n"
        "  dupl data check voc/dupl --set data.train.root=/data/VOC2012 data.val.root=/data/VOC2012\n",
    )
    check.add_argument("recipe", help=RECIPE)
    check.add_argument(
        "--limit", type=int, default=50, help="maximum number of problems to print of each kind; default: 50"
    )
    json_option(check, "print problems and counts as JSON")
    recipe_options(check)
    tags = command(
        actions,
        "tags",
        run_data_tags,
        "list the photos of a folder, and write a table of their tags to fill in",
        "  dupl data tags photos/\n  dupl data tags photos/ --out photos/tags.csv\n",
    )
    tags.add_argument("photos", type=Path, metavar="FOLDER", help="photos, or one folder of photos per class")
    tags.add_argument("--out", type=Path, default=Path("tags.csv"), help="the table; default: tags.csv")
    json_option(tags, "print the file and the number of photos by tag as JSON")
    prepare = command(
        actions,
        "prepare",
        run_data_prepare,
        "download, verify, unpack and convert a public data set; what is done is skipped",
        "  dupl data prepare voc --root data/voc12 --dry-run\n"
        "  dupl data prepare voc --root data/voc12        VOC 2012: photos, masks, lists, tags.csv\n"
        "  dupl data prepare sbd --root data/voc12        then SBD: SegmentationClassAug, train_aug\n"
        "  dupl data prepare coco --root data/coco14      COCO 2014: photos, tags, masks\n"
        "  dupl data prepare coco --root data/coco14 --from ~/downloads\n"
        "  dupl data prepare weights voc/dupl             the weights of a recipe's backbone, or of a model of timm\n",
    )
    prepare.add_argument(
        "dataset",
        choices=["voc", "sbd", "coco", "weights"],
        help="which data set; sbd goes into the folder of voc; weights go into the hub's cache, also for compute nodes",
    )
    prepare.add_argument("name", nargs="?", metavar="NAME", help="of weights: a recipe, or a model of timm")
    prepare.add_argument("--root", type=Path, help="folder of the data set; downloads go to archives/ in it")
    prepare.add_argument("--from", type=Path, dest="source", metavar="DIR", help="folder that already has the archives")
    prepare.add_argument(
        "--mirror", metavar="URL", help="web folder with the archives, instead of the original addresses"
    )
    prepare.add_argument(
        "--dry-run", action="store_true", help="list the steps, their sizes and the free disk space; do nothing"
    )


def run_data_check(arguments: argparse.Namespace) -> int:
    """Run ``dupl data check``."""
    with progress_bar("check", stderr(), transient=True) as progress:
        report = api.check_data(arguments.recipe, arguments.set, progress)
    if arguments.json:
        print_json({"ok": report.ok, **asdict(report)})
    else:
        print("\n".join(report.lines(arguments.limit)))
    return 0 if report.ok else 2


def run_data_tags(arguments: argparse.Namespace) -> int:
    """Run ``dupl data tags``."""
    file, counts = api.write_tag_table(arguments.photos, arguments.out)
    if arguments.json:
        print_json({"file": file, "photos": counts})
        return 0
    for tag, count in sorted(counts.items()):
        print(f"{count:6}  {'without a tag yet' if tag == '?' else tag}")
    print(f"wrote {file}")
    if "?" in counts:
        hint = "replace each ? by the names of the classes in the photo, with spaces between them; leave the cell empty"
        say(stderr())(f"{hint} where there is none; then: dupl train {arguments.photos} --tags {file}")
    return 0


def run_data_prepare(arguments: argparse.Namespace) -> int:
    """Run ``dupl data prepare``."""
    if arguments.dataset == "weights":
        if not arguments.name:
            raise UserError("weights of what? give a recipe or a model of timm: dupl data prepare weights voc/dupl")
        print(api.prepare_weights(arguments.name))
        return 0
    if arguments.name:
        raise UserError(f"{arguments.dataset} takes no {arguments.name!r}: only weights have a name")
    if arguments.root is None:
        raise UserError(f"where does {arguments.dataset} go? add --root DIR")
    api.prepare_data(
        arguments.dataset,
        arguments.root,
        source=arguments.source,
        mirror=arguments.mirror,
        dry_run=arguments.dry_run,
        console=stderr(),
    )
    return 0
