"""The table of a plan on wandb: when ``dupl ablate`` has finished it, or when ``dupl report --wandb`` is asked to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.cli.common import stderr

if TYPE_CHECKING:
    from dupl.plans.plan import Plan, PlannedRun
    from dupl.report.tables.table import Table


def put(made: Table, root: Path, mode: str) -> None:
    """Put a table on wandb; nothing that happens to wandb is an error here.

    Args:
        made: The table.
        root: The store.
        mode: "offline" or "online".
    """
    import pandas as pd

    from dupl.report.tables.render import TIDY, lines
    from dupl.track.after_training import log_table

    frame, console, name = pd.DataFrame(lines(made), columns=TIDY), stderr(), made.plan.name
    log_table(frame, name, folder(root, name), mode, lambda line: console.print(line, soft_wrap=True, markup=False))


def put_finished(arguments: argparse.Namespace, plan: Plan, planned: Sequence[PlannedRun], began: bool) -> None:
    """Put the table of a plan there whose runs are all finished, if runs are tracked.

    Args:
        arguments: Of ``dupl ablate``.
        plan: Which is finished.
        planned: Its runs.
        began: Whether any was begun just now; if none was, a table that was put there before stays as it is.
    """
    from dupl.cli.report import command_line, tabulate_runs
    from dupl.runs.layout import TRACKER
    from dupl.runs.store import RunStore
    from dupl.track.choice import choose

    try:
        mode = choose(arguments.wandb).mode
        if mode == "off" or (not began and (folder(arguments.root, plan.name) / TRACKER).is_file()):
            return
        line = command_line(arguments, "md", arguments.plan)
        made, _, _ = tabulate_runs(plan, list(planned), RunStore(arguments.root), line)
        put(made, arguments.root, mode)
    except Exception as error:  # the runs are finished, whatever becomes of this
        what = f"the table was not put on wandb: {type(error).__name__}: {error}"
        stderr().print(what, soft_wrap=True, markup=False)


def folder(root: Path, plan: str) -> Path:
    """Where the wandb run of a plan's table lies: beside the configs of plans in the store."""
    from dupl.execute.job import PLANS

    return root / PLANS / f"table-{plan}"
