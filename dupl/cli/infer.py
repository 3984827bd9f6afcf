"""``dupl infer``."""

from __future__ import annotations

import argparse
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
        "segment images: masks (palette PNG), overlays and CAM heat maps",
        "  dupl infer runs/RUN photos/ --out out/\n"
        "  dupl infer runs/RUN cat.jpg --out out/ --tags cat\n"
        "  dupl infer runs/RUN photos/ --out out/ --tags tags.csv\n"
        "  dupl infer voc/dupl_released --checkpoint released.pth photos/ --out out/\n"
        "  dupl infer runs/RUN --voc-submission --root /data/VOC2012 --out submission/\n",
    )
    parser.add_argument("run_or_recipe", help=RUN_OR_RECIPE)
    images = parser.add_argument("images", nargs="+", type=Path, default=[], help="image files, or folders of them")
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
    server = parser.add_argument_group("PASCAL VOC test server")

    class Submission(argparse.Action):
        """The flag, which does without images; an optional positional would swallow none before later options."""

        def __call__(self, parser: Any, namespace: argparse.Namespace, *_: Any) -> None:
            namespace.voc_submission, images.required = True, False

    server.add_argument(
        "--voc-submission",
        action=Submission,
        nargs=0,
        default=False,
        help="label a list of VOC by the final protocol, and pack results.tgz in --out; repeated, it continues",
    )
    server.add_argument("--root", type=Path, help="folder of VOC, with JPEGImages and ImageSets")
    server.add_argument("--split", help="list of image ids; default: test")
    crf_options(server)
    recipe_options(parser)


def run_submission(arguments: argparse.Namespace) -> int:
    """Run ``dupl infer --voc-submission``."""
    if arguments.images or arguments.tags or arguments.by_tags or arguments.root is None:
        raise UserError("--voc-submission takes --root VOC2012 and --out DIR, and neither images nor tags")

    console, split = stderr(), arguments.split or "test"
    with progress_bar(f"label {split}", console) as progress:
        archive = api.submit_voc(
            arguments.run_or_recipe,
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


def run_infer(arguments: argparse.Namespace) -> int:
    """Run ``dupl infer``."""
    if arguments.voc_submission:
        return run_submission(arguments)

    given = {
        "--root": arguments.root,
        "--split": arguments.split,
        "--crf": arguments.crf,
        "--crf-backend": arguments.crf_backend,
        "--present-only": arguments.present_only or None,
    }
    if useless := [option for option, value in given.items() if value is not None]:
        raise UserError(f"{', '.join(useless)}: only with --voc-submission; masks of photos are made without CRF")
    console = stderr()
    lines: list[str] = []
    with progress_bar("infer", console) as progress:
        written, skipped = api.predict_folder(
            arguments.run_or_recipe,
            arguments.images,
            arguments.out,
            checkpoint=arguments.checkpoint,
            tags=arguments.tags,
            student=arguments.student,
            by_tags=arguments.by_tags,
            overrides=arguments.set,
            progress=progress,
            tell=lines.append,
        )
    for line in lines:
        say(console)(line)
    for line in skipped:
        console.print(f"skipped: {line}", soft_wrap=True, markup=False)
    console.print(
        f"{written} of {written + len(skipped)} images written to {arguments.out}", soft_wrap=True, markup=False
    )
    return 2 if skipped else 0
