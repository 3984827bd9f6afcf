"""The size and the time of an archive: a made-up store of 18 runs, evaluated on 1,449 images of 21 classes.

    python benchmarks/evidence.py write FILE.zip [--images 1449]
    python benchmarks/evidence.py verify FILE.zip [--repeats 3]      # also in an environment without torch

The counts are drawn at random, with one to three objects in an image; the configs are those of demo_table4. `verify`
prints wall and CPU seconds of `dupl verify` in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PLAN = "demo_table4"
SIDE = 24  # of the label maps whose pixels are counted
SHARE = 400  # pixels of a real image for each of them
FINISHED = {"state": "finished", "seconds": 40_000.0}


def evaluation(folder: Path, classes: list[str], images: int, students: int, seed: int) -> None:
    """Write an evaluation with counts that are drawn at random."""
    from dupl.report.tables.counts import Counts, Metric
    from dupl.runs.evaluation_files import write_evaluation
    from dupl.runs.pixel_counts import read_pixel_counts
    from dupl.runs.tallies import Tally

    truths, draw = np.random.default_rng(0), np.random.default_rng(seed + 1)
    who = ["1", "2", "mean"][: 2 * students - 1]
    tallies = {f"{kind}/{one}": Tally(len(classes)) for kind in ("aux_cam", "cam", "seg") for one in who}
    for image in range(images):
        truth = np.zeros((SIDE, SIDE), np.int64)
        for _ in range(truths.integers(1, 4)):
            row, column = truths.integers(0, SIDE - 6, 2)
            truth[row : row + 6, column : column + 6] = truths.integers(1, len(classes))
        for tally in tallies.values():
            wrong = draw.random((SIDE, SIDE)) < 0.2
            present = np.append(np.unique(truth), draw.integers(0, len(classes)))
            tally.add(image, truth, np.where(wrong, draw.choice(present, (SIDE, SIDE)), truth))
            tally.per_image[-1][:, 2:] *= SHARE
    for tally in tallies.values():
        tally.matrix *= SHARE
    names = [f"2007_{number:06d}" for number in range(images)]
    facts = {"protocol": "squashed, no CRF", "data": {"type": "Voc", "split": "val"}, "iter": 20_000, "seconds": 60.0}
    facts |= {"read": "0123abcd"}
    write_evaluation(folder, facts, {}, tallies, classes, names)
    counts, metrics = read_pixel_counts(folder), {}
    for name in (f"{kind}/{one}/mIoU" for kind in ("cam", "seg") for one in [*who, "best"]):
        metric = Metric.parse(name)
        assert metric is not None
        metrics[name] = Counts.of(counts, metric.maps(counts.maps)).value(metric)
    write_evaluation(folder, facts, metrics, tallies, classes, names)


def write(file: Path, images: int) -> None:
    """Write the archive of a made-up store."""
    import dupl
    from dupl.config import catalogue
    from dupl.data.classes import VOC_CLASSES
    from dupl.plans.plan import load
    from dupl.runs.run import Run

    with tempfile.TemporaryDirectory() as place:
        for number, planned in enumerate(load(PLAN).expand()):
            folder = Path(place) / f"voc-{planned.fingerprint}"
            run = Run.create(folder, catalogue.to_text(planned.config), planned.fingerprint, ["dupl"], planned.seed)
            students = 1 if planned.config.model.students.type == "SingleStudent" else 2
            evaluation(folder / "evaluation/iter_020000", list(VOC_CLASSES), images, students, number)
            run.update(iteration=20_000, iterations=20_000, **FINISHED)
        found = dupl.export_evidence(PLAN, file, place, overrides=[], anonymous=True, tell=print)
    print(f"{file}: {found.size / 1e6:.1f} MB; {found.verification.lines()[-2]}")


def verify(file: Path, repeats: int) -> None:
    """Time the verification."""
    for _ in range(repeats):
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "dupl", "verify", str(file)], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        line = (done.stdout.splitlines() or [done.stderr])[-2:][0]
        print(f"{time.monotonic() - began:.1f} s, {cpu:.1f} s of CPU, {after.ru_maxrss / 1024:.0f} MiB: {line}")


def main() -> None:
    """Write or verify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write", "verify"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--images", type=int, default=1449)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.what == "write":
        write(options.file, options.images)
    else:
        verify(options.file, options.repeats)


if __name__ == "__main__":
    main()
