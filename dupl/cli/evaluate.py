"""``dupl eval``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl.cli.common import RUN_OR_RECIPE, command, crf_options, progress_bar, recipe_options, stderr, wandb_option


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
        "  dupl eval runs/RUN --checkpoint last --split train\n"
        "  dupl eval voc/dupl_released --checkpoint released.pth --set data.val.root=/data/VOC2012\n",
    )
    parser.add_argument("run_or_recipe", help=RUN_OR_RECIPE)
    parser.add_argument(
        "--checkpoint", help="best, last, one of the run (such as iter_000900), or a file; best by default"
    )
    parser.add_argument("--split", default="val", help="entry of the recipe's data section; val by default")
    parser.add_argument(
        "--protocol",
        choices=["train", "final", "cam"],
        default="train",
        help="train: of training time, the paper's Tables 1 and 4; final: of its Tables 2, 5 and 6; cam: CAMs alone",
    )
    parser.add_argument(
        "--student",
        action="append",
        default=[],
        metavar="WHO",
        help="1, 2, best (the better one, per metric) or mean (averaged probabilities), repeatable; all by default",
    )
    parser.add_argument("--threshold", type=float, help="on CAMs; the recipe's cam_threshold by default")
    crf_options(parser)
    parser.add_argument(
        "--keep-logits",
        action="store_true",
        help="final: keep the students' logits at patch size (4 bytes per class, patch and scale); while they are "
        "there, another CRF, backend or choice of students needs no pass through the network",
    )
    parser.add_argument("--out", type=Path, help="where the folder of results goes; inside the run by default")
    wandb_option(parser, "put it on the run's wandb run too; by default where the run was tracked, and then")
    recipe_options(parser)


def run_eval(arguments: argparse.Namespace) -> int:
    """``dupl eval``."""
    from dupl.errors import UserError
    from dupl.runs.run import Run
    from dupl.track.after_training import choose_later, log_evaluations

    console, run = stderr(), Run(arguments.run_or_recipe)
    if arguments.wandb not in (None, "off") and not run.exists():
        raise UserError(f"--wandb {arguments.wandb} is for runs, and {run.path} is none: leave it out")
    mode = choose_later(arguments.wandb, run.path).mode

    from dupl.engine.evaluation.checkpoint import Choice, assess
    from dupl.engine.restore import restore
    from dupl.report.tables.evaluation import print_evaluation

    restored = restore(arguments.run_or_recipe, arguments.checkpoint, arguments.set)
    choice = Choice(
        protocol=arguments.protocol,
        students=tuple(dict.fromkeys(arguments.student)),
        refine=arguments.crf,
        backend=arguments.crf_backend,
        present_only=arguments.present_only,
        threshold=arguments.threshold,
        keep_logits=arguments.keep_logits,
    )
    try:
        with progress_bar(f"evaluate {arguments.split}", console) as progress:
            written = assess(restored, arguments.split, choice, out=arguments.out, progress=progress)
    except KeyboardInterrupt:
        if choice.protocol == "final":
            console.print("label maps made so far are kept: the same command goes on from them", soft_wrap=True)
        raise
    if recalled := written[0].recalled:
        others = len(written[0].evaluation.names) - recalled
        more = f"; those of {others} were made now" if others else ""
        console.print(f"the label maps of {recalled} images are those of an earlier command{more}", soft_wrap=True)
    for one in written:
        print_evaluation(one.evaluation.metrics, one.evaluation.class_rows(), one.title)
        console.print(f"written to {one.folder}", soft_wrap=True)
    if choice.protocol == "final":
        console.print("this protocol does not classify: mAP and F1 are of --protocol train and cam", soft_wrap=True)
    log_evaluations(run, [one.folder for one in written], mode, lambda line: console.print(line, soft_wrap=True))
    return 0
