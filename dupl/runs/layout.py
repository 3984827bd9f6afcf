"""Names of the files and folders of a run. They are spelled here and nowhere else.

Every name is relative to the run's folder, or, below "Of an evaluation", to the folder of one evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

VERSION = 1  # of this layout; it rises when the previous version could not read the files of this one

CONFIG = "config.py"  # the resolved recipe
STATUS = "status.json"
SCALARS = "scalars.jsonl"
DATA = "data.json"  # digests of the data sets
BEST_RECORD = "best.json"  # iteration, metric and value of the best weights
CHANGES = "git.diff"  # changes of the code that no commit holds
TRACKER = "wandb.json"  # id and names on wandb
TRACKIO = "trackio.json"  # id and names on trackio
TRACKERS = "trackers.json"  # ids on other trackers
LOG = "logs/ablate.log"  # output of the commands that a scheduler ran
PICTURES = "pictures.png"  # also in an evaluation
CURVES = "curves.png"
QUALITY_CLASSES = "quality_classes.png"
PAGE = "report.html"

CHECKPOINTS = "checkpoints"
BEST = f"{CHECKPOINTS}/best.pth"
EVALUATIONS = "evaluation"
GALLERY = "gallery"
MASKS = "masks"  # of the photos that a run was trained on, with their page

# Of an evaluation.
METRICS = "metrics.json"
PER_CLASS = "per_class.csv"
PER_IMAGE = "per_image.csv"
CONFUSION = "confusion.csv"
QUALITY = "quality.csv"  # of pseudo-labels
THRESHOLDS = "thresholds.csv"  # metric of CAMs by threshold
THRESHOLDS_PICTURE = "thresholds.png"
LABELS = "labels"  # cached label maps before the CRF
CRF = "crf"  # cached label maps after it
LOGITS_NOTE = "made_of.json"  # what cached logits were made of

# What training writes under a temporary name first.
DRAFTED = (CONFIG, STATUS, SCALARS, DATA, CHANGES, BEST_RECORD, f"{EVALUATIONS}/iter_*/*", f"{GALLERY}/*", "*.png")
REMAINS = frozenset({SCALARS, EVALUATIONS, CHECKPOINTS})  # a folder with one of these and a config was a run

_ITERATION = re.compile(r"iter_(\d+)")


def is_stored_config(path: Path) -> bool:
    """Whether a file is the config that a run stored."""
    return path.name == CONFIG and (path.parent / STATUS).is_file()


def is_of_store(path: Path) -> bool:
    """Whether a config lies in the folder of a run, or in a hidden folder of a store, such as ``.plans``."""
    of_run = path.name == CONFIG and any((path.parent / name).exists() for name in (STATUS, *REMAINS))
    return of_run or path.absolute().parent.name.startswith(".")


def iteration_name(iteration: int) -> str:
    """Return the name of what belongs to an iteration, such as "iter_000420"."""
    return f"iter_{iteration:06d}"


def iteration_of(name: str) -> int | None:
    """Return the iteration that a name without its ending belongs to; None where it belongs to none."""
    match = _ITERATION.fullmatch(name)
    return int(match[1]) if match else None


def evaluation(iteration: int) -> str:
    """Return the folder of the evaluation that training made at an iteration."""
    return f"{EVALUATIONS}/{iteration_name(iteration)}"


def checkpoint(iteration: int) -> str:
    """Return the file of the checkpoint that training saved at an iteration."""
    return f"{CHECKPOINTS}/{iteration_name(iteration)}.pth"


def best_until(iteration: int) -> str:
    """Return the file of the best weights up to an iteration, kept beside the checkpoint that a run forks from."""
    return f"{CHECKPOINTS}/best_{iteration:06d}.pth"


def gallery_sheet(iteration: int) -> str:
    """Return the file of the contact sheet of an iteration."""
    return f"{GALLERY}/{iteration_name(iteration)}.webp"


def gallery_description(iteration: int) -> str:
    """Return the file that describes the contact sheet of an iteration."""
    return f"{GALLERY}/{iteration_name(iteration)}.json"


def later_changes(digest: str) -> str:
    """Return the file of the uncommitted changes of a later stretch of training, by their digest."""
    return f"git-{digest}.diff"


def quality_picture(name: str) -> str:
    """Return the file of the curves of one figure of pseudo-label quality."""
    return f"quality_{name}.png"


def confusion_picture(label_map: str) -> str:
    """Return the file of the confusion matrix of a label map, within an evaluation."""
    return f"confusion_{label_map.replace('/', '_')}.png"


def over_activation_picture(kind: str) -> str:
    """Return the file of the over-activation bars of "cam" or "seg", within an evaluation."""
    return f"over_activation_{kind}.png"


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Return the checkpoints of a run as (iteration, file), newest first; the best weights are not among them."""
    return sorted(_of_iterations(run / CHECKPOINTS, ".pth"), reverse=True)


def gallery_descriptions(run: Path) -> list[Path]:
    """Return the files that describe the contact sheets of a run, in the order of iterations."""
    return [file for _, file in sorted(_of_iterations(run / GALLERY, ".json"))]


def trained_evaluations(run: Path) -> list[tuple[int, Path]]:
    """Return the evaluations that training made as (iteration, folder), in the order of iterations."""
    return sorted(_of_iterations(run / EVALUATIONS, ""))


def _of_iterations(folder: Path, ending: str) -> Iterator[tuple[int, Path]]:
    for path in folder.glob(f"iter_*{ending}"):
        iteration = iteration_of(path.name.removesuffix(ending))
        if iteration is not None:
            yield iteration, path
