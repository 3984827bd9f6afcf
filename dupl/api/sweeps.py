"""Sweeps: load one, report what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Union

from dupl.api.inference import Progress
from dupl.api.planned import last_overrides
from dupl.api.recipes import Overrides, override_values
from dupl.api.tables import AnyStore, open_store
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.plans.sweep import Sweep
    from dupl.report.sweep_report import SweepFindings

AnySweep = Union[str, Path, "Sweep"]


def load_sweep(name: AnySweep, overrides: Overrides = None) -> Sweep:
    """Load a sweep: what is searched, by which goal, on which data.

    Args:
        name: A name that ``dupl show --sweep`` lists, such as "dta_anf", or the path of a file.
        overrides: Values by path that change its recipe, such as where data lies; they make it another study.

    Returns:
        The sweep, whose ``run(params)`` returns the run of a point of its space.

    Raises:
        UserError: There is no such sweep, or it is not valid against its recipe.

    Example:
        >>> sweep = dupl.load_sweep("demo")
        >>> sweep.goal, list(sweep.space)[:2]
        ((('seg/best/mIoU', 'maximize'),), ['model.threshold.final', 'warm-up'])
    """
    if not isinstance(name, (str, Path)):
        return name

    from dupl.plans.samplers import quiet_optuna
    from dupl.plans.sweep import load

    with quiet_optuna():
        return load(name, override_values(overrides))


def sweep_report(
    sweep: AnySweep,
    store: AnyStore = "runs",
    *,
    storage: str | None = None,
    overrides: Overrides = None,
    bootstraps: int = 50,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> SweepFindings:
    """Report what the trials of a sweep tell: the best ones, and how much each parameter matters.

    Args:
        sweep: A sweep, its name or its file.
        store: A store or its folder; it holds the runs, and the study unless ``storage`` says where that is.
        storage: URL of the study.
        overrides: As of `load_sweep`; None takes those of the last ``dupl sweep`` of this name in the store.
        bootstraps: Resamples of the trials behind the spread of the importances.
        progress: Called with the bootstraps done and in all.
        tell: Called with lines on the call that is taken, and on the others.

    Returns:
        The report, which a notebook displays; ``render("md")`` or ``render("html")`` returns it as text,
        ``report.best`` are the numbers of the best trials, ``report.importances`` how much parameters matter.

    Raises:
        UserError: No such sweep, or it has no study yet.

    Example:
        >>> found = dupl.sweep_report("demo", "searched", bootstraps=2)
        >>> found.report.best[:2], len(found.report.trials)
        ((0, 1), 8)
        >>> dupl.sweep_report("demo", "runs")
        Traceback (most recent call last):
        dupl.errors.UserError: demo has no study ...
    """
    from dupl.plans.commands import report_command
    from dupl.report.sweep_report import examine
    from dupl.terminal import without_passwords

    if bootstraps < 0:
        raise UserError(f"bootstraps is {bootstraps}: give 0 or more")
    store = open_store(store)
    if overrides is None and isinstance(sweep, (str, Path)):
        overrides = last_overrides(store, load_sweep(sweep).name, tell or (lambda line: None))
    made = load_sweep(sweep, overrides)
    name = str(sweep) if isinstance(sweep, (str, Path)) else sweep.name
    hidden = without_passwords(storage) if storage else None
    line = report_command(name, store.root, storage=hidden, overrides=overrides)
    progress = progress or (lambda done, total: None)
    return examine(made, store, storage=storage, bootstraps=bootstraps, progress=progress, command=line)


def is_plan(name: str) -> bool:
    """Return whether a name or a file is that of a plan.

    Example:
        >>> dupl.api.is_plan("table4_components"), dupl.api.is_plan("dta_anf")
        (True, False)
    """
    from dupl.config import catalogue

    try:
        catalogue.resolve(name, "ablations")
    except UserError:
        return False
    return not is_sweep(name)


def is_sweep(name: str) -> bool:
    """Return whether a name or a file is that of a sweep; a plan of the same name wins.

    Example:
        >>> dupl.api.is_sweep("dta_anf"), dupl.api.is_sweep("table4_components")
        (True, False)
    """
    from dupl.config import catalogue

    for kind in ("ablations", "sweeps"):
        try:
            return "space" in catalogue.declared(catalogue.resolve(name, kind)).values
        except UserError:
            continue
    return False
