"""Optuna's side of a sweep: samplers and pruners by name, storages by URL, and the trials as a table."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.lab.plan_file import unknown

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from pandas import DataFrame

    from dupl.lab.sweep import Sweep

FOLDER = ".sweeps"  # of a store; hidden, as it holds no runs
Goal = tuple[tuple[str, str], ...]
# Every argument that is passed on, with the value where a file does not say it: Optuna's own defaults change.
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
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
WAIT = 10.0  # seconds for a gRPC server to answer
URLS = "sqlite:///FILE, postgresql://..., journal:FILE or grpc://HOST:PORT"


def read_sampler(spec: Mapping[str, Any], goal: Goal) -> dict[str, Any]:
    """The sampler of a file with all its arguments.

    Raises:
        UserError: No such sampler or argument, or it does not go with the goal.
    """
    made = _spec(spec, SAMPLERS, "sampler")
    if made["type"] == "CMA-ES" and len(goal) > 1:
        raise UserError("sampler: CMA-ES has one goal; for several take NSGA-II, TPE or GP")
    if made["type"] == "TPE" and made["group"] and not made["multivariate"]:
        raise UserError("sampler: TPE's group=True needs multivariate=True")
    return made


def read_pruner(spec: Mapping[str, Any], goal: Goal, evaluations: int) -> dict[str, Any]:
    """The pruner of a file with all its arguments.

    Raises:
        UserError: No such pruner or argument, or there are several goals, which Optuna does not prune by.
    """
    made = _spec(spec or {"type": "none"}, PRUNERS, "pruner")
    if made["type"] != "none" and len(goal) > 1:
        raise UserError(f"pruner: {made['type']} needs one goal; with several write pruner = dict(type='none')")
    if made["type"] == "Hyperband" and made["max_resource"] is None:
        made["max_resource"] = evaluations
    return made


def _spec(spec: Mapping[str, Any], known: Mapping[str, dict[str, Any]], where: str) -> dict[str, Any]:
    kind = spec.get("type")
    if kind not in known:
        raise unknown(f"{where}.type: no {where}", kind, known)
    for key in spec:
        if key != "type" and key not in known[kind]:
            raise unknown(f"{where}: {kind} has no argument", key, known[kind])
    return {"type": kind, **known[kind], **spec}


def make_sampler(sweep: Sweep, number: int) -> BaseSampler:
    """The sampler for one trial.

    Each trial has a seed of its own, from the file's seed and its number: whoever asks for it draws the same, and no
    two workers draw alike.
    """
    from optuna import samplers

    arguments = {key: value for key, value in sweep.sampler.items() if key != "type"}
    kind = sweep.sampler["type"]
    seed = arguments.pop("seed", 0)
    own = int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")
    constraints = _violation if sweep.constraints else None
    if kind == "TPE":
        return samplers.TPESampler(**arguments, seed=own, constraints_func=constraints, warn_independent_sampling=False)
    if kind == "GP":
        return samplers.GPSampler(**arguments, seed=own, constraints_func=constraints, warn_independent_sampling=False)
    if kind == "NSGA-II":
        return samplers.NSGAIISampler(**arguments, seed=own, constraints_func=constraints)
    if kind == "CMA-ES":
        return samplers.CmaEsSampler(
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


def _violation(trial: FrozenTrial) -> list[float]:
    return list(trial.user_attrs.get("violation", [0.0]))


def make_pruner(sweep: Sweep) -> BasePruner:
    """The pruner."""
    from optuna import pruners

    arguments = {key: value for key, value in sweep.pruner.items() if key != "type"}
    kind = sweep.pruner["type"]
    if kind == "Wilcoxon":
        from dupl.lab.sweep_wilcoxon import wilcoxon_pruner

        return wilcoxon_pruner(metric=sweep.goal[0][0], maximize=sweep.goal[0][1] == "maximize", **arguments)
    makers: dict[str, Any] = {
        "median": pruners.MedianPruner,
        "Hyperband": pruners.HyperbandPruner,
        "ASHA": pruners.SuccessiveHalvingPruner,
        "none": pruners.NopPruner,
    }
    if kind == "median":
        arguments["n_warmup_steps"] += 1  # evaluations that decide nothing; Optuna means the first step that does
    made: BasePruner = makers[kind](**arguments)
    return made


def default_url(sweep: Sweep, root: str | Path) -> str:
    """An SQLite file of the study's own, in the store."""
    return f"sqlite:///{Path(root) / FOLDER / f'{sweep.study}.db'}"


def open_storage(url: str) -> BaseStorage:
    """A storage by its URL.

    Raises:
        UserError: It cannot be reached, or a package is missing.
    """
    import optuna
    from optuna import storages
    from optuna.storages.journal import JournalFileBackend

    scheme, _, rest = url.partition(":")
    if scheme == "journal":
        if not rest:
            raise UserError("--storage journal: write journal:FILE")
        Path(rest).parent.mkdir(parents=True, exist_ok=True)
        return storages.JournalStorage(JournalFileBackend(rest))
    if scheme == "grpc":
        host, _, port = rest.removeprefix("//").partition(":")
        if not host or not port.isdecimal():
            raise UserError(f"--storage {url}: write grpc://HOST:PORT")
        try:
            proxy = storages.GrpcStorageProxy(host=host, port=int(port))
            proxy.wait_server_ready(timeout=WAIT)
        except ImportError:
            raise UserError("--storage grpc needs packages: pip install 'dupl-lab[sweep]'") from None
        except ConnectionError:
            raise UserError(f"--storage {url}: nobody answers there within {WAIT:g} s") from None
        return proxy
    if scheme not in ("sqlite", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        raise UserError(f"--storage {url}: write {URLS}")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if scheme == "sqlite":
        Path(rest.removeprefix("///")).parent.mkdir(parents=True, exist_ok=True)
        options = {"connect_args": {"timeout": 60}}  # another worker may be writing
    if scheme == "postgresql":
        url = f"postgresql+psycopg:{rest}"
    try:
        return _first_to_create(lambda: storages.get_storage(storages.RDBStorage(url, engine_kwargs=options)))
    except (ImportError, ModuleNotFoundError):
        raise UserError("--storage postgresql needs a driver: pip install 'dupl-lab[postgres]'") from None
    except optuna.exceptions.StorageInternalError as error:
        raise UserError(f"--storage {shown(url)}: {' '.join(str(error.__cause__ or error).split())}") from None
    except Exception as error:
        if type(error).__module__.startswith("sqlalchemy"):
            raise UserError(f"--storage {shown(url)}: {' '.join(str(error).split())[:300]}") from None
        raise


def _first_to_create(make: Callable[[], BaseStorage]) -> BaseStorage:
    """Makes a storage, again where somebody else is creating its tables at the same time."""
    for _ in range(5):
        try:
            return make()
        except Exception as error:
            if not re.search("already exists|UNIQUE|unique|duplicate key|locked", f"{error} {error.__cause__}"):
                raise
            time.sleep(0.5)
    return make()


def shown(url: str) -> str:
    """A URL without its password."""
    head, at, tail = url.rpartition("@")
    return url if not at else f"{head.rpartition(':')[0] if head.count(':') > 1 else head}@{tail}"


def open_study(
    sweep: Sweep, storage: str | BaseStorage | None = None, root: str | Path = "runs", create: bool = False
) -> Study:
    """The study of a sweep.

    Args:
        sweep: Of which.
        storage: A URL or what `open_storage` returned; None is SQLite in the store.
        root: The store.
        create: Whether to make it where it is not there yet.

    Raises:
        UserError: There is none, or its storage cannot be reached.
    """
    import optuna

    missing = f"{sweep.name} has no study {sweep.study} yet: run dupl sweep {sweep.name} first, or say --storage"
    if storage is None:
        file = Path(default_url(sweep, root).removeprefix("sqlite:///"))
        if not create and not file.is_file():
            raise UserError(missing)
    if storage is None or isinstance(storage, str):
        storage = open_storage(storage or default_url(sweep, root))
    directions = [direction for _, direction in sweep.goal]
    tools: dict[str, Any] = dict(sampler=make_sampler(sweep, 0), pruner=make_pruner(sweep))
    try:
        if not create:
            return optuna.load_study(study_name=sweep.study, storage=storage, **tools)
        study = optuna.create_study(
            study_name=sweep.study, storage=storage, directions=directions, load_if_exists=True, **tools
        )
    except KeyError:
        raise UserError(missing) from None
    if study.metric_names != [metric for metric, _ in sweep.goal]:
        study.set_metric_names([metric for metric, _ in sweep.goal])
    return study


def trials(study: Study) -> DataFrame:
    """One row per trial.

    Columns: number, state ("complete", "pruned", "failed", "running", "waiting"), value (of the first goal; NaN where
    there is none), values, params/<name> for each parameter, run (fingerprint), folder, iteration, seconds, started,
    ended, cached (whether the run had been there before), reason.
    """
    from pandas import DataFrame

    rows = []
    for trial in study.get_trials(deepcopy=False):
        facts = trial.user_attrs
        values = list(trial.values or [])
        rows.append(
            {
                "number": trial.number,
                "state": STATES[trial.state.name],
                "value": values[0] if values else math.nan,
                "values": values,
                **{f"params/{name}": value for name, value in trial.params.items()},
                "run": facts.get("run", ""),
                "folder": facts.get("folder", ""),
                "iteration": facts.get("iteration"),
                "seconds": facts.get("seconds"),
                "started": trial.datetime_start,
                "ended": trial.datetime_complete,
                "cached": bool(facts.get("cached", False)),
                "reason": facts.get("reason", ""),
            }
        )
    columns = ["number", "state", "value", "values", "run", "folder", "iteration", "seconds", "started", "ended"]
    return DataFrame(rows) if rows else DataFrame(columns=[*columns, "cached", "reason"])
