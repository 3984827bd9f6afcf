"""A pruner that compares the images of a trial with the same images of the best trial so far."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.evaluation_files import read_metrics
from dupl.runs.metrics import iou
from dupl.runs.pixel_counts import read_pixel_counts

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial

AT = "at"  # key of a trial's attributes: iteration of each step, a dict by the step's text


def wilcoxon_pruner(
    metric: str, maximize: bool, p_threshold: float, n_startup_steps: int, min_images: int
) -> BasePruner:
    """Build a pruner that stops trials whose images are worse than the best trial's, by Wilcoxon's signed-rank test.

    Optuna's pruner of that name takes one value per image over a whole trial. Here every evaluation sees all images,
    and only evaluations of the same step are compared. A trial whose mean over the images is not worse continues.

    Args:
        metric: Such as "seg/best/mIoU": which label map is compared; "best" is the better student of each run.
        maximize: Whether a larger metric is better; otherwise nothing is pruned.
        p_threshold: One-sided p value below which a trial is pruned, 0 to 1.
        n_startup_steps: Evaluations before the first decision.
        min_images: Least number of common images for a decision.
    """
    from optuna.pruners import BasePruner

    class Pruner(BasePruner):  # type: ignore[misc, unused-ignore]
        def prune(self, study: Study, trial: FrozenTrial) -> bool:
            step = trial.last_step
            if step is None or step <= n_startup_steps or not maximize:
                return False
            try:
                best = study.best_trial
            except ValueError:
                return False
            mine, others = image_scores(trial, step, metric), image_scores(best, step, metric)
            return best.number != trial.number and worse(mine, others, p_threshold, min_images)

    return Pruner()


def worse(mine: dict[str, float], others: dict[str, float], p_threshold: float, min_images: int) -> bool:
    """Return whether the common images are worse in the first, on average and by the test."""
    from scipy.stats import wilcoxon

    shared = sorted(mine.keys() & others.keys())
    differences = [mine[image] - others[image] for image in shared]
    if len(shared) < max(2, min_images) or sum(differences) >= 0:
        return False
    return bool(wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue < p_threshold)


def image_scores(trial: FrozenTrial, step: int, metric: str) -> dict[str, float]:
    """Return the mean IoU of the classes in each image, 0 to 1, at one evaluation of a trial; {} without one."""
    folder, iteration = trial.user_attrs.get("folder"), trial.user_attrs.get(AT, {}).get(str(step))
    if not folder or iteration is None:
        return {}
    return scores(Path(folder) / layout.evaluation(iteration), metric)


def scores(evaluation: Path, metric: str) -> dict[str, float]:
    """Return the mean IoU of the classes in each image, 0 to 1, from the folder of an evaluation.

    A class that is in the prediction alone counts as 0.
    """
    kind, _, rest = metric.partition("/")
    who, _, what = rest.partition("/")
    try:
        if who == "best":
            _, values = read_metrics(evaluation)
            students = [name for name in values if re.fullmatch(rf"{kind}/\d+/{re.escape(what)}", name)]
            who = max(students, key=lambda name: (values[name] == values[name], values[name])).split("/")[1]
        table = read_pixel_counts(evaluation, [f"{kind}/{who}"]).frame()
    except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    table = table.assign(IoU=iou(*(table[name].to_numpy() for name in ("TP", "FP", "FN")))).dropna(subset="IoU")
    return {str(image): float(value) / 100 for image, value in table.groupby("image")["IoU"].mean().items()}
