"""``dupl infer``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl.cli.common import RUN_OR_RECIPE, command, crf_options, progress_bar, recipe_options, stderr
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
        help="class names for all images, or a CSV with columns image,tags; predicted by default. "
        "They choose the CAMs; masks do not depend on them",
    )
    parser.add_argument("--student", default="mean", help="1, 2 or mean of both; mean by default")
    parser.add_argument("--checkpoint", help="best, last or a file; best by default")
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
        help="label a list of VOC by the final protocol, and pack results.tgz in --out; repeated, it goes on",
    )
    server.add_argument("--root", type=Path, help="VOC's folder: JPEGImages and ImageSets")
    server.add_argument("--split", default="test", help="the list of ids; test by default")
    crf_options(server)
    recipe_options(parser)


def run_submission(arguments: argparse.Namespace) -> int:
    """``dupl infer --voc-submission``."""
    if arguments.images or arguments.tags or arguments.root is None:
        raise UserError("--voc-submission takes --root VOC2012 and --out DIR, and neither images nor --tags")

    from dupl.engine.evaluation.checkpoint import Choice
    from dupl.engine.evaluation.submission import submit
    from dupl.engine.restore import restore

    console = stderr()
    restored = restore(arguments.run_or_recipe, arguments.checkpoint, arguments.set)
    choice = Choice("final", (arguments.student,), arguments.crf, arguments.crf_backend, arguments.present_only)
    with progress_bar(f"label {arguments.split}", console) as progress:
        archive = submit(restored, arguments.root, arguments.split, arguments.out, choice, progress)
    console.print(f"complete; upload {archive}", soft_wrap=True)
    return 0


def run_infer(arguments: argparse.Namespace) -> int:
    """``dupl infer``."""
    if arguments.voc_submission:
        return run_submission(arguments)
    from dupl.engine.error_explanations import plain_errors
    from dupl.engine.infer import claim, find_images, infer, read_tags
    from dupl.engine.restore import restore

    console = stderr()
    files = find_images(arguments.images)
    restored = restore(arguments.run_or_recipe, arguments.checkpoint, arguments.set)
    classes = restored.classes()
    tags = read_tags(arguments.tags, files, classes) if arguments.tags is not None else None
    model = restored.model(classes)
    students = ["mean", *(str(i + 1) for i in range(len(model.students)))]
    if arguments.student not in students:
        raise UserError(f"--student {arguments.student}: this model has {', '.join(students)}")
    facts = {"weights": str(restored.checkpoint), "student": arguments.student, "size": restored.config.evaluation.size}
    claim(arguments.out, {"protocol": "one scale, no CRF", **facts, "tags": arguments.tags})
    with plain_errors("smaller images"), progress_bar("infer", console) as progress:
        passed = infer(
            model,
            files,
            classes,
            restored.config.evaluation.size,
            arguments.out,
            tags=tags,
            student=arguments.student,
            progress=progress,
        )
    for line in passed:
        console.print(f"passed over: {line}", soft_wrap=True, markup=False)
    console.print(f"{len(files) - len(passed)} of {len(files)} images written to {arguments.out}", soft_wrap=True)
    return 2 if passed else 0
