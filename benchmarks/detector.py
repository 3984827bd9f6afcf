"""What the detector of misled students finds early, beside what true masks would find at the same time.

    python benchmarks/detector.py --store DIR [--at 300] [--iterations 1000] [--classes cat dog ...]

Reads all finished runs of two students in a store that trained with a detector (``model.detector.type``). A pair of
student and class ends misled where the last IoU of its CAM is below 25 % and below half of the other student's. The
detector, which reads tags, gives an alarm where its running mean lies below 0.5. The lines below it apply the rule of
the label itself, with true masks, to earlier evaluations of the same runs: no detector can know more about the CAMs of
that time, so what they miss, and their false alarms, are pairs that changed later.

AUC: how often a misled pair has the lower value than a sound one, over all such couples; 0.5 is chance.
Best limit: misled pairs found by the limit that suits these runs best, chosen with their labels known, among those
with at most 1 false alarm in 20 sound pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.report.misled import STUDENTS, label_pairs, with_detector
from dupl.runs.store import RunStore
from dupl.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from pandas import DataFrame

KEYS = ["fingerprint", "student", "class"]
FALSE_ALARMS = 1 / 20  # of sound pairs, that the best limit may give


def detected(store: RunStore) -> list[StoredRun]:
    """Return the finished runs of two students that trained with a detector."""
    finished = [run for run in store.best() if run.state == "finished"]
    measured = [run for run in finished if _type(run, "detector", "NoDetector") != "NoDetector"]
    return [run for run in measured if _type(run, "students", "DualStudent") != "SingleStudent"]


def _type(run: StoredRun, slot: str, default: str) -> str:
    return str((run.config["model"].get(slot) or {}).get("type", default))


def area(values: Sequence[float], misled: Sequence[bool]) -> float:
    """Return the area under the ROC curve of low values; NaN where all pairs are of one kind."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(misled, [-value for value in values])) if len(set(misled)) == 2 else float("nan")


def found_at_best(values: Sequence[float], misled: Sequence[bool]) -> int:
    """Return how many misled pairs lie below the best limit with few enough false alarms."""
    pairs = list(zip(values, misled, strict=True))
    allowed = FALSE_ALARMS * sum(not bad for bad in misled)
    fitting = [v for v in {*values, float("inf")} if sum(low < v and not bad for low, bad in pairs) <= allowed]
    return max((sum(low < limit and bad for low, bad in pairs) for limit in fitting), default=0)


def line(what: str, pairs: DataFrame, alarm: Sequence[bool], values: Sequence[float]) -> str:
    """Return a row of the table: misled pairs found, false alarms, AUC, and misled pairs found by the best limit."""
    misled = pairs["misled"].tolist()
    found = sum(a and m for a, m in zip(alarm, misled, strict=True))
    wrong = sum(a and not m for a, m in zip(alarm, misled, strict=True))
    bad, sound = sum(misled), len(misled) - sum(misled)
    shares = f"{found} of {bad} ({found / max(bad, 1):.0%}) | {wrong} of {sound} ({wrong / max(sound, 1):.0%})"
    best = found_at_best(values, misled)
    return f"| {what} | {shares} | {area(values, misled):.2f} | {best} of {bad} ({best / max(bad, 1):.0%}) |"


def table(store: RunStore, at: int, classes: Sequence[str], iterations: int | None = None) -> list[str]:
    """Return the lines of the table.

    Raises:
        SystemExit: The store has no such run, or its runs have no masks of these classes.
    """
    runs = detected(store)
    if not runs:
        raise SystemExit(
            f"{store.root}: no finished run of two students has a detector: train with "
            "model.detector.type=ProbeDetector"
        )
    if iterations is not None:
        lengths = sorted({int(run.config["schedule"]["iterations"]) for run in runs})
        runs = [run for run in runs if run.config["schedule"]["iterations"] == iterations]
        if not runs:
            raise SystemExit(
                f"no run has {iterations} iterations: --iterations is one of {', '.join(map(str, lengths))}"
            )
    final = label_pairs(store.counts(runs, protocol="train"), classes)
    if final.empty:
        named = ", ".join(classes) or "any class"
        raise SystemExit(f"{store.root}: the masks of these runs have no pixel of {named}: check --classes")
    pairs = with_detector(final, store.scalars(runs), at, 0.5)
    known = pairs[pairs["detector"].notna()]
    lines = [
        f"{len(runs)} runs, {len(pairs)} pairs of student and class, {len(pairs) - len(known)} not measured yet",
        "",
        "| by | misled pairs found | false alarms | AUC | found by the best limit |",
        "|---|--:|--:|--:|--:|",
        line(f"detector at {at}", pairs, pairs["alarm"].tolist(), pairs["detector"].fillna(0.5).tolist()),
    ]
    value = known.set_index(KEYS)["detector"]
    other = {(f, STUDENTS[s == STUDENTS[0]], c): v for (f, s, c), v in value.items()}
    both = known[value.index.isin(list(other))]
    lead = [value[tuple(key)] - other[tuple(key)] for key in both[KEYS].to_numpy()]
    lines.append(line("detector lower than of the other student", both, [gap < 0 for gap in lead], lead))
    every = store.counts(runs, protocol="train", last=False)
    every = every[every["iteration"] < every.groupby("fingerprint")["iteration"].transform("max")]
    for iteration in sorted(set(every["iteration"])):
        then = label_pairs(every[every["iteration"] == iteration], classes).set_index(KEYS)
        there = pairs[pairs.set_index(KEYS).index.isin(then.index)]
        seen = then.loc[[tuple(key) for key in there[KEYS].to_numpy()]]
        ratio = (seen["IoU"] / seen["other"].clip(lower=1e-6)).tolist()
        lines.append(line(f"true masks at {iteration:.0f}", there, seen["misled"].tolist(), ratio))
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="folder of the runs")
    parser.add_argument("--at", type=int, default=300, help="iteration up to which the detector counts")
    parser.add_argument("--iterations", type=int, help="only runs of this length; default: all")
    parser.add_argument("--classes", nargs="+", default=[], help="classes that are judged; default: all of the masks")
    arguments = parser.parse_args()
    print("\n".join(table(RunStore(arguments.store), arguments.at, arguments.classes, arguments.iterations)))


if __name__ == "__main__":
    main()
