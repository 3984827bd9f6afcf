"""Evidence: archives of tables, their verification, the compute report and the checklist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.api.inference import is_run
from dupl.api.planned import choose_runs, last_overrides
from dupl.api.recipes import Overrides
from dupl.api.store import select_runs
from dupl.api.sweeps import is_sweep, load_sweep
from dupl.api.tables import AnyPlan, AnyStore, load_plan, open_store
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.evidence.compute import ComputeForm
    from dupl.evidence.export import Exported
    from dupl.evidence.planned import ArchivedPlan
    from dupl.evidence.verify import Verification
    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun

Tell = Callable[[str], None]


def verify_evidence(file: str | Path) -> Verification:
    """Compute every cell, interval and star of an archive again, from the counts that it holds.

    It needs neither torch nor the network nor the store. It proves that numbers, counts and configs belong together,
    not that a training took place.

    Args:
        file: An archive that `export_evidence` wrote.

    Returns:
        ``proven``; ``verdicts``, one for each cell, with the reason where it is not proven and what limits it where it
        is; ``faults`` of the archive as a whole; ``lines()``, all of it as text.

    Raises:
        UserError: The file is missing, or no archive that can be unpacked and read.

    Example:
        >>> found = dupl.verify_evidence("evidence.zip")
        >>> found.proven, found.runs
        (True, 6)
    """
    from dupl.evidence.verify import verify

    return verify(file)


def export_evidence(
    what: AnyPlan | Sequence[str | Path],
    out: str | Path,
    store: AnyStore = "runs",
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    data: str | None = None,
    call: int | None = None,
    masks: Sequence[str] = (),
    storage: str | None = None,
    anonymous: bool = False,
    command: str = "",
    tell: Tell | None = None,
) -> Exported:
    """Write the archive of a table: its cells, and all that they follow from.

    Args:
        what: A plan, a sweep, a run's folder, or a list of folders or ids of runs.
        out: The file to write; its name ends with ".zip".
        store: A store or its folder.
        rows: Keys of a plan's rows; all by default.
        seeds: By default the plan's.
        overrides: As of `ablation_table`.
        data: As of `ablation_table`.
        call: As of `ablation_table`.
        masks: As of `ablation_table`.
        storage: URL of a sweep's study; by default it lies in the store.
        anonymous: Leave out what names people, machines and places.
        command: The command that the archive names.
        tell: Called with lines on what is not in the archive.

    Returns:
        ``path``, ``digest``, ``size``, and ``verification``, which `verify_evidence` made of the file.

    Raises:
        UserError: There is no such plan, sweep or run, no run of it is in the store, or a package is missing.

    Example:
        >>> found = dupl.export_evidence("plan.py", "evidence.zip", anonymous=True)
        >>> found.verification.proven, len(found.verification.verdicts)
        (True, 6)
    """
    from dupl.evidence.compute import compute_form as compute
    from dupl.evidence.export import export
    from dupl.evidence.forms import compute_text as text

    said, opened = tell or (lambda line: None), open_store(store)
    chosen: dict[str, Any] = dict(rows=rows, seeds=seeds, overrides=overrides, data=data, call=call, storage=storage)
    chosen["masks"] = tuple(masks)
    archived, runs = _source(what, opened, command, said, **chosen)
    form = compute(archived.plan, _by_row(archived.runs), opened.runs() or list(runs.values()))
    forms = {f"compute.{style}": text(form, style) for style in ("md", "csv")}
    return export(archived, runs, Path(out), forms=forms, anonymous=anonymous, tell=said)


def _source(
    what: AnyPlan | Sequence[str | Path],
    store: RunStore,
    command: str,
    tell: Tell,
    *,
    rows: Sequence[str] | None,
    seeds: Sequence[int] | None,
    overrides: Overrides,
    data: str | None,
    call: int | None,
    storage: str | None,
    masks: Sequence[str],
) -> tuple[ArchivedPlan, dict[str, StoredRun]]:
    """Return what is archived, and its runs by id."""
    from dupl.evidence import sources

    names = [what] if isinstance(what, (str, Path)) and is_run(what) else what
    if isinstance(names, (list, tuple)):
        if rows or seeds or data or call or storage or masks:
            raise UserError("rows, seeds, data, call, storage and masks are of plans and sweeps: a run is what it is")
        found = _runs(names, store)
        name = found[0].path.name if len(found) == 1 else f"{len(found)} runs"
        return sources.of_runs(found, name, command), {run.fingerprint: run for run in found}
    if isinstance(names, (str, Path)) and is_sweep(str(names)):
        if rows or seeds or data or call or masks:
            raise UserError("rows, seeds, data, call and masks are of plans: a sweep has trials")
        return _sweep(str(names), store, command, overrides, storage, tell)
    chosen: dict[str, Any] = dict(rows=rows, seeds=seeds, overrides=overrides, data=data, call=call)
    return _plan(names, store, command, tell, masks=masks, **chosen)


def _runs(names: Sequence[str | Path], store: RunStore) -> list[StoredRun]:
    """Return runs of a store, or of folders outside it, one of each id."""
    from dupl.runs.stored_run import open_run

    outside = [run for name in names if is_run(name) and (run := open_run(name)) is not None]
    inside = [name for name in names if not is_run(name)]
    found = [*outside, *(store.best(select_runs(store, inside)) if inside else ())]
    return list({run.fingerprint: run for run in found}.values())


def _sweep(
    name: str, store: RunStore, command: str, overrides: Overrides, storage: str | None, tell: Tell
) -> tuple[ArchivedPlan, dict[str, StoredRun]]:
    from dupl.evidence import sources
    from dupl.plans.samplers import quiet_optuna
    from dupl.plans.study import open_study

    if overrides is None:
        overrides = last_overrides(store, load_sweep(name).name, tell)
    sweep = load_sweep(name, overrides)
    with quiet_optuna():
        trials = sources.trial_facts(sweep, open_study(sweep, storage, store.root).get_trials(deepcopy=False))
    wanted = {one["run"] for one in trials}
    runs = {run.fingerprint: run for run in store.best() if run.fingerprint in wanted}
    if not runs:
        raise UserError(f"no run of the sweep {sweep.name} is in {store.root}: name the store that holds them (--root)")
    return sources.of_runs(list(runs.values()), sweep.name, command, trials), runs


def _plan(
    what: Any,
    store: RunStore,
    command: str,
    tell: Tell,
    *,
    rows: Sequence[str] | None,
    seeds: Sequence[int] | None,
    overrides: Overrides,
    data: str | None,
    call: int | None,
    masks: Sequence[str],
) -> tuple[ArchivedPlan, dict[str, StoredRun]]:
    from dupl.evidence import sources
    from dupl.plans.paper import comparable
    from dupl.report.plan_report import shown_runs

    plan = load_plan(what).with_label_maps(masks)
    rows = None if rows is None else [*rows, *masks]
    if not store.root.is_dir():
        raise UserError(f"there is no store {store.root}: dupl ablate trains the runs, or name another store (--root)")
    chosen = choose_runs(plan, store, rows, seeds, overrides, data=data, call=call, tell=tell)
    stored = store.best()
    shown, runs = shown_runs(comparable(plan.select(rows), chosen.overrides), chosen.runs, stored, data)
    return sources.of_plan(shown, chosen.runs, runs, store, stored, command), runs


def compute_form(
    plan: AnyPlan,
    store: AnyStore = "runs",
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    data: str | None = None,
    call: int | None = None,
    watts: float | None = None,
    tell: Tell | None = None,
) -> ComputeForm:
    """Report what the runs of a table took: hours, devices, memory, failures, and an estimate of energy.

    Args:
        plan: A plan, its name or its file.
        store: A store or its folder; its other runs are the development history.
        rows: Keys of rows; all by default.
        seeds: By default the plan's.
        overrides: As of `ablation_table`.
        data: As of `ablation_table`.
        call: As of `ablation_table`.
        watts: Power of one GPU that was measured; by default the nominal one.
        tell: Called with lines on the call that is taken, and on the others.

    Returns:
        ``rows``, ``total`` and ``development``, each with its hours; `compute_text` writes it.

    Raises:
        UserError: No such plan, row or store.

    Example:
        >>> form = dupl.compute_form("plan.py", "runs")
        >>> form.total.runs, form.total.gpu_hours
        (6, 0.0)
    """
    from dupl.evidence.compute import compute_form as form

    opened, made = open_store(store), load_plan(plan)
    chosen = choose_runs(made, opened, rows, seeds, overrides, data=data, call=call, tell=tell or (lambda line: None))
    return form(made.select(rows), _by_row(chosen.runs), opened.runs(), watts)


def _by_row(runs: Iterable[Any]) -> dict[str, list[str]]:
    """Return the ids of planned or archived runs by the key of their row."""
    ids: dict[str, list[str]] = {}
    for run in runs:
        ids.setdefault(run.row, []).append(run.fingerprint)
    return ids


def compute_text(form: ComputeForm, style: str = "md") -> str:
    """Return a compute report as "md", "latex" or "csv" text.

    Args:
        form: Of `compute_form`.
        style: The format.

    Raises:
        UserError: There is no such format.

    Example:
        >>> print(dupl.api.compute_text(dupl.compute_form("plan.py", "runs"), "csv"))
        row,runs,gpu_hours,...
    """
    from dupl.evidence.forms import compute_text as text

    return text(form, style)


def checklist(plan: AnyPlan, store: AnyStore = "runs", **chosen: Any) -> str:
    """Answer the items of the NeurIPS checklist that runs can answer, and mark those that only a person can.

    Args:
        plan: A plan, its name or its file.
        store: A store or its folder.
        **chosen: ``rows``, ``seeds``, ``overrides``, ``data``, ``call`` and ``tell`` of `ablation_table`.

    Returns:
        The checklist as Markdown.

    Raises:
        UserError: As `ablation_table`.

    Example:
        >>> print(dupl.checklist("plan.py", "runs"))
        ## Reproducibility checklist ...
    """
    from dupl.api.tables import ablation_table
    from dupl.evidence.checklist import facts_of
    from dupl.evidence.forms import checklist_text

    opened = open_store(store)
    found = ablation_table(plan, opened, **chosen)
    wanted = {run.fingerprint for run in found.runs}
    runs = [run for run in opened.best() if run.fingerprint in wanted]
    return checklist_text(facts_of(found.table, runs, compute_form(plan, opened, **chosen)))
