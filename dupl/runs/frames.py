"""Tables of many runs: metrics, pixels per class, pixels per image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dupl.errors import UserError
from dupl.runs.evaluation_files import IMAGE_COLUMNS, read_confusion
from dupl.runs.making import MAKING, making
from dupl.runs.metrics import ClassTable
from dupl.runs.pixel_counts import ChooseMaps, PixelCounts, read_checked

if TYPE_CHECKING:
    from pandas import DataFrame

    from dupl.runs.evaluation import StoredEvaluation
    from dupl.runs.stored_run import StoredRun

Read = TypeVar("Read")
PIXELS = ["TP", "FP", "FN"]
RUN = ("run", "recipe", "fingerprint", "state", "seed")
EVALUATION = ("protocol", "name", "title", "split", "checkpoint", "iteration", "read", "last", "best", "judged")


def frame(runs: Iterable[StoredRun]) -> DataFrame:
    """Return metrics, one row for each run, evaluation and metric.

    Columns: of the run its folder `run`, `recipe`, `fingerprint`, `state`, `seed` and what made it, missing where that
    is not known: `commit`, `dirty`, `changes` (digest of the uncommitted changes, "" where nothing was changed) of its
    start; `commits` of all its stretches, `package` (digest of the package's files), a version for each of
    `dupl.runs.making.VERSIONS`, `processor`, `vector`, `threads`, `processes`, with an arrow where they changed; and
    `turns`, what changed at which iteration; `images_per_loss`, a text, "not recorded" by an earlier version; of the
    evaluation `protocol`, `name`, `title`, `split`, `checkpoint`, `iteration`, `read`, `last`, `best` and `judged` (in
    words, "" where it is not known), as `StoredEvaluation` has them; and `metric` and `value`, mostly percent, NaN
    where there was nothing to measure.
    """
    import pandas as pd

    heads: list[tuple[Any, ...]] = []
    repeats: list[int] = []
    metrics: list[str] = []
    values: list[float] = []
    for stored in runs:
        made = making(stored)
        for one in stored.evaluations:
            heads.append((*_of_run(stored), *made, *_of_evaluation(one)))
            repeats.append(len(one.metrics))
            metrics += one.metrics.keys()
            values += one.metrics.values()
    table = pd.DataFrame(heads, columns=[*RUN, *MAKING, *EVALUATION])
    table = table.astype({"seed": "int64", "dirty": "boolean", "iteration": "Int64", "last": bool, "best": bool})
    table = table.take(np.repeat(np.arange(len(heads)), repeats)).reset_index(drop=True)
    table["metric"] = pd.Series(metrics, dtype=str)
    table["value"] = np.array(values, float)
    return table


def overview(runs: Iterable[StoredRun]) -> DataFrame:
    """Return one row for each run.

    Columns: its folder `run`, `recipe`, `fingerprint`, `state`, `seed`, `iteration` and `iterations` (done, and in
    all), `seconds` of training, `commit`, `dirty` and `error`.
    """
    import pandas as pd

    facts = ("iteration", "iterations", "seconds", "commit", "dirty", "error")
    rows = [(*_of_run(stored), *(getattr(stored.status, name) for name in facts)) for stored in runs]
    kinds = {"seed": "int64", "iteration": "Int64", "iterations": "Int64", "seconds": "float64", "dirty": "boolean"}
    return pd.DataFrame(rows, columns=[*RUN, *facts]).astype(kinds)


def scalars(runs: Iterable[StoredRun], skipped: MutableMapping[Path, str]) -> DataFrame:
    """Return what runs logged during training, one row for each run and line of its scalars.

    Columns: `run`, `fingerprint`, `seed` and `iter`, then a column for each scalar ("loss", "tau_h", "lr", ...), NaN
    where a line does not have it.

    Args:
        runs: Which.
        skipped: Receives the runs whose scalars cannot be read, and why.
    """
    import pandas as pd

    parts = [pd.DataFrame(columns=["run", "fingerprint", "seed", "iter"])]
    for stored in runs:
        try:
            rows = stored.run.scalars()
        except UserError as error:
            skipped[stored.path] = str(error)
            continue
        if rows:
            head = {"run": str(stored.path), "fingerprint": stored.fingerprint, "seed": stored.status.seed}
            parts.append(pd.DataFrame([{**head, **row} for row in rows]))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def counts(
    runs: Iterable[StoredRun], protocol: str | None, last: bool, skipped: MutableMapping[Path, str]
) -> DataFrame:
    """Return pixels per class, one row for each run, evaluation, label map and class.

    Columns: of the run and the evaluation as in `frame`, without code and versions; `map` ("cam/1"), `class`; pixels
    `TP`, `FP` and `FN`, which are the sums of the per-image counts; percent `IoU`, `precision`, `recall` and `OA`, NaN
    where there is nothing to divide by, and `IoU` also for a class that the truth does not contain.

    Args:
        runs: Which.
        protocol: Which evaluations; all where None.
        last: Only those that speak for their run.
        skipped: Receives the files that are left out, and why.
    """
    found = _collect(runs, protocol, last, skipped, _counts, ["map", "class", *PIXELS])
    table = ClassTable.of_counts(*(found[name].to_numpy() for name in PIXELS))
    return found.assign(IoU=table.iou, precision=table.precision, recall=table.recall, OA=table.oa_rate)


def per_image(
    runs: Iterable[StoredRun], protocol: str | None, last: bool, skipped: MutableMapping[Path, str]
) -> DataFrame:
    """Return pixels per image and class, as `counts` without the percentages, and with a column `image`.

    Classes without a pixel of truth or prediction in an image have no row. A table that does not add up to the
    confusion matrix beside it was cut off, and is left out.
    """
    return _collect(runs, protocol, last, skipped, lambda folder: read_checked(folder).frame(), IMAGE_COLUMNS)


def images_of(
    stored: StoredRun,
    protocol: str,
    split: str,
    choose: ChooseMaps,
    skipped: MutableMapping[Path, str],
    report: str = "last",
) -> PixelCounts | None:
    """Return pixels per image and class of the one evaluation that speaks for a run.

    Args:
        stored: The run.
        protocol: Of the evaluation.
        split: Of its data.
        choose: Returns the label maps to read, of those there are.
        skipped: Receives what is left out, and why.
        report: Which weights of the run, "last" or "best".

    Returns:
        None where there is no such evaluation, or its files cannot be used.
    """
    for one in stored.evaluations:
        asked = one.speaks(report) and (one.protocol, one.split) == (protocol, split)
        if asked and (found := _usable(one.folder, lambda folder: read_checked(folder, choose), skipped)) is not None:
            return found
    return None


def _of_run(stored: StoredRun) -> tuple[Any, ...]:
    status = stored.status
    return str(stored.path), stored.recipe, status.fingerprint, stored.state, status.seed


def _of_evaluation(one: StoredEvaluation) -> tuple[Any, ...]:
    which = one.protocol, one.name, one.title, one.split, one.checkpoint, one.iteration, one.read
    return *which, one.last, one.best, str(one.judged or "")


def _collect(
    runs: Iterable[StoredRun],
    protocol: str | None,
    last: bool,
    skipped: MutableMapping[Path, str],
    read: Callable[[Path], DataFrame],
    columns: Sequence[str],
) -> DataFrame:
    """Concatenate the tables of many evaluations, with columns that tell them apart."""
    import pandas as pd

    heads, parts = [], []
    for stored in runs:
        for one in stored.evaluations:
            if (last and not one.last) or protocol not in (None, one.protocol):
                continue
            if (part := _usable(one.folder, read, skipped)) is not None:
                parts.append(part)
                heads.append((*_of_run(stored), *_of_evaluation(one)))
    table = pd.DataFrame(heads, columns=[*RUN, *EVALUATION]).astype({"seed": "int64", "iteration": "Int64"})
    table = table.take(np.repeat(np.arange(len(parts)), [len(part) for part in parts])).reset_index(drop=True)
    empty = pd.DataFrame({name: pd.Series(dtype="int64" if name.isupper() else str) for name in columns})
    return pd.concat([table, pd.concat(parts or [empty], ignore_index=True)], axis=1)


def _usable(folder: Path, read: Callable[[Path], Read], skipped: MutableMapping[Path, str]) -> Read | None:
    """Read a table of an evaluation; None where it cannot be used, which `skipped` then says."""
    try:
        return read(folder)
    except FileNotFoundError as error:
        skipped[Path(error.filename)] = "it is missing"
    except (OSError, ValueError, UserError) as error:
        skipped[folder] = str(error)
    return None


def _counts(folder: Path) -> DataFrame:
    """Return TP, FP and FN of every label map and class of an evaluation."""
    import pandas as pd

    classes, by_map = read_confusion(folder)
    matrices = np.array(list(by_map.values()), np.int64).reshape(-1, len(classes), len(classes))
    tp = np.diagonal(matrices, axis1=1, axis2=2)
    found = {"TP": tp, "FP": matrices.sum(1) - tp, "FN": matrices.sum(2) - tp}
    keys = {"map": np.repeat(list(by_map), len(classes)), "class": classes * len(by_map)}
    return pd.DataFrame({**keys, **{key: value.ravel() for key, value in found.items()}})
