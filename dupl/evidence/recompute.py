"""Make the table of an unpacked archive again, from the counts per image, by the functions of every other table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config import reader
from dupl.config.fingerprint import PLACES, WEIGHTS, canonical, config_id
from dupl.errors import UserError
from dupl.evidence.best_check import best_problem
from dupl.evidence.planned import ArchivedPlan, ArchivedRun, read_plan
from dupl.report.tables.column import Evidence
from dupl.report.tables.comparison import CLOSE
from dupl.report.tables.counts import Counts, Metric
from dupl.report.tables.intervals import DEFAULT
from dupl.report.tables.row_run import RowRun
from dupl.report.tables.selection import Rule
from dupl.report.tables.table import Table, table
from dupl.runs import frames, ids, layout
from dupl.runs.label_maps import is_entry
from dupl.runs.making import mixed
from dupl.runs.stored_run import StoredRun, open_run

if TYPE_CHECKING:
    from pandas import DataFrame

    from dupl.runs.pixel_counts import ChooseMaps, PixelCounts

RUNS = "runs"  # folder of the archive
LARGEST = 2**53  # a larger number is no count of pixels


@dataclass
class Recomputed:
    """The table of an archive, and what keeps its numbers from being proven.

    Attributes:
        archived: The plan.
        table: Made from the counts.
        stored: The runs by id.
        frame: Their metrics; where they follow from counts, those of the counts.
        used: By column key, the rows of the frame that speak for its cells.
        problems: Lines by run and column key; with the column "" on the run as a whole.
        images: The number of images by run and column key.
        configs: By run.
    """

    archived: ArchivedPlan
    table: Table
    stored: Mapping[str, StoredRun]
    frame: DataFrame
    used: dict[str, DataFrame] = field(default_factory=dict)
    problems: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    images: dict[tuple[str, str], int] = field(default_factory=dict)
    configs: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def of_run(self, run: str, column: str) -> list[str]:
        """Return the problems of a run in a column."""
        return [*self.problems.get((run, ""), ()), *self.problems.get((run, column), ())]


class Pixels:
    """The counts per image of an archive's evaluations."""

    def __init__(self, stored: Mapping[str, StoredRun]) -> None:
        self.stored, self.skipped = stored, dict[Path, str]()

    def __call__(self, run: str, protocol: str, split: str, choose: ChooseMaps, report: str) -> PixelCounts | None:
        """Return the counts of the evaluation of a run; None where there are none that can be used."""
        found = frames.images_of(self.stored[run], protocol, split, choose, self.skipped, report)
        if found is not None and not ((found.pixels >= 0) & (found.pixels < LARGEST)).all():
            self.skipped[self.stored[run].path] = "there are counts below 0, or larger than any image"
            return None
        return found

    def why_missing(self, run: str) -> str:
        """Return why the counts of a run cannot be used, where that is known."""
        path = self.stored[run].path
        reasons = [why for place, why in self.skipped.items() if place == path or path in place.parents]
        return f": {reasons[0]}" if reasons else ""


def recompute(folder: Path) -> Recomputed:
    """Make the table of an unpacked archive again.

    Args:
        folder: With the members of the archive.

    Raises:
        UserError: The plan of the archive, or what a table needs beside the evaluations, cannot be read.
    """
    archived = read_plan(folder)
    stored, problems = _open(folder, archived)
    configs = {name: _config(run, problems) for name, run in stored.items()}
    for run in archived.runs:
        _check_config(run, configs.get(run.fingerprint), archived, problems)
    frame = frames.frame(stored.values())
    frame["run"] = [f"{RUNS}/{name}" for name in frame["fingerprint"]]
    masks = {row.key: row.masks for row in archived.plan.rows}
    rows = [replace(_row_run(run, stored.get(run.fingerprint)), masks=masks[run.row]) for run in archived.runs]
    subsets, pixels = _subsets(list(configs.values())), Pixels(stored)
    found = Recomputed(archived, None, stored, frame, problems=problems, configs=configs)  # type: ignore[arg-type]
    _count(found, rows, pixels, subsets)
    rules = {key: [Rule(str(code), str(text)) for code, text in told] for key, told in archived.selected.items()}
    how: dict[str, Any] = dict(subsets=subsets, mixed=mixed, interval=str(archived.options.get("interval", DEFAULT)))
    made = table(archived.plan, rows, found.frame, pixels, selected=lambda one: rules.get(one.column.key, ()), **how)
    found.table = replace(made, provenance={**made.provenance, "command": archived.command})
    return found


def _open(folder: Path, archived: ArchivedPlan) -> tuple[dict[str, StoredRun], dict[tuple[str, str], list[str]]]:
    """Open the runs of an archive.

    Returns:
        The runs by id, and what is wrong with those that cannot be opened.
    """
    stored, problems = dict[str, StoredRun](), dict[tuple[str, str], list[str]]()
    for name in dict.fromkeys(run.fingerprint for run in archived.runs):
        place = folder / RUNS / name
        try:
            run = open_run(place) if place.is_dir() and ids.ID.fullmatch(f"-{name}") else None
        except UserError as error:
            problems[name, ""] = [f"run {name} cannot be read: {error}"]
            continue
        if run is not None and run.fingerprint != name:
            problems[name, ""] = [f"the status of run {name} is that of run {run.fingerprint}"]
        elif run is not None:
            stored[name] = run
    return stored, problems


def _config(run: StoredRun, problems: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    """Return the config of a run; {} where it cannot be read, which is then a problem."""
    try:
        if "_base_" in (run.path / layout.CONFIG).read_text(encoding="utf-8"):
            raise UserError("it names another file, which no stored config does")
        return dict(reader.read(run.path / layout.CONFIG).values)
    except (UserError, OSError, ValueError, RecursionError) as error:
        problems.setdefault((run.fingerprint, ""), []).append(f"the config of run {run.fingerprint}: {error}")
        return {}


def _check_config(
    run: ArchivedRun,
    values: dict[str, Any] | None,
    archived: ArchivedPlan,
    problems: dict[tuple[str, str], list[str]],
) -> None:
    """Check that a run's config is that of its id, of its seed and of its row."""
    if not values:
        return
    name, found = run.fingerprint, list[str]()
    if config_id(values) != ids.parts(name)[0]:
        found.append(f"the config of run {name} has the id {config_id(values)}")
    if is_entry(values):  # label maps of another program, which have no seed and stand against every one
        problems.setdefault((name, ""), []).extend(found)
        return
    seed = values["runtime"].get("seed") if isinstance(values.get("runtime"), dict) else None
    if seed != run.seed:
        found.append(f"the config of run {name} has the seed {seed}, not {run.seed}")
    row = next(row for row in archived.plan.rows if row.key == run.row)
    stated = {path: [value] for path, value in row.overrides.items() if not _changed_further(path, row.overrides)}
    for path, wanted in [*run.changes.items(), *stated.items()]:
        if path.rpartition(".")[2] in (*PLACES, WEIGHTS) or path == "runtime.seed":
            continue
        if canonical(value_at(values, path)) != canonical(list(wanted)):
            found.append(f"the config of run {name} has not the {path} of row {run.row}")
    found = list(dict.fromkeys(found))
    if found:
        problems.setdefault((name, ""), []).extend(found)


def _changed_further(path: str, changes: Mapping[str, Any]) -> bool:
    """Return whether a part of a value is changed again by a longer path."""
    return any(other.startswith(f"{path}.") for other in changes)


def value_at(values: Any, path: str) -> list[Any]:
    """Return the value at a path as a list; an empty list where there is none."""
    for key in path.split("."):
        if not isinstance(values, Mapping) or key not in values:
            return []
        values = values[key]
    return [values]


def _subsets(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return class names by the name of a subset's mIoU, as the configs define it."""
    found = dict[str, list[str]]()
    for values in configs:
        evaluation = values.get("evaluation")
        one = evaluation.get("subset") if isinstance(evaluation, dict) else None
        if isinstance(one, dict) and one.get("name"):
            found[str(one["name"])] = [str(name) for name in one["classes"]]
    return found


def _count(found: Recomputed, rows: Sequence[RowRun], pixels: Pixels, subsets: Mapping[str, Sequence[str]]) -> None:
    """Put the values of the counts in the place of the recorded ones, and note what does not agree."""
    values = found.frame["value"].to_numpy(copy=True)
    for column in found.archived.plan.columns:
        evidence = Evidence.of(column, rows, found.frame)
        found.used[column.key] = evidence.used
        metric = Metric.parse(column.metric, subsets)
        for place, name in zip(evidence.used.index, evidence.used["fingerprint"], strict=True):
            if column.report == "best":
                line = best_problem(found.stored[name], found.configs[name], evidence.used.loc[place])
                found.problems.setdefault((str(name), column.key), []).extend(filter(None, [line]))
            value = _counted(found, (str(name), column.key), metric, column.metric, pixels, evidence)
            if value is None:
                continue
            if not abs(value - values[place]) < CLOSE:
                line = f"the counts of run {name} give {value:.4f}, its evaluation says {values[place]:.4f}"
                found.problems.setdefault((str(name), column.key), []).append(line)
            values[place] = value
    found.frame = found.frame.assign(value=values)


def _counted(
    found: Recomputed, key: tuple[str, str], metric: Metric | None, name: str, pixels: Pixels, evidence: Evidence
) -> float | None:
    """Return a metric of a run by its counts; None where it does not follow from them, which is then a problem."""
    told = found.problems.setdefault(key, [])
    if metric is None:
        told.append(f"{name} does not follow from counts per image")
        return None
    counts = pixels(key[0], evidence.column.protocol, evidence.split, metric.maps, evidence.column.report)
    maps = [] if counts is None else metric.maps(counts.maps)
    if counts is None or not maps:
        told.append(f"evidence missing: no counts per image of run {key[0]}{pixels.why_missing(key[0])}")
        return None
    whole = Counts.of(counts, maps)
    found.images[key] = len(whole.images)
    return whole.value(metric)


def _row_run(run: ArchivedRun, stored: StoredRun | None) -> RowRun:
    """Join a run of the archived plan with its folder in the archive."""
    if stored is None:
        return RowRun(run.row, run.seed, run.fingerprint, error=run.error)
    status = stored.status
    place = f"{RUNS}/{run.fingerprint}"
    facts = (place, stored.state, status.iteration, status.iterations, status.error)
    return RowRun(run.row, run.seed, run.fingerprint, *facts, has_best=stored.has_best)
