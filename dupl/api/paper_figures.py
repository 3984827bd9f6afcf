"""The paper's figures, and curves over training, drawn from the runs of a store into a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.api.comparison import write_comparison
from dupl.api.inference import is_run
from dupl.api.planned import choose_runs
from dupl.api.recipes import Overrides, override_values
from dupl.api.tables import AnyPlan, AnyStore, ablate_command, load_plan, open_store
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun

ENDINGS = (".pdf", ".svg", ".png")
PROTOCOLS = ("train", "cam")  # of the evaluations that figures show


def paper_figures() -> dict[str, str]:
    """Return the figures that `write_paper_figure` draws, those of the paper by number, with what each shows.

    Example:
        >>> list(dupl.api.paper_figures())
        ['1', '2', '4', '5', '6', '7a', '7b', 'curves']
    """
    from dupl.report.paper_figures import FIGURES

    return {number: figure.about for number, figure in FIGURES.items()}


def write_paper_figure(
    number: str,
    out: str | Path,
    what: AnyPlan | Sequence[str | Path] | None = None,
    store: AnyStore = "runs",
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    data: str | None = None,
    call: int | None = None,
    tell: Callable[[str], None] | None = None,
    label_map: str = "",
    image: str = "",
    iteration: int | None = None,
    metrics: Sequence[str] = (),
    images: str | Sequence[str] = "difference",
    count: int = 6,
) -> Path:
    """Draw a figure of the paper, or curves over training, from finished runs into a file.

    Args:
        number: One that `paper_figures` returns, such as "7a".
        out: The file, which ends with .pdf, .svg or .png.
        what: A plan, its name or its file, or folders of runs; by default the plan of the figure. Figure 4 takes a run.
        store: A store or its folder, where a plan's runs lie.
        rows: Keys of the plan's rows; all by default.
        seeds: By default the plan's.
        overrides: Values by path with which the plan's runs were trained; None takes those of the last ``dupl ablate``
            of the plan in the store.
        data: Digest of training or validation data, where the store has runs or evaluations on several.
        call: Number of the ``dupl ablate`` whose overrides are taken, 1 for the last one.
        tell: Called with lines on the call that is taken, and on the others; by default they are printed.
        label_map: Figures 2, 7a and 7b: "cam/1" by default, "cam/2", or any label map of the evaluations for 7.
        image: Figures 2 and 4: name of an image of the runs' galleries; one is chosen by default.
        iteration: Figure 4: of the pictures; the last by default.
        metrics: Curves: what the runs logged, such as "seg/1/mIoU"; by default mIoU of the better student, CAM and Seg.
        images: Figures 5 and 6: a rule or names of images, as of `write_comparison`.
        count: Figures 5 and 6: number of images that a rule chooses.

    Returns:
        The file.

    Raises:
        UserError: There is no such figure, plan, row, run, image or iteration, or a row has no finished run.

    Example:
        >>> dupl.figures.write_paper_figure("7a", "fig7a.pdf", "plan.py", "runs", rows=["baseline", "L_dis"])
        PosixPath('fig7a.pdf')
    """
    from dupl.report.paper_figures import FIGURES, FigureRequest

    if str(number) not in FIGURES:
        raise UserError(f"there is no figure {number}: give one of {', '.join(FIGURES)}")
    figure, file = FIGURES[str(number)], Path(out)
    if file.suffix.lower() not in ENDINGS:
        raise UserError(f"{out}: a figure is written as {', '.join(ENDINGS)}; end the file's name with one")
    if what is None and not figure.plan:
        raise UserError(f"figure {number} shows one run: name its folder")
    shown = (rows or figure.rows or None) if what is None else rows
    given = figure.plan if what is None else what
    if isinstance(given, (str, Path)) and is_run(given):
        given = [given]
    if isinstance(given, Sequence) and not isinstance(given, str):
        if shown or seeds or overrides or data is not None or call is not None:
            about = "rows, seeds, overrides, data and call choose runs of a plan"
            raise UserError(f"{about}: runs that are named are what they are")
        groups, planned, opened = *_named_runs(given), open_store(store)
    else:
        opened = open_store(store)
        groups, planned = _planned_runs(
            given, opened, rows=shown, seeds=seeds, overrides=overrides, data=data, call=call, tell=tell or print
        )

    def compare(runs: Mapping[str, StoredRun], kind: str, title: str) -> None:
        how: dict[str, Any] = dict(images=images, count=count, kind=kind, title=title)
        places = {path: value for path, value in override_values(overrides).items() if path.startswith("data.")}
        write_comparison(runs, file, **how, overrides=places)

    figure.draw(FigureRequest(opened, groups, planned, file, label_map, image, iteration, metrics, compare))
    return file


def _named_runs(folders: Sequence[str | Path]) -> tuple[dict[str, list[StoredRun]], dict[str, int]]:
    """Return the runs of folders, each by its folder's name, which counts as one seed."""
    from dupl.runs.stored_run import open_run

    found = {}
    for folder in folders:
        stored = open_run(folder)
        if stored is None:
            raise UserError(f"{folder} is no run: give a plan, or folders of runs")
        if stored.state != "finished":
            raise UserError(
                f"{folder} is {stored.state} at iteration {stored.status.iteration}: a figure shows finished runs"
            )
        found[Path(folder).name] = [stored]
    return found, dict.fromkeys(found, 1)


def _planned_runs(
    plan: AnyPlan,
    opened: RunStore,
    *,
    rows: Sequence[str] | None,
    seeds: Sequence[int] | None,
    overrides: Overrides,
    data: str | None,
    call: int | None,
    tell: Callable[[str], None],
) -> tuple[dict[str, list[StoredRun]], dict[str, int]]:
    """Return the finished runs of a plan by the label of their row, and the number of seeds that were asked for.

    Raises:
        UserError: A row has no finished run; the message names the command that trains it. Or the runs are on
            different data, and which are meant is not known here.
    """
    from dupl.report.tables.evaluated_data import evaluated_on_one

    made = load_plan(plan)
    labels = {row.key: row.label for row in made.rows}
    chosen = choose_runs(made, opened, rows, seeds, overrides, data=data, call=call, tell=tell)
    wanted = {run.fingerprint for run in chosen.runs}
    done = (run for run in opened.best() if run.state == "finished" and run.fingerprint in wanted)
    finished = evaluated_on_one(chosen.runs, {run.fingerprint: run for run in done}, PROTOCOLS, data)
    groups: dict[str, list[StoredRun]] = {}
    planned: dict[str, int] = {}
    lacking: list[str] = []
    for run in chosen.runs:
        members = groups.setdefault(labels[run.row], [])
        planned[labels[run.row]] = planned.get(labels[run.row], 0) + 1
        if run.fingerprint in finished:
            members.append(finished[run.fingerprint])
    for row in made.rows:
        if row.label in groups and not groups[row.label]:
            lacking.append(row.key)
    if lacking:
        name = str(plan) if isinstance(plan, (str, Path)) else plan.name
        line = ablate_command(name, opened.root, rows=lacking, seeds=chosen.seeds, overrides=chosen.overrides)
        raise UserError(f"{opened.root} has no finished run of {', '.join(lacking)}: {line} trains them")
    return groups, planned
