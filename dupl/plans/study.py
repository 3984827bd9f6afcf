"""Optuna studies of sweeps: open one by the URL of its storage, and read its trials as a table."""

from __future__ import annotations

import functools
import math
import os
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.plans.earlier_study import earlier_study
from dupl.plans.patience import make_patient
from dupl.plans.samplers import make_pruner, make_sampler
from dupl.terminal import without_passwords

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from pandas import DataFrame

    from dupl.plans.sweep import Sweep

FOLDER = ".sweeps"  # of a store; hidden, as it holds no runs
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
WAIT = 10.0  # seconds for a gRPC server to answer
URLS = "sqlite:///FILE, postgresql://..., journal:FILE or grpc://HOST:PORT"


def default_url(sweep: Sweep, root: str | Path) -> str:
    """Return the URL of a study's own SQLite file in a store, which may be that of an earlier version's study."""
    folder = Path(root) / FOLDER
    file = folder / f"{sweep.study}.db"
    if not file.is_file():
        others = sorted(folder.glob(f"{sweep.study.rpartition('-')[0]}-????????.db"))
        file = next((one for one in others if earlier_study(sweep, open_storage(f"sqlite:///{one}"), root)), file)
    return f"sqlite:///{file}"


def open_storage(url: str) -> BaseStorage:
    """Open a storage by its URL.

    Raises:
        UserError: It cannot be reached, or a package is missing.
    """
    import optuna
    from optuna import storages
    from optuna.storages.journal import JournalFileBackend

    shown = without_passwords(url)
    scheme, _, rest = url.partition(":")
    if scheme == "journal":
        if not rest:
            raise UserError("--storage journal: write journal:FILE")
        file = Path(os.path.abspath(rest))  # its lock is a link to it, which a relative path would let dangle
        file.parent.mkdir(parents=True, exist_ok=True)
        return storages.JournalStorage(JournalFileBackend(str(file)))
    if scheme == "grpc":
        host, _, port = rest.removeprefix("//").partition(":")
        if not host or not port.isdecimal():
            raise UserError(f"--storage {shown}: write grpc://HOST:PORT")
        try:
            proxy = storages.GrpcStorageProxy(host=host, port=int(port))
            proxy.wait_server_ready(timeout=WAIT)
        except ImportError:
            raise UserError('--storage grpc needs grpcio and protobuf: pip install ".[grpc]"') from None
        except ConnectionError:
            raise UserError(f"--storage {shown}: nobody answers there within {WAIT:g} s") from None
        return proxy
    if scheme not in ("sqlite", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        raise UserError(f"--storage {shown}: write {URLS}")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if scheme == "sqlite":
        file = Path(os.path.abspath(rest.removeprefix("///")))
        file.parent.mkdir(parents=True, exist_ok=True)
        url = "sqlite:///study"  # a URL cannot name every file: not with ?, % and braces
        connect = functools.partial(sqlite3.connect, file, timeout=60, check_same_thread=False)  # others may be writing
        options = {"creator": connect}
    if scheme == "postgresql":
        url = f"postgresql+psycopg:{rest}"
    try:
        made = _first_to_create(lambda: storages.get_storage(storages.RDBStorage(url, engine_kwargs=options)))
        return made if scheme == "sqlite" else make_patient(made, shown)
    except (ImportError, ModuleNotFoundError):
        raise UserError('--storage postgresql needs a driver: pip install ".[postgres]"') from None
    except optuna.exceptions.StorageInternalError as error:
        text = " ".join(str(error.__cause__ or error).split())
        raise UserError(without_passwords(f"--storage {shown}: {text}")) from None
    except Exception as error:
        if type(error).__module__.startswith("sqlalchemy"):
            text = without_passwords(" ".join(str(error).split()))
            raise UserError(f"--storage {shown}: {text[:300]}") from None
        raise


def _first_to_create(make: Callable[[], BaseStorage]) -> BaseStorage:
    """Open a storage; retry while another process is creating its tables."""
    for _ in range(5):
        try:
            return make()
        except Exception as error:
            if not re.search("already exists|UNIQUE|unique|duplicate key|locked", f"{error} {error.__cause__}"):
                raise
            time.sleep(0.5)
    return make()


def open_study(
    sweep: Sweep, storage: str | BaseStorage | None = None, root: str | Path = "runs", create: bool = False
) -> Study:
    """Open the study of a sweep.

    Args:
        sweep: The sweep.
        storage: A URL or what `open_storage` returned; None is SQLite in the store.
        root: The store.
        create: Whether to create the study where there is none yet.

    Raises:
        UserError: There is no study, or its storage cannot be reached.
    """
    import optuna

    missing = f"{sweep.name} has no study {sweep.study} yet: run dupl sweep {sweep.name} first, or give --storage"
    if storage is None:
        file = Path(default_url(sweep, root).removeprefix("sqlite:///"))
        if not create and not file.is_file():
            raise UserError(missing)
    if storage is None or isinstance(storage, str):
        storage = open_storage(storage or default_url(sweep, root))
    name = sweep.study
    if name not in optuna.get_all_study_names(storage):
        name = earlier_study(sweep, storage, root) or name
    directions: Any = [direction for _, direction in sweep.goal]
    tools: dict[str, Any] = dict(sampler=make_sampler(sweep.sampler, 0), pruner=make_pruner(sweep.pruner, sweep.goal))
    try:
        if not create:
            return optuna.load_study(study_name=name, storage=storage, **tools)
        study = optuna.create_study(
            study_name=name, storage=storage, directions=directions, load_if_exists=True, **tools
        )
    except KeyError:
        raise UserError(missing) from None
    if study.metric_names != [metric for metric, _ in sweep.goal]:
        study.set_metric_names([metric for metric, _ in sweep.goal])
    return study


def best_trials(sweep: Sweep, study: Study) -> list[FrozenTrial]:
    """Return the trials with a value, the best first and each run once; of several goals those of the front.

    Args:
        sweep: Whose first goal orders them.
        study: Its study.
    """
    from optuna.trial import TrialState

    direction = sweep.goal[0][1]
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(sweep.goal) > 1:
        front = {trial.number for trial in study.best_trials}
        found = [trial for trial in found if trial.number in front]
    found = sorted(found, key=lambda t: -t.values[0] if direction == "maximize" else t.values[0])
    return list({trial.user_attrs.get("run", trial.number): trial for trial in reversed(found)}.values())[::-1]


def trials(study: Study) -> DataFrame:
    """Return the trials of a study as a table, one row per trial.

    Columns: number, state ("complete", "pruned", "failed", "running" or "waiting"), value (of the first goal; NaN where
    there is none), values, params/<name> for each parameter, run (fingerprint), folder, iteration, seconds, started,
    ended, cached (whether the run was in the store before the trial), reason.
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
