"""Many runs: train what a plan lacks, search by a sweep, confirm what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.api.planned import resolved
from dupl.api.recipes import Overrides, Wandb, check_wandb, override_values
from dupl.api.sweeps import AnySweep, load_sweep
from dupl.api.tables import AnyPlan, AnyStore, ablation_table, load_plan, open_store, put_table_on_wandb, table_folder
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.execute.ablation import Ablation, Outcome
    from dupl.execute.resources import Resources
    from dupl.execute.scheduler import Rules
    from dupl.execute.search import Search


def ablate(
    plan: AnyPlan,
    store: AnyStore = "runs",
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    resources: Resources | None = None,
    rules: Rules | None = None,
    wandb: Wandb = "off",
    share: bool = True,
) -> Outcome:
    """Train and evaluate the runs of a plan that a store does not have yet.

    What is finished is skipped, what was interrupted is continued, and several callers on any machines that share the
    store may do this at the same time.

    Args:
        plan: A plan, its name or its file.
        store: A store or its folder.
        rows: Keys of rows; all by default.
        seeds: By default the plan's.
        overrides: Values by path for every run, such as where data lies.
        resources: Where runs are executed; by default on this machine, one per GPU.
        rules: When to try again and when to stop.
        wandb: "off", "offline", "online" or "trackio": whether and by what the runs are tracked; None leaves that to
            DUPL_TRACK and WANDB_MODE.
        share: Train once what runs have in common: those that differ only in what begins late start from a checkpoint
            of the one that trains it, and are bit for bit what they are from scratch.

    Returns:
        How each run ended.

    Raises:
        UserError: No such plan, row or path.
        RunError: Some runs failed.

    Example:
        >>> outcome = dupl.ablate("plan.py", "runs", resources=dupl.api.Resources(jobs=2, gpus=[]))
        >>> outcome.lines(), outcome.began
        (['6 runs: 6 finished (6 were finished before)'], False)
    """
    ablation = prepare_ablation(
        plan, store, rows=rows, seeds=seeds, overrides=overrides, resources=resources, wandb=wandb, share=share
    )
    outcome = ablation.run(rules)
    outcome.check()
    return outcome


def prepare_ablation(
    plan: AnyPlan,
    store: AnyStore = "runs",
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    resources: Resources | None = None,
    wandb: Wandb = None,
    dry_run: bool = False,
    share: bool = True,
    before: Sequence[AnyPlan] = (),
    after: Sequence[AnyPlan] = (),
) -> Ablation:
    """Compare the runs of a plan with a store; arguments as of `ablate`.

    Args:
        plan: A plan, its name or its file.
        store: A store or its folder.
        rows: Keys of rows.
        seeds: Seeds.
        overrides: Values by path.
        resources: Where runs are executed.
        wandb: Whether the runs are tracked.
        dry_run: Whether it is only for `preview_ablation`; then no cluster is asked.
        share: Whether runs that share a beginning train it once.
        before: Plans that will have been run before in this store, with the same seeds and overrides; for a preview.
        after: Plans that will be run later, likewise: checkpoints are kept where their runs begin as runs of this plan.

    Returns:
        What is left to do, whose ``run(rules, show)`` does it.

    Raises:
        UserError: No such plan, row or path, or a package that is missing.

    Example:
        >>> ablation = dupl.api.prepare_ablation("plan.py", "runs", rows=["L_reg"], dry_run=True)
        >>> [job.title for job in ablation.jobs]
        ['L_reg, seed 0', 'L_reg, seed 1']
    """
    from dupl.execute.ablation import Ablation as Prepared
    from dupl.execute.resources import Resources as All
    from dupl.runs.calls import Call, record

    if wandb is not None:
        check_wandb(wandb)  # before the work: what cannot be is told at once
    made, opened, values = load_plan(plan), open_store(store), override_values(overrides)
    planned = resolved(made.expand(rows, seeds, values), opened)
    others = [
        [run for one in plans for run in resolved(load_plan(one).expand(None, seeds, values), opened)]
        for plans in (before, after)
    ]
    prepared = Prepared.prepare(
        made,
        planned,
        opened,
        resources or All(),
        dry_run=dry_run,
        shared=share,
        before=others[0],
        after=others[1],
    )
    if not dry_run:
        asked = None if seeds is None else list(seeds), None if rows is None else list(rows)
        record(opened.root, Call("ablate", made.name, values, *asked))
    return prepared.tracked(wandb)


def preview_ablation(ablation: Ablation) -> list[str]:
    """Return what is left to do for a plan, as lines: changes of each row, state of each run, time remaining.

    Example:
        >>> lines = dupl.api.preview_ablation(dupl.api.prepare_ablation("plan.py", "runs", dry_run=True))
        >>> lines[-1]
        'time remaining: none, all runs are finished'
    """
    from dupl.execute.preview import preview

    return preview(ablation)


def preview_facts(ablation: Ablation) -> list[dict[str, Any]]:
    """Return what is left to do for a plan as plain values, a dict for each run: state, iterations, time remaining.

    Example:
        >>> facts = dupl.api.preview_facts(dupl.api.prepare_ablation("plan.py", "runs", dry_run=True))
        >>> len(facts), facts[0]["row"], facts[0]["state"], facts[0]["seconds_remaining"]
        (6, 'baseline', 'finished', 0)
    """
    from dupl.execute.preview import preview_facts as facts

    return facts(ablation)


def put_finished_table(
    plan: AnyPlan,
    store: AnyStore,
    *,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    wandb: Wandb = None,
    began: bool = True,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Log the table of a finished plan on the tracker of its runs, if they are tracked; a failure is told, not raised.

    Args:
        plan: A plan, its name or its file.
        store: A store or its folder.
        seeds: By default the plan's.
        overrides: Values by path with which the runs were trained.
        wandb: As of `ablate`.
        began: Whether any run was begun just now; if not, a table that was logged before stays as it is.
        tell: Called with a line where it fails; printed by default.

    Example:
        >>> dupl.api.put_finished_table("plan.py", "runs", wandb="off")
    """
    from dupl.track.choice import choose
    from dupl.track.wandb_like import of_mode

    tell = tell or print
    try:
        root, name = open_store(store).root, load_plan(plan).name
        mode = choose(wandb).mode
        if mode == "off" or (not began and (table_folder(root, name) / of_mode(mode).record).is_file()):
            return
        put_table_on_wandb(ablation_table(plan, store, seeds=seeds, overrides=overrides), root, mode, tell)
    except Exception as error:  # the runs are finished, whatever becomes of the table
        tell(f"the table was not logged: {type(error).__name__}: {error}")


def open_search(
    sweep: AnySweep,
    root: str | Path = "runs",
    *,
    overrides: Overrides = None,
    storage: str | None = None,
    trials: int | None = None,
    resume: bool = False,
    resources: Resources | None = None,
    rules: Rules | None = None,
    wandb: Wandb = None,
) -> Search:
    """Open a sweep to run it; its trials are runs of a store, and poor ones are stopped early.

    Args:
        sweep: A sweep, its name or its file.
        root: The store.
        overrides: As of `load_sweep`.
        storage: URL of the study; by default SQLite in the store.
        trials: How many there are to be in all; by default what the sweep says.
        resume: Whether to continue a study that has trials, or to join another process at it.
        resources: Where runs are executed; by default on this machine, one per GPU.
        rules: When to try again and when to stop.
        wandb: As of `ablate`: whether and by what the trials are tracked.

    Returns:
        The search, whose ``run()`` brings all trials to their end.

    Raises:
        UserError: No such sweep, a storage that cannot be reached, a study that has trials although ``resume`` is not
            set, or images without the masks that trials are evaluated by.

    Example:
        >>> search = dupl.api.open_search("demo", "store", trials=3)
        >>> search.trials, search.study.study_name[:5], len(search.study.trials)
        (3, 'demo-', 0)
    """
    from dupl.execute.search import Search as Opened
    from dupl.runs.calls import Call, record

    if wandb is not None:
        check_wandb(wandb)  # before the work: what cannot be is told at once
    made = load_sweep(sweep, overrides)
    search = Opened.open(made, root, storage=storage, trials=trials, resume=resume, resources=resources, rules=rules)
    search = search.tracked(wandb)
    record(root, Call("sweep", made.name, override_values(overrides)))
    from dupl.engine.build import build_dataset

    if not build_dataset(made.config, "val").has_masks:
        raise UserError(
            f"{made.name}: the images of the search split have no masks to evaluate trials by: add masks to "
            "data.train, or give another split by search = dict(set={...})"
        )
    return search


def preview_search(
    sweep: AnySweep,
    root: str | Path = "runs",
    *,
    overrides: Overrides = None,
    storage: str | None = None,
    trials: int | None = None,
) -> list[str]:
    """Return what a sweep would do, as lines: what it searches, where it starts, how long it takes at most.

    Args:
        sweep: A sweep, its name or its file.
        root: The store.
        overrides: As of `load_sweep`.
        storage: As of `open_search`.
        trials: As of `open_search`.

    Raises:
        UserError: No such sweep.

    Example:
        >>> dupl.api.preview_search("demo", trials=2)[-1]
        '2 trials of 5 evaluations each: hours unknown (the store has no similar run), one after the other'
    """
    from dupl.execute.search import preview_search as preview

    return preview(load_sweep(sweep, overrides), root, storage, trials)


def search_facts(
    sweep: AnySweep,
    root: str | Path = "runs",
    *,
    overrides: Overrides = None,
    storage: str | None = None,
    trials: int | None = None,
) -> dict[str, Any]:
    """Return what a sweep would do as plain values: goal, space, starting points, trials, seconds at most.

    Args:
        sweep: A sweep, its name or its file.
        root: The store.
        overrides: As of `load_sweep`.
        storage: As of `open_search`.
        trials: As of `open_search`.

    Raises:
        UserError: No such sweep.

    Example:
        >>> facts = dupl.api.search_facts("demo", trials=2)
        >>> facts["trials"], facts["evaluations"], facts["goal"]
        (2, 5, [['seg/best/mIoU', 'maximize']])
    """
    from dupl.execute.search import search_facts as facts

    return facts(load_sweep(sweep, overrides), root, storage, trials)


def confirm_sweep(
    sweep: AnySweep,
    root: str | Path = "runs",
    *,
    count: int,
    seeds: Sequence[int] = (0, 1, 2),
    overrides: Overrides = None,
    storage: str | None = None,
    write: bool = True,
) -> tuple[Path, str, bool]:
    """Choose the best points of a sweep, and write a plan that trains them and the paper's on the report split.

    Points that were chosen before stay chosen: the plan is written once.

    Args:
        sweep: A sweep, its name or its file.
        root: The store.
        count: How many points besides the paper's.
        seeds: Each point is trained with each.
        overrides: As of `load_sweep`.
        storage: As of `open_search`.
        write: Whether to write the plan.

    Returns:
        The plan's file, its text, and whether it was there before.

    Raises:
        UserError: There is no study, or no trial besides the starting point is complete.

    Example:
        >>> dupl.api.confirm_sweep("demo", "nowhere", count=3)
        Traceback (most recent call last):
        dupl.errors.UserError: demo has no study ...
    """
    from dupl.plans.confirm import confirm

    return confirm(load_sweep(sweep, overrides), root, count, seeds, storage, write)
