"""Comparisons of runs: per class, per image, over training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.api.inference import AnyRun, folder_of
from dupl.api.planned import choose_runs
from dupl.api.recipes import Overrides
from dupl.api.tables import AnyPlan, AnyStore, load_plan, open_store
from dupl.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

    from dupl.report.pages.run_files import RunFiles
    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun

Groups = Mapping[str, Sequence[str]]  # ids of runs, today's or earlier ones, by label, such as the seeds of a row


def plan_runs(
    plan: AnyPlan,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    store: AnyStore = "runs",
    *,
    data: str | None = None,
    call: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, list[str]]:
    """Return the fingerprints of a plan's runs by the label of their row, as the functions below take them.

    Args:
        plan: A plan, its name or its file.
        rows: Keys of rows; all by default.
        seeds: By default those that ``dupl ablate`` was called with, or the plan's.
        overrides: Values by path with which the runs were trained; None takes those of the last ``dupl ablate`` of the
            plan in the store.
        store: A store or its folder.
        data: Digest of the training data, where the store has runs on several and the data are not here.
        call: Number of the ``dupl ablate`` whose overrides are taken, 1 for the last one.
        tell: Called with lines on the call that is taken, and on the others; by default they are printed.

    Raises:
        UserError: No such plan, row, path, call or data.

    Example:
        >>> {label: len(seeds) for label, seeds in dupl.plan_runs("plan.py", ["baseline", "L_reg"]).items()}
        {'Baseline': 2, '+ DTA + ANF + L_reg': 2}
    """
    made = load_plan(plan)
    labels = {row.key: row.label for row in made.rows}
    found: dict[str, list[str]] = {}
    opened, said = open_store(store), tell or print
    for run in choose_runs(made, opened, rows, seeds, overrides, data=data, call=call, tell=said).runs:
        found.setdefault(labels[run.row], []).append(run.fingerprint)
    return found


def find_run(
    store: AnyStore,
    plan: AnyPlan,
    row: str,
    seed: int = 0,
    overrides: Overrides = None,
    *,
    data: str | None = None,
    call: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> StoredRun:
    """Find the run of a plan's row and seed in a store.

    Args:
        store: A store or its folder.
        plan: A plan, its name or its file.
        row: Key of the row.
        seed: One of the plan's.
        overrides: Values by path with which the run was trained; None takes those of the last ``dupl ablate`` of the
            plan in the store.
        data: Digest of the training data, where the store has runs on several and the data are not here.
        call: Number of the ``dupl ablate`` whose overrides are taken, 1 for the last one.
        tell: Called with lines on the call that is taken, and on the others; by default they are printed.

    Raises:
        UserError: There is no such row or call, or the store does not have its run; the message names the command.

    Example:
        >>> dupl.find_run("runs", "plan.py", "L_reg", seed=1).state
        'finished'
    """
    from dupl.plans.commands import ablate_command

    made, store = load_plan(plan), open_store(store)
    chosen = choose_runs(made, store, [row], [seed], overrides, data=data, call=call, tell=tell or print)
    stored = store.find(chosen.runs[0].fingerprint)
    if stored is None:
        name = plan if isinstance(plan, str) else made.name
        line = ablate_command(name, store.root, rows=[row], seeds=[seed], overrides=chosen.overrides)
        raise UserError(f"{store.root} has no run of {row}, seed {seed}: {line} trains it")
    return stored


def two_runs(store: AnyStore, first: str = "", second: str = "") -> tuple[StoredRun, StoredRun]:
    """Find two runs of a store by their names, as ``dupl runs`` takes them.

    Args:
        store: A store or its folder.
        first: Fingerprint, also one that an earlier version gave, or folder; "" is the first run of the store, by path.
        second: The same; "" is the first run that is not the first one.

    Raises:
        UserError: The store does not have one of them, or has no two runs.

    Example:
        >>> [run.path.name for run in dupl.two_runs("runs")]
        ['L_dis-0', 'L_dis-1']
    """
    from dupl.runs.selection import select

    best = open_store(store).best()
    named = [select(best, [name])[0] if name else None for name in (first, second)]
    free = (run for run in best if run not in named)
    if (one := named[0] or next(free, None)) is None or (two := named[1] or next(free, None)) is None:
        raise UserError(f"{open_store(store).root} has {len(best)} runs: two are needed")
    return one, two


def _today(store: RunStore, runs: Groups) -> dict[str, list[str]]:
    """Return groups with the ids that runs have today, also where an earlier version gave them others."""
    from dupl.report.run_comparison import validate_groups
    from dupl.runs.selection import ids_of_today

    validate_groups(runs)
    best = store.best()
    return {label: ids_of_today(best, group) for label, group in runs.items()}


def over_activation(store: AnyStore, runs: Groups, label_map: str = "cam/1", protocol: str = "train") -> DataFrame:
    """Return the over-activation rate per foreground class, FP / (TP + FP) of its pixels (Fig. 7).

    Args:
        store: A store or its folder.
        runs: Fingerprints by label, such as `plan_runs` returns.
        label_map: "cam/1" (CAMs of student 1), "seg/mean" (prediction of both) and so on.
        protocol: Of the evaluation.

    Returns:
        Percent, a row per class and a column per label: the mean over its runs; NaN where a class was never predicted.

    Raises:
        UserError: The store has no evaluated run of a label.

    Example:
        >>> over = dupl.over_activation("runs", dupl.plan_runs("plan.py", ["baseline", "L_dis"]))
        >>> over.shape, bool(over.max().max() <= 100)
        ((6, 2), True)
    """
    return class_measure(store, runs, "OA", label_map, protocol).drop("background")


def class_measure(
    store: AnyStore, runs: Groups, measure: str = "IoU", label_map: str = "seg/1", protocol: str = "train"
) -> DataFrame:
    """Return a measure per class: percent, a row per class and a column per label, the mean over its runs.

    Args:
        store: A store or its folder.
        runs: Fingerprints by label.
        measure: "IoU", "OA", "precision" or "recall".
        label_map: As of `over_activation`.
        protocol: Of the evaluation.

    Raises:
        UserError: The store has no evaluated run of a label.

    Example:
        >>> iou = dupl.class_measure("runs", dupl.plan_runs("plan.py"), "IoU")
        >>> list(iou.index)[:2], len(iou.columns)
        (['background', 'disc'], 3)
    """
    from dupl.report.run_comparison import class_table

    opened = open_store(store)
    runs = _today(opened, runs)
    wanted = [fingerprint for group in runs.values() for fingerprint in group]
    return class_table(opened.counts(fingerprints=wanted, protocol=protocol), label_map, measure, runs)


def folder_measure(folder: str, measure: str = "OA", label_map: str = "cam/1") -> dict[str, float]:
    """Return a measure by class from an evaluation outside a store, such as that of a published checkpoint.

    Args:
        folder: Which ``dupl eval --out`` or `evaluate` wrote.
        measure: "IoU", "OA", "precision" or "recall".
        label_map: As of `over_activation`.

    Raises:
        UserError: The folder holds no evaluation, or not this label map.

    Example:
        >>> (found,) = dupl.evaluate("runs/tiny")
        >>> sorted(dupl.folder_measure(found.folder, "IoU"))[:2]
        ['background', 'cross']
    """
    from dupl.report.run_comparison import folder_rates

    return folder_rates(folder, label_map, measure)


def image_measure(store: AnyStore, runs: Groups, label_map: str = "seg/1", protocol: str = "train") -> DataFrame:
    """Compare two runs, or two groups of runs, image by image.

    Args:
        store: A store or its folder.
        runs: Fingerprints by label; two labels.
        label_map: As of `over_activation`.
        protocol: Of the evaluation.

    Returns:
        IoU in percent, the mean over the classes in an image's mask: a row per image, a column per label, and
        ``difference``, the second less the first; ascending, so that where the second is worst stands on top.

    Raises:
        UserError: Not two labels, or the store has no evaluated run of one.

    Example:
        >>> images = dupl.image_measure("runs", dupl.plan_runs("plan.py", ["baseline", "L_reg"]), "cam/1")
        >>> len(images), list(images.columns)[-1]
        (12, 'difference')
    """
    from dupl.report.pages.image_comparison import image_table

    opened = open_store(store)
    runs = _today(opened, runs)
    wanted = [fingerprint for group in runs.values() for fingerprint in group]
    return image_table(opened.per_image(wanted, protocol=protocol), label_map, runs)


def course(store: AnyStore, metric: str, runs: Groups) -> DataFrame:
    """Return a metric over training.

    Args:
        store: A store or its folder.
        metric: Such as "cam/1/mIoU", of the evaluations in training.
        runs: Fingerprints by label.

    Returns:
        A row per label and iteration, with ``mean``, ``low`` and ``high`` over its runs, in percent, and their number.

    Raises:
        UserError: The store has no evaluated run of a label.

    Example:
        >>> table = dupl.course("runs", "cam/1/mIoU", dupl.plan_runs("plan.py", ["baseline"]))
        >>> table["iteration"].tolist()
        [15, 30, 45, 60, 75, 90]
    """
    from dupl.report.run_comparison import courses

    opened = open_store(store)
    return courses(opened.frame(), metric, _today(opened, runs))


def misled_students(
    store: AnyStore,
    runs: Groups,
    iteration: int = 300,
    below: float = 0.5,
    classes: Sequence[str] = (),
    protocol: str = "train",
) -> DataFrame:
    """Label each student and class of runs as misled or sound, beside what the detector said during training.

    A pair is misled where the final IoU of its CAM is below 25 % and below half of the other student's.

    Args:
        store: A store or its folder.
        runs: Fingerprints by label.
        iteration: What the detector said up to this iteration counts.
        below: A mean of the detector below this is an alarm.
        classes: Foreground classes; all that the masks contain where empty.
        protocol: Of the evaluation whose CAMs are compared.

    Returns:
        A row per run, student and class: ``fingerprint``, ``student``, ``class``, ``IoU``, ``other`` (the IoU of the
        other student), ``misled``, ``detector`` (NaN where it had not measured) and ``alarm``.

    Raises:
        UserError: The store has no evaluated run of a label.

    Example:
        >>> pairs = dupl.misled_students("runs", dupl.plan_runs("plan.py", ["L_reg"]), iteration=90)
        >>> len(pairs) % 2, dupl.detector_rates(pairs)["false_alarms"]
        (0, 0)
    """
    from dupl.report.misled import label_pairs, with_detector
    from dupl.report.run_comparison import present

    opened = open_store(store)
    runs = _today(opened, runs)
    wanted = [fingerprint for group in runs.values() for fingerprint in group]
    counts = opened.counts(fingerprints=wanted, protocol=protocol)
    present(counts, runs, "CAMs per class")
    logged = opened.scalars([run for run in opened.best() if run.fingerprint in wanted])
    return with_detector(label_pairs(counts, classes), logged, iteration, below)


def detector_rates(pairs: DataFrame) -> dict[str, int]:
    """Count how many misled students the detector found, and its false alarms.

    Args:
        pairs: What `misled_students` returned.

    Returns:
        ``misled`` pairs, those of them ``found``, ``sound`` pairs, and ``false_alarms`` among those.

    Raises:
        UserError: The table has no column of alarms.

    Example:
        >>> sorted(dupl.detector_rates(dupl.misled_students("runs", dupl.plan_runs("plan.py", ["L_reg"]))))
        ['false_alarms', 'found', 'misled', 'sound']
    """
    from dupl.report.misled import detector_rates as rates

    return rates(pairs)


def read_run(run: AnyRun) -> RunFiles:
    """Read what a run logged: its scalars (``rows``), evaluations and gallery of pictures.

    Args:
        run: A run or its folder.

    Returns:
        Plain values; a corrupt file is left out and named in ``problems``.

    Raises:
        UserError: The folder holds no run.

    Example:
        >>> run = dupl.read_run(dupl.find_run("runs", "plan.py", "L_reg"))
        >>> run.rows[-1]["iter"], len(run.gallery)
        (90, 2)
    """
    from dupl.report.pages.run_files import read_run as read

    return read(folder_of(run))


def last_gallery(run: RunFiles) -> dict[str, Any]:
    """Return the pictures that a run took at its last evaluation.

    Args:
        run: What `read_run` returned.

    Returns:
        ``iter``, and ``images``, each with its ``name``, ``tags`` and the ``losses`` that the noise filter judged, one
        item per student.

    Raises:
        UserError: The run has no gallery, or is not what `read_run` returned.

    Example:
        >>> gallery = dupl.last_gallery(dupl.read_run(dupl.find_run("runs", "plan.py", "L_reg")))
        >>> gallery["iter"], len(gallery["images"])
        (90, 2)
    """
    if isinstance(run, (str, Path)):
        raise UserError(f"run is {str(run)!r}; give what dupl.read_run({str(run)!r}) returns")
    if not run.gallery:
        raise UserError(f"{run.path} has no gallery: it was trained with evaluation.gallery=0")
    return run.gallery[-1]


def start_marks(recipe: Mapping[str, Any]) -> dict[str, int]:
    """Return the iterations at which components of a recipe start, by the text that marks them in charts.

    Args:
        recipe: A resolved recipe, or the ``config`` of a run that was read.

    Example:
        >>> dupl.start_marks(dupl.load_recipe("voc/dupl"))
        {'L_seg starts': 2000, 'ANF starts': 8000, 'L_reg starts': 8000}
    """
    from dupl.report.figures.start_markers import start_markers

    return start_markers(recipe)
