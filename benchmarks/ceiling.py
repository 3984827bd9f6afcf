"""The fully supervised ceiling of the demo: trains demo/supervised and prints its segmentation mIoU.

    python benchmarks/ceiling.py [PATH=VALUE ...]

What a run on tags could reach at best with this network, this many iterations and this batch.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from dupl.config import catalogue, overrides
from dupl.engine.training.train import train
from dupl.runs import layout
from dupl.runs.evaluation_files import read_evaluation


def main(sets: list[str]) -> None:
    """Train and print."""
    started = time.monotonic()
    config = overrides.apply(catalogue.load("demo/supervised"), overrides.parse(sets))
    schedule = config.schedule
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder) / "run")
        metrics = read_evaluation(Path(folder) / "run" / layout.evaluation(schedule.iterations)).metrics
    how = f"{schedule.iterations} iterations of batch {schedule.batch_size}, seed {config.runtime.seed}"
    seconds = time.monotonic() - started
    print(f"taught by true masks, {how}: Seg {metrics['seg/1/mIoU']:.1f} mIoU; {seconds:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
