"""An evaluation by the final protocol, as the store knows it."""

import sys
from pathlib import Path

from dupl.runs.run import Run

config, run = Path(sys.argv[1]), Run(sys.argv[2])
with open(config.parent / "journal", "a") as journal:
    journal.write(f"{config.stem} eval\n")
facts = {"protocol": "final", "name": "final-1-crf-torch", "crf": {}, "students": "all", "split": "val"}
facts |= {
    "checkpoint": "iter_last.pth",
    "iter": run.status.iteration,
    "seconds": 7.5,
    "metrics": {"seg/best/mIoU": 50.0},
}
run.write_json("evaluation/val_final-1-crf-torch_iter_last/metrics.json", facts)
