"""``dupl eval``."""

from __future__ import annotations

import argparse
import sys
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
from dupl.errors import UserError


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
        "  dupl eval voc/dupl_released --checkpoint released.pth --set data.val.root=/data/VOC2012\n"
        "  dupl eval --masks DIR --name deeplab --data voc/dupl   label maps of another program, by image name\n",
    )
    parser.add_argument("run_or_recipe", nargs="?", default="", help=f"{RUN_OR_RECIPE}; none with --masks")
    parser.add_argument(
        "--checkpoint",
        help="last (default), best (selected on val during training), another checkpoint of the run by its name "
        "without the ending, or a file",
    )
    parser.add_argument("--split", default="val", help="entry of the recipe's data section; default: val")
    parser.add_argument(
        "--protocol",
        choices=["train", "final", "cam"],
        help="train (default): as during training, for the paper's Tables 1 and 4; final: for its Tables 2, 5 and 6; "
        "cam: CAMs alone; with --masks: in whose columns they stand, default: train and final",
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
    _masks_options(parser)
    tracking_options(parser, "log it on the run's wandb run too; by default where the run was tracked, and then")
    recipe_options(parser)


def _masks_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``dupl eval --masks``."""
    masks = parser.add_argument_group("label maps of another program")
    masks.add_argument(
        "--masks", metavar="DIR", help="folder with IMAGE.png of label ids, palette or grey, at the size of the photo"
    )
    masks.add_argument("--name", help="with --masks: name of their entry in the store, which tables take as a row")
    masks.add_argument("--data", metavar="RECIPE", help="with --masks: the recipe whose data they label")
    masks.add_argument("--root", metavar="DIR", help="with --masks: folder of the store; default: runs")
    masks.add_argument(
        "--kind", choices=["seg", "cam"], help="with --masks: segmentations (default), or pseudo-labels from CAMs"
    )
    masks.add_argument(
        "--void",
        choices=["background", "ignore"],
        help="with --masks: what 255 means where the mask has a class; default: an error",
    )


def run_eval(arguments: argparse.Namespace) -> int:
    """Run ``dupl eval``."""
    if arguments.masks is not None:
        return _run_masks(arguments)
    if given := [
        f"--{name}" for name in ("name", "data", "root", "kind", "void") if getattr(arguments, name) is not None
    ]:
        raise UserError(f"{', '.join(given)}: only with --masks DIR, the label maps of another program")
    if not arguments.run_or_recipe:
        raise UserError("what is to be evaluated? give a run, a recipe with --checkpoint, or --masks DIR")
    console, protocol = stderr(), arguments.protocol or "train"
    final = protocol == "final"
    mode = api.evaluation_tracking(arguments.run_or_recipe, arguments.wandb)
    try:
        with progress_bar(f"evaluate {arguments.split}", console) as progress:
            found = api.evaluate(
                arguments.run_or_recipe,
                checkpoint=arguments.checkpoint,
                split=arguments.split,
                protocol=protocol,
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


def _run_masks(arguments: argparse.Namespace) -> int:
    """Run ``dupl eval --masks``."""
    names = ("run_or_recipe", "checkpoint", "student", "threshold", "crf", "crf_backend", "present_only", "keep_logits")
    if any(getattr(arguments, name) not in (None, False, "", []) for name in (*names, "out", "wandb")):
        raise UserError(
            "--masks takes --name, --data, --root, --split, --kind, --void, --protocol train or final, and --set: the "
            "other options and a run belong to models"
        )
    if not arguments.name or not arguments.data:
        raise UserError("--masks takes --name NAME, the name of their entry, and --data RECIPE, whose data they label")
    if arguments.protocol == "cam":
        raise UserError("--masks with --protocol cam: label maps have no threshold; give --kind cam for pseudo-labels")
    console = stderr()
    with progress_bar(f"score {arguments.split}", console) as progress:
        found = api.evaluate_label_maps(
            arguments.masks,
            arguments.name,
            arguments.data,
            arguments.root or "runs",
            split=arguments.split,
            kind=arguments.kind or "seg",
            protocols=[arguments.protocol] if arguments.protocol else ("train", "final"),
            void=arguments.void or "refuse",
            overrides=arguments.set,
            command=sys.argv,
            progress=progress,
        )
    say(console)(f"{arguments.split}: {found[0].evaluation.judged_line()}")
    api.print_evaluation(found[0])
    for one in found:
        say(console)(f"written to {one.folder}")
    return 0
