"""Studies in memory, for the parts of Optuna that take a study: importances and charts."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from dupl.plans.samplers import quiet_optuna

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


def memory_study(
    trials: Sequence[FrozenTrial],
    values: Sequence[float],
    direction: str,
    names: Collection[str] | None = None,
    choice_text: Callable[[Any], str] | None = None,
) -> Study:
    """Return a study of one goal in memory; its n-th trial is the n-th that is given.

    Args:
        trials: Complete, pruned or others; one may be there several times.
        values: One for each; a trial whose value is not finite counts as failed, all others as complete.
        direction: "maximize" or "minimize".
        names: Parameters to keep; all by default.
        choice_text: Turns the choices of categorical parameters into text; they stay as they are by default.
    """
    import optuna
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import TrialState, create_trial

    with quiet_optuna():
        study = optuna.create_study(direction=optuna.study.StudyDirection[direction.upper()])
        for trial, value in zip(trials, values, strict=True):
            params = {name: chosen for name, chosen in trial.params.items() if names is None or name in names}
            distributions = {name: trial.distributions[name] for name in params}
            for name, one in distributions.items():
                if choice_text is not None and isinstance(one, CategoricalDistribution):
                    params[name] = choice_text(params[name])
                    distributions[name] = CategoricalDistribution([choice_text(choice) for choice in one.choices])
            known = math.isfinite(value)
            study.add_trial(
                create_trial(
                    params=params,
                    distributions=distributions,
                    value=value if known else None,
                    state=TrialState.COMPLETE if known else TrialState.FAIL,
                )
            )
    return study
