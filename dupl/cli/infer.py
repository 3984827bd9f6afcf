"""``dupl infer``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import RUN_OR_RECIPE, command, crf_options, progress_bar, recipe_options, say, stderr
from dupl.errors import UserError


def add_infer(commands: Any) -> None:
    """Declare ``dupl infer``."""
    parser = command(
        commands,
        "infer",
        run_infer,
        "segment images: masks (palette PNG), overlays, CAM heat maps, and a page of them",
        "  dupl infer photos/ --out out/                            with the newest run of runs/\n"
        "  dupl infer runs/RUN photos/ --out out/\n"
        "  dupl infer photos/ --out out/ --export coco labelme\n"
        "  dupl infer runs/RUN cat.jpg --out out/ --tags cat\n"
        "  dupl infer runs/RUN photos/ --out out/ --tags tags.csv\n"
        "  dupl infer voc/dupl_released --checkpoint released.pth photos/ --out out/\n"
        "  dupl infer runs/RUN --split train --by-tags --out out/   pseudo-labels to train another network on\n"
        "  dupl infer runs/RUN --voc-submission --root /data/VOC2012 --out submission/\n",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="[RUN] IMAGES",
        default=[],
        help=f"image files, or folders of them; before them {RUN_OR_RECIPE}; default: the newest run of runs/",
    )
    parser.further = "images"
    parser.add_argument("--out", type=Path, required=True, help="folder for masks/, overlays/, cams/ and tags.csv")
    parser.add_argument(
        "--tags",
        help="class names for all images, or a CSV file with the columns image and tags; default: predicted. "
        "CAMs are made of these classes; masks do not depend on them without --by-tags",
    )
    parser.add_argument(
        "--by-tags", action="store_true", help="let masks hold only background and the tags, given or predicted"
    )
    parser.add_argument(
        "--student",
        help="1, 2, mean, or best: the better one on val at these weights; default: best, or mean where nothing was "
        "scored",
    )
    parser.add_argument("--checkpoint", help="last (default), best or a file")
    parser.add_argument(
        "--export",
        nargs="+",
        choices=["coco", "yolo", "labelme", "cvat"],
        default=[],
        help="write the masks in further formats: COCO run lengths, or polygons of YOLO, LabelMe or CVAT",
    )
    parser.add_argument(
        "--split",
        help="without images: entry of the recipe's data, such as train; with --by-tags its CAM pseudo-labels are "
        "written as masks/; with --voc-submission a list of image ids, default: test",
    )
    server = parser.add_argument_group("PASCAL VOC test server")

    server.add_argument(
        "--voc-submission",
        action="store_true",
        help="label a list of VOC by the final protocol, and pack results.tgz in --out; repeated, it continues",
    )
    server.add_argument("--root", type=Path, help="folder of VOC, with JPEGImages and ImageSets")
    crf_options(server)
    recipe_options(parser)


def run_submission(arguments: argparse.Namespace) -> int:
    """Run ``dupl infer --voc-submission``."""
    run, *images = arguments.images
    given = images or arguments.tags or arguments.by_tags or arguments.export
    if given or arguments.root is None:
        raise UserError("--voc-submission takes --root VOC2012 and --out DIR, and neither images, tags nor --export")

    console, split = stderr(), arguments.split or "test"
    with progress_bar(f"label {split}", console) as progress:
        archive = api.submit_voc(
            run,
            arguments.root,
            arguments.out,
            split=split,
            checkpoint=arguments.checkpoint,
            student=arguments.student or "mean",
            crf=arguments.crf,
            crf_backend=arguments.crf_backend,
            present_only=arguments.present_only,
            overrides=arguments.set,
            progress=progress,
        )
    console.print(f"complete; upload {archive}", soft_wrap=True)
    return 0


def run_pseudo_labels(arguments: argparse.Namespace) -> int:
    """Run ``dupl infer --split``."""
    run, *images = arguments.images
    if images or arguments.tags or arguments.export or arguments.root is not None or arguments.crf is not None:
        raise UserError(
            "--split writes pseudo-labels of a split of the recipe's data: it takes a run or a recipe, --by-tags, "
            "--out, --student, --checkpoint and --set, and neither images, --tags, --export, --root nor --crf"
        )
    if not arguments.by_tags:
        raise UserError("--split writes pseudo-labels of the images' tags: add --by-tags to say so")
    console = stderr()
    lines: list[str] = []
    with progress_bar(f"label {arguments.split}", console) as progress:
        found = api.write_pseudo_labels(
            run,
            arguments.split,
            arguments.out,
            checkpoint=arguments.checkpoint,
            student=arguments.student,
            overrides=arguments.set,
            progress=progress,
            tell=lines.append,
        )
    for line in lines:
        say(console)(line)
    metric = next((name for name in found if name.startswith("cam/") and "/best/" not in name), "")
    print(f"{metric} {found[metric]:.1f} %" if metric else "no image of the split has a mask: nothing was scored")
    say(console)(f"written to {arguments.out / 'masks'}")
    return 0


def _run_and_images(words: list[str], checkpoint: str | None, tell: Callable[[str], None]) -> tuple[str, list[str]]:
    """Return the run, or the recipe of a checkpoint, and the images; the newest run where none is named.

    Args:
        words: What stands on the command line.
        checkpoint: The option, which says that a recipe stands first.
        tell: Called with a line on the run that was taken.
    """
    first, *others = words
    if api.is_run(first) or (others and (checkpoint is not None or not _may_be_images(Path(first)))):
        if not others:
            raise UserError(f"{first} is a run: which images? dupl infer {first} PHOTOS --out DIR")
        return first, others
    newest = api.newest_run()
    tell(f"run {newest}: the newest finished one; name another before the images")
    return str(newest), words


def _may_be_images(path: Path) -> bool:
    """Return whether a path may name images: a file that is no recipe, or a folder with a file in it."""
    if path.is_dir():
        return any(child.is_file() and not child.name.startswith(".") for child in path.iterdir())
    return path.is_file() and path.suffix != ".py"


def run_infer(arguments: argparse.Namespace) -> int:
    """Run ``dupl infer``."""
    if arguments.voc_submission:
        return run_submission(arguments)
    if arguments.split:
        return run_pseudo_labels(arguments)

    given = {
        "--root": arguments.root,
        "--crf": arguments.crf,
        "--crf-backend": arguments.crf_backend,
        "--present-only": arguments.present_only or None,
    }
    if useless := [option for option, value in given.items() if value is not None]:
        raise UserError(f"{', '.join(useless)}: only with --voc-submission; masks of photos are made without CRF")
    console = stderr()
    lines: list[str] = []
    run, images = _run_and_images(arguments.images, arguments.checkpoint, lines.append)
    with progress_bar("infer", console) as progress:
        written, skipped = api.predict_folder(
            run,
            images,
            arguments.out,
            checkpoint=arguments.checkpoint,
            tags=arguments.tags,
            student=arguments.student,
            by_tags=arguments.by_tags,
            export=arguments.export,
            overrides=arguments.set,
            progress=progress,
            tell=lines.append,
        )
    for line in lines:
        say(console)(line)
    for line in skipped:
        console.print(f"skipped: {line}", soft_wrap=True, markup=False)
    count = f"{written} of {written + len(skipped)} images written to {arguments.out}"
    say(console)(f"{count}; their page is {arguments.out / 'index.html'}")
    return 2 if skipped else 0
