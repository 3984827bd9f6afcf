"""Stores: choose runs of one, and compare a run with what this machine would make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dupl.api.inference import AnyRun, folder_of
from dupl.api.planned import choose_runs
from dupl.api.recipes import Overrides, load_recipe
from dupl.api.tables import AnyPlan, AnyStore, load_plan, open_store
from dupl.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from dupl.execute.prune import Superfluous
    from dupl.runs.listing import RunLine
    from dupl.runs.reproduce import Check
    from dupl.runs.status import Status
    from dupl.runs.stored_run import StoredRun


def select_runs(
    store: AnyStore = "runs",
    names: Sequence[str | Path] = (),
    *,
    plan: AnyPlan | None = None,
    rows: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    older: timedelta | None = None,
    newer: timedelta | None = None,
    overrides: Overrides = None,
    tell: Callable[[str], None] | None = None,
) -> list[StoredRun]:
    """Return the runs of a store that meet every condition, by path.

    Args:
        store: A store or its folder.
        names: Fingerprints or folders; all runs by default.
        plan: Only runs of this plan, of any seed.
        rows: Only runs of rows with these keys: of the plan, or of any plan by the store's records.
        states: Of `run_states`.
        older: Only runs that ended longer ago; one that has not ended counts from its last sign.
        newer: Only runs that ended at most so long ago.
        overrides: Values by path with which the plan's runs were trained; None takes those of the last ``dupl ablate``
            of the plan in the store.
        tell: Called with lines on the call that is taken, and on the others.

    Raises:
        UserError: There is no such plan, or no run of a name.

    Example:
        >>> [run.path.name for run in dupl.api.select_runs("runs", plan="plan.py", states=["finished"])][:2]
        ['L_dis-0', 'L_dis-1']
    """
    from dupl.runs.selection import select

    opened = open_store(store)
    runs = opened.runs()
    if plan is None and rows is not None:
        runs = [run for run in runs if any(row in rows for _, row in planned_rows(opened, run))]
    if plan is not None:
        made, seeds = load_plan(plan), {run.status.seed for run in runs if run.status.seed >= 0}
        said = tell or (lambda line: None)
        chosen = choose_runs(made, opened, rows, sorted({*made.seeds, *seeds}), overrides, tell=said)
        members = {run.fingerprint for run in chosen.runs}
    found = select(runs, names, states, older, newer)
    return found if plan is None else [run for run in found if run.fingerprint in members]


def list_runs(
    store: AnyStore = "runs",
    *,
    states: Sequence[str] | None = None,
    older: timedelta | None = None,
    newer: timedelta | None = None,
) -> list[RunLine]:
    """Return what is listed of each run of a store, by path; of many runs from an index beside them.

    Args:
        store: A store or its folder.
        states: Of `run_states`.
        older: Only runs that ended longer ago; one that has not ended counts from its last sign.
        newer: Only runs that ended at most so long ago.

    Example:
        >>> [(line.path.name, line.state) for line in dupl.api.list_runs("runs")][:1]
        [('L_dis-0', 'finished')]
    """
    now = datetime.now(timezone.utc).timestamp()
    return [
        line
        for line in open_store(store).lines()
        if (states is None or line.state in states)
        and (older is None or now - line.seen > older.total_seconds())
        and (newer is None or now - line.seen <= newer.total_seconds())
    ]


def run_line(store: AnyStore, run: StoredRun) -> RunLine:
    """Return what is listed of a run.

    Example:
        >>> dupl.api.run_line("runs", dupl.find_run("runs", "plan.py", "L_reg")).iteration
        90
    """
    from dupl.runs.listing import RunLine

    return RunLine.of(open_store(store).root, run)


def on_other_data(lines: Iterable[RunLine]) -> set[Path]:
    """Return the folders of runs whose evaluation read other data than the newest evaluation of the same recipe.

    Example:
        >>> dupl.api.on_other_data(dupl.api.list_runs("runs"))
        set()
    """
    from dupl.runs.outdated import on_other_data as found

    return found(lines)


def superfluous_checkpoints(
    store: AnyStore, runs: Sequence[StoredRun], tell: Callable[[str], object] | None = None
) -> list[Superfluous]:
    """Return the checkpoints of runs that no resumption, evaluation, table or later run needs.

    Args:
        store: A store or its folder.
        runs: The runs to look into, of the store.
        tell: Called with a line on what is kept, and why.

    Example:
        >>> found = dupl.api.superfluous_checkpoints("runs", dupl.api.select_runs("runs"))
        >>> all(one.size > 0 for one in found)
        True
    """
    from dupl.execute.prune import superfluous

    return superfluous(open_store(store), runs, tell or (lambda line: None))


def remove_checkpoints(store: AnyStore, found: Superfluous) -> None:
    """Remove the checkpoints of a run that nothing needs, as `superfluous_checkpoints` found them.

    Raises:
        UserError: A process is at work on the run by now.

    Example:
        >>> for found in dupl.api.superfluous_checkpoints("runs", dupl.api.select_runs("runs")):
        ...     dupl.api.remove_checkpoints("runs", found)
    """
    from dupl.execute.prune import remove

    remove(open_store(store), found)


def run_states() -> tuple[str, ...]:
    """Return the states that a run may be in.

    Example:
        >>> dupl.api.run_states()
        ('created', 'running', 'finished', 'failed', 'interrupted')
    """
    from dupl.runs.status import State

    return get_args(State)


def planned_rows(store: AnyStore, run: StoredRun) -> list[tuple[str, str]]:
    """Return the plans and rows that asked for a run, by the store's records.

    Example:
        >>> outcome = dupl.ablate("plan.py", "runs", rows=["L_reg"])
        >>> dupl.api.planned_rows("runs", dupl.find_run("runs", "plan.py", "L_reg"))
        [('plan', 'L_reg')]
    """
    from dupl.runs.planned import recorded

    return recorded(open_store(store).root, run.fingerprint)


def run_metric(run: StoredRun, metric: str) -> float | None:
    """Return a metric of a run's last evaluation during training, in percent; None where there is none.

    Example:
        >>> dupl.api.run_metric(dupl.find_run("runs", "plan.py", "L_reg"), "seg/best/mIoU") > 0
        True
    """
    from dupl.runs.selection import metric_of

    return metric_of(run, metric)


def newest_run(root: str | Path = "runs") -> Path:
    """Return the folder of the run of a store that was finished last.

    Args:
        root: The store.

    Raises:
        UserError: No run is finished there.

    Example:
        >>> dupl.api.newest_run("no/store")
        Traceback (most recent call last):
        dupl.errors.UserError: no/store holds no finished run: name one, or train one first (dupl train)
    """
    from dupl.runs.store import RunStore

    finished = [run for run in RunStore(root).runs() if run.state == "finished" and run.status.iteration]
    if not finished:
        raise UserError(f"{root} holds no finished run: name one, or train one first (dupl train)")
    return max(finished, key=lambda run: run.written).path


def run_facts(run: StoredRun) -> dict[str, Any]:
    """Return what is known of a run as plain values: its folder, recipe, size in bytes and status.

    Example:
        >>> facts = dupl.api.run_facts(dupl.find_run("runs", "plan.py", "L_reg"))
        >>> facts["state"], facts["iteration"], facts["seed"]
        ('finished', 90, 0)
    """
    from dataclasses import asdict

    known = asdict(run.status) | {"state": run.state}
    return {"run": str(run.path), "recipe": run.recipe, "bytes": run.size(), "died": run.stale, **known}


def last_seen(run: StoredRun) -> datetime:
    """Return when a run ended, or when its status was last written, as a datetime in UTC.

    Example:
        >>> dupl.api.last_seen(dupl.find_run("runs", "plan.py", "L_reg")).tzinfo
        datetime.timezone.utc
    """
    from dupl.runs.selection import last_seen as seen

    return seen(run)


def run_status(run: AnyRun) -> Status:
    """Return the status of a run as it stands on disk.

    Args:
        run: A run or its folder.

    Raises:
        UserError: The folder holds no run, or its status is corrupt.

    Example:
        >>> dupl.api.run_status("runs/tiny").iteration
        24
    """
    from dupl.runs.run import Run

    return Run(folder_of(run)).status


def run_stretches(status: Status) -> list[str]:
    """Return a line for each stretch of a training: its iterations, its machine, and what is other than before.

    Example:
        >>> dupl.api.run_stretches(dupl.api.run_status("runs/tiny"))
        ['iterations 0 to 24 in ...']
    """
    from dupl.runs.stretches import described

    return described(status.history)


def compare_run(run: AnyRun, overrides: Overrides = None) -> list[Check]:
    """Compare how a run was made with how this machine would make it: config, code, packages, machine, data.

    Args:
        run: A run or its folder.
        overrides: Values by path with which it would be repeated, such as where its data lies now.

    Returns:
        One check for each thing that decides whether the same numbers come out; ``same`` is None where it is not known.

    Raises:
        UserError: The folder holds no run, or its data is not there.

    Example:
        >>> [check.what for check in dupl.api.compare_run("runs/tiny")][:2]
        ['config', 'commit']
    """
    from dupl.engine.data_digest import digests
    from dupl.engine.device import hardware, open_device
    from dupl.runs.config import read_config_values
    from dupl.runs.label_maps import refuse
    from dupl.runs.reproduce import checks
    from dupl.runs.run import Run
    from dupl.runs.seeds import spread_of_seeds

    made = Run(folder_of(run))
    made.status  # noqa: B018  (a folder without a run is refused before its config is read)
    refuse(made.path, read_config_values(made.path))
    config = load_recipe(_stored_config(made), overrides)
    try:
        here = hardware(open_device(config.runtime), 1)
    except UserError:  # the recipe asks for a GPU, and there is none
        here = {}
    return checks(made, config, digests(config), here, spread_of_seeds(made.path, config.evaluation.best))


def reproduce_command(run: AnyRun, out: str | Path, overrides: Sequence[str] = ()) -> list[str]:
    """Return the words of the command that makes a run again in another folder.

    Args:
        run: A run or its folder.
        out: The other folder.
        overrides: Texts such as "data.train.root=DIR".

    Example:
        >>> dupl.api.reproduce_command("runs/tiny", "again")[:3]
        ['dupl', 'train', 'runs/tiny/config.py']
    """
    from dupl.runs.reproduce import command
    from dupl.runs.run import Run

    made = Run(folder_of(run))
    words = command(made, made.config_path, Path(out))
    return [*words, "--set", *overrides] if overrides else list(words)


def reproduce_run(
    run: AnyRun, out: str | Path, overrides: Sequence[str] = (), console: Console | None = None
) -> list[Check]:
    """Train a run again in another folder, and compare every scalar and evaluation.

    Args:
        run: A run or its folder.
        out: The other folder; repeated, the call continues there, and only compares where training has finished.
        overrides: Texts such as "data.train.root=DIR".
        console: Where progress is shown; by default standard error.

    Raises:
        UserError: The run took several processes, or the folder holds something else.
        RunError: Training stopped by itself.

    Example:
        >>> all(check.same for check in dupl.api.reproduce_run("runs/tiny", "again"))
        True
    """
    from dupl.data.identity import identify
    from dupl.engine.training.train import train
    from dupl.runs.reproduce import compare
    from dupl.runs.run import Run

    made, other = Run(folder_of(run)), Run(Path(out))
    words = reproduce_command(run, out, overrides)
    if words[0] == "torchrun":
        raise UserError("the run took several processes: start the command above, then repeat this one to compare")
    config = load_recipe(_stored_config(made), overrides)
    known = other.exists() and other.status.state == "finished"
    finished = known and other.status.fingerprint == identify(config).run
    if not finished:
        train(config, Path(out), resume=True, command=words, console=console)
    return compare(made, other)


def _stored_config(run: Any) -> Any:
    from dupl.runs.config import read_config

    return read_config(run.path)
