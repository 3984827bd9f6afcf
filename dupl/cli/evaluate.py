"""``dupl eval``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import (
    RUN_OR_RECIPE,
    command,
    crf_options,
    progress_bar,
    recipe_options,
    say,
    stderr,
    tracking_options,
)


def add_eval(commands: Any) -> None:
    """Declare ``dupl eval``."""
    parser = command(
        commands,
        "eval",
        run_eval,
        "evaluate a run, or a recipe with a checkpoint (of ours, of the released code, of ToCo)",
        "  dupl eval runs/RUN                                    as in training: squashed, no CRF\n"
        "  dupl eval runs/RUN --protocol final                   multi-scale, flip, dense CRF; without it beside\n"
        "  dupl eval runs/RUN --protocol final --no-crf --student best\n"
        "  dupl eval runs/RUN --protocol final --crf-backend pydensecrf --present-only\n"
        "  dupl eval runs/RUN --protocol final --keep-logits     then --set evaluation.crf.srgb=13 takes no network\n"
        "  dupl eval runs/RUN --protocol cam --threshold 0.4     CAMs, and the curve over thresholds\n"
        "  dupl eval runs/RUN --checkpoint best --split train    the weights that were best on val\n"
        "  dupl eval voc/dupl_released --checkpoint released.pth --set data.val.root=/data/VOC2012\n",
    )
    parser.add_argument("run_or_recipe", help=RUN_OR_RECIPE)
    parser.add_argument(
        "--checkpoint",
        help="last (default), best (selected on val during training), another checkpoint of the run by its name "
        "without the ending, or a file",
    )
    parser.add_argument("--split", default="val", help="entry of the recipe's data section; default: val")
    parser.add_argument(
        "--protocol",
        choices=["train", "final", "cam"],
        default="train",
        help="train (default): as during training, for the paper's Tables 1 and 4; final: for its Tables 2, 5 and 6; "
        "cam: CAMs alone",
    )
    parser.add_argument(
        "--student",
        action="append",
        default=[],
        metavar="WHO",
        help="1, 2, best (the better one, per metric) or mean (averaged probabilities); may be repeated; default: all",
    )
    parser.add_argument(
        "--threshold", type=float, help="threshold on CAMs, 0 to 1; default: the recipe's cam_threshold"
    )
    crf_options(parser)
    parser.add_argument(
        "--keep-logits",
        action="store_true",
        help="final: cache the students' logits at patch size (4 bytes per class, patch and scale); while they "
        "exist, another CRF, backend or choice of students needs no pass through the network",
    )
    parser.add_argument("--out", type=Path, help="parent of the folder of results; default: inside the run")
    tracking_options(parser, "log it on the run's wandb run too; by default where the run was tracked, and then")
    recipe_options(parser)


def run_eval(arguments: argparse.Namespace) -> int:
    """Run ``dupl eval``."""
    console, final = stderr(), arguments.protocol == "final"
    mode = api.evaluation_tracking(arguments.run_or_recipe, arguments.wandb)
    try:
        with progress_bar(f"evaluate {arguments.split}", console) as progress:
            found = api.evaluate(
                arguments.run_or_recipe,
                checkpoint=arguments.checkpoint,
                split=arguments.split,
                protocol=arguments.protocol,
                students=arguments.student,
                crf=arguments.crf,
                crf_backend=arguments.crf_backend,
                present_only=arguments.present_only,
                threshold=arguments.threshold,
                keep_logits=arguments.keep_logits,
                out=arguments.out,
                overrides=arguments.set,
                progress=progress,
                tell=say(console),
            )
    except KeyboardInterrupt:
        if final:
            say(console)("label maps made so far are cached: the same command continues with them")
        raise
    if reused := found[0].reused:
        others = len(found[0].evaluation.names) - reused
        more = f"; those of {others} were made now" if others else ""
        say(console)(f"the label maps of {reused} images are those of an earlier command{more}")
    say(console)(f"{arguments.split}: {found[0].evaluation.judged_line()}")
    for one in found:
        api.print_evaluation(one)
        say(console)(f"written to {one.folder}")
    if final:
        say(console)("this protocol does not classify: mAP and F1 are of --protocol train and cam")
    api.log_evaluations(arguments.run_or_recipe, found, mode, say(console))
    return 0
