"""What makes two runs differ, and the fewest runs that settle it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dupl.api.inference import AnyRun, is_run
from dupl.api.tables import AnyStore, open_store
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.report.explain import Explanation
    from dupl.report.explain_plan import SettlingPlan
    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun


def explain_runs(
    first: AnyRun, second: AnyRun, store: AnyStore = "runs", *, metric: str = "seg/best/mIoU"
) -> Explanation:
    """Find what makes two runs differ: values of their recipes, seed, data, code, packages and machine.

    A difference has an effect where runs of the store differ in it alone; the largest one comes first.

    Args:
        first: A run, its folder or its fingerprint.
        second: Another one.
        store: A store or its folder, in which effects are looked up.
        metric: Of the last evaluation during training.

    Returns:
        The differences in ``found``, the values of both runs, and ``total``, the second minus the first.

    Raises:
        UserError: There is no such run, both are the same, or a config is corrupt.

    Example:
        >>> found = dupl.explain_runs("runs/baseline-0", "runs/L_dis-0", "runs")
        >>> [one.name for one in found.found if one.kind == "value"], round(found.total, 1)
        (['model.discrepancy', 'model.students'], -1.4)
    """
    from dupl.report.explain import explain

    opened = open_store(store)
    one, two = (_find(run, opened) for run in (first, second))
    if one.path.resolve() == two.path.resolve():
        raise UserError(f"{one.path} is named twice: give two runs")
    return explain(one, two, opened.runs(), metric)


def settling_plan(explanation: Explanation, store: AnyStore = "runs") -> SettlingPlan:
    """Choose the fewest runs that would show the effect of each value that is not known yet.

    Args:
        explanation: What `explain_runs` returned.
        store: A store or its folder; its finished runs are used.

    Returns:
        The ``steps`` from the first run on, each a difference, and how many runs are ``missing``.

    Example:
        >>> plan = dupl.api.settling_plan(dupl.explain_runs("runs/baseline-0", "runs/L_dis-0"))
        >>> [step.name for step in plan.steps], plan.missing
        (['model.students', 'model.discrepancy'], 1)
    """
    from dupl.report.explain_plan import SettlingPlan

    return SettlingPlan(explanation, open_store(store).runs())


def write_settling_plan(plan: SettlingPlan, out: str | Path) -> Path:
    """Write a plan file, and beside it the recipe of the first run, which it changes step by step.

    Args:
        plan: What `settling_plan` returned.
        out: The plan file, which ends with .py.

    Raises:
        UserError: There is nothing to settle, the file does not end with .py, or one of the two files is there.

    Example:
        >>> plan = dupl.api.settling_plan(dupl.explain_runs("runs/baseline-0", "runs/L_dis-0"))
        >>> dupl.api.write_settling_plan(plan, "settle.py").name, len(dupl.load_plan("settle.py").rows)
        ('settle.py', 3)
    """
    from dupl.atomic import atomic_write
    from dupl.report.explain_plan import base_file

    file = Path(out)
    if file.suffix != ".py":
        raise UserError(f"{file}: a plan is a Python file: end it with .py")
    if not plan.steps:
        raise UserError(f"{file}: no value of the recipes is left to settle")
    for path in (file, base_file(file)):
        if path.exists():
            raise UserError(f"{path} is there already: name another file")
    text, base = plan.write(file)
    atomic_write(base_file(file), base)
    atomic_write(file, text)
    return file


def _find(run: AnyRun, store: RunStore) -> StoredRun:
    """Return a run by its folder, which may lie outside the store, or by its fingerprint."""
    from dupl.runs.selection import select
    from dupl.runs.stored_run import StoredRun, open_run

    if isinstance(run, StoredRun):
        return run
    name = run if isinstance(run, (str, Path)) else run.path
    if is_run(name) and (found := open_run(name)) is not None:
        return found
    return store.best(select(store.runs(), [name]))[0]
