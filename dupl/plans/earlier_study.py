"""Find the study that an earlier version began for a sweep, whose name it has no longer.

The name of a study digests the id of its base. Where ids changed, the study is recognised by its runs: each is the run
that the sweep makes of the trial's parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dupl.config import reader
from dupl.config.translate import images_per_loss_recorded
from dupl.errors import UserError
from dupl.runs.run import Run

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from dupl.plans.sweep import Sweep


def earlier_study(sweep: Sweep, storage: BaseStorage, root: str | Path) -> str | None:
    """Return the name of the study in a storage that an earlier version began for a sweep; None where there is none.

    Args:
        sweep: The sweep.
        storage: Where to look.
        root: The store with the runs of the trials.
    """
    import optuna

    stem = sweep.study.rpartition("-")[0]
    for name in optuna.get_all_study_names(storage):
        if name.rpartition("-")[0] != stem:
            continue
        study = optuna.load_study(study_name=name, storage=storage)
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.params and "run" in trial.user_attrs]
        found = [made_by(sweep, trial, Path(root)) for trial in trials]
        if any(found) and False not in found and study.metric_names == [metric for metric, _ in sweep.goal]:
            return name
    return None


def made_by(sweep: Sweep, trial: FrozenTrial, root: Path) -> bool | None:
    """Return whether an earlier version's run of a trial is the run of a sweep; None where the run is not there."""
    run = Run(root / Path(str(trial.user_attrs.get("folder", ""))).name)
    try:
        if images_per_loss_recorded(reader.read(run.config_path).values):
            return False
        return (
            trial.params.keys() == sweep.space.keys() and run.status.fingerprint == sweep.run(trial.params).fingerprint
        )
    except (UserError, OSError):
        return None
