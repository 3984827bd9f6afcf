"""Build Optuna's samplers and pruners from their names, and silence its messages."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dupl.config.kinds import Fault
from dupl.plans.checks import unknown

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

Goal = tuple[tuple[str, str], ...]
# Every argument that is passed on, with the default of a sweep file, as Optuna's own defaults change.
SAMPLERS: dict[str, dict[str, Any]] = {
    "TPE": dict(n_startup_trials=10, n_ei_candidates=24, multivariate=True, group=True, constant_liar=True, seed=0),
    "GP": dict(n_startup_trials=10, deterministic_objective=False, seed=0),
    "CMA-ES": dict(
        sigma0=None, n_startup_trials=1, popsize=None, consider_pruned_trials=False, with_margin=True, seed=0
    ),
    "NSGA-II": dict(population_size=20, mutation_prob=None, crossover_prob=0.9, swapping_prob=0.5, seed=0),
    "QMC": dict(qmc_type="sobol", scramble=True, seed=0),
    "grid": dict(points=None),
    "random": dict(seed=0),
}
PRUNERS: dict[str, dict[str, Any]] = {  # steps are evaluations, from 1 on
    "median": dict(n_startup_trials=5, n_warmup_steps=1, interval_steps=1, n_min_trials=3),
    "Hyperband": dict(min_resource=1, max_resource=None, reduction_factor=3, bootstrap_count=0),
    "ASHA": dict(min_resource=1, reduction_factor=3, min_early_stopping_rate=0, bootstrap_count=0),
    "Wilcoxon": dict(p_threshold=0.05, n_startup_steps=1, min_images=20),
    "none": {},
}


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silence Optuna's own messages and its warnings about experimental features."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, in a notebook without widgets
        import optuna
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def read_sampler(spec: Mapping[str, Any], goal: Goal) -> dict[str, Any]:
    """Return the sampler of a sweep file with all its arguments.

    Raises:
        UserError: There is no such sampler or argument, or it does not support the goal.
    """
    made = _spec(spec, SAMPLERS, "sampler")
    if made["type"] == "CMA-ES" and len(goal) > 1:
        raise Fault("sampler", "CMA-ES has one goal; for several take NSGA-II, TPE or GP", about="sampler:")
    if made["type"] == "TPE" and made["group"] and not made["multivariate"]:
        raise Fault("sampler", "TPE's group=True needs multivariate=True", about="sampler:")
    return made


def read_pruner(spec: Mapping[str, Any], goal: Goal, evaluations: int) -> dict[str, Any]:
    """Return the pruner of a sweep file with all its arguments.

    Raises:
        UserError: There is no such pruner or argument, or there are several goals, which Optuna cannot prune by.
    """
    made = _spec(spec or {"type": "none"}, PRUNERS, "pruner")
    if made["type"] != "none" and len(goal) > 1:
        text = f"{made['type']} needs one goal; with several write pruner = dict(type='none')"
        raise Fault("pruner", text, about="pruner:")
    if made["type"] == "Hyperband" and made["max_resource"] is None:
        made["max_resource"] = evaluations
    return made


def _spec(spec: Mapping[str, Any], known: Mapping[str, dict[str, Any]], where: str) -> dict[str, Any]:
    kind = str(spec.get("type"))
    if kind not in known:
        raise unknown(f"{where}.type", f"names no {where}", kind, known)
    for key in spec:
        if key != "type" and key not in known[kind]:
            raise unknown(f"{where}.{key}", f"is unknown: {kind} has no argument", key, known[kind])
    return {"type": kind, **known[kind], **spec}


def make_sampler(spec: Mapping[str, Any], number: int) -> BaseSampler:
    """Build the sampler for one trial.

    Its seed is derived from the seed of the sweep file and the number of the trial, so that every worker draws the same
    point for a trial, and no two trials draw alike.

    Args:
        spec: What `read_sampler` returned.
        number: Of the trial.
    """
    from optuna import samplers

    arguments = {key: value for key, value in spec.items() if key != "type"}
    kind = spec["type"]
    seed = arguments.pop("seed", 0)
    own = int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")
    if kind == "TPE":
        return samplers.TPESampler(**arguments, seed=own)
    if kind == "GP":
        return samplers.GPSampler(**arguments, seed=own, warn_independent_sampling=False)
    if kind == "NSGA-II":
        return samplers.NSGAIISampler(**arguments, seed=own)
    if kind == "CMA-ES":
        from dupl.plans.cma_es import cma_es_sampler

        return cma_es_sampler(
            **arguments,
            seed=own,
            independent_sampler=samplers.RandomSampler(seed=own),
            warn_independent_sampling=False,
        )
    if kind == "QMC":  # one sequence for all
        return samplers.QMCSampler(
            **arguments,
            seed=seed,
            independent_sampler=samplers.RandomSampler(seed=own),
            warn_asynchronous_seeding=False,
            warn_independent_sampling=False,
        )
    return samplers.RandomSampler(seed=own)  # the points of a grid are given to trials beforehand


def make_pruner(spec: Mapping[str, Any], goal: Goal) -> BasePruner:
    """Build the pruner of a study.

    Args:
        spec: What `read_pruner` returned.
        goal: Metric and direction; the first is what trials are pruned by.
    """
    from optuna import pruners

    arguments = {key: value for key, value in spec.items() if key != "type"}
    kind = spec["type"]
    if kind == "Wilcoxon":
        from dupl.plans.wilcoxon import wilcoxon_pruner

        return wilcoxon_pruner(metric=goal[0][0], maximize=goal[0][1] == "maximize", **arguments)
    makers: dict[str, Any] = {
        "median": pruners.MedianPruner,
        "Hyperband": pruners.HyperbandPruner,
        "ASHA": pruners.SuccessiveHalvingPruner,
        "none": pruners.NopPruner,
    }
    if kind == "median":
        arguments["n_warmup_steps"] += (
            1  # the sweep file counts evaluations before the first decision, Optuna names the first that decides
        )
    made: BasePruner = makers[kind](**arguments)
    return made
