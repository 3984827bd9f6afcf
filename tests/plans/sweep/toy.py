"""A trainer in twenty lines: its metric is a function of its config; it leaves the files of a run."""

import atexit
import os
import runpy
import signal
import sys
import time
from pathlib import Path

from dupl.errors import DiskError, Held
from dupl.lock import hold
from dupl.runs.run import Run

config, run, asked = Path(sys.argv[1]), Run(sys.argv[2]), []
c = runpy.run_path(config)
journal = os.open(c["toy"]["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
holding = hold(run.path)
try:
    holding.__enter__()
except Held as held:
    sys.exit(held.code)
atexit.register(holding.__exit__, None, None, None)
if not run.exists():
    Run.create(run.path, config.read_text(), config.stem, sys.argv, seed=0)
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
every, total, x, y = c["evaluation"]["interval"], c["schedule"]["iterations"], c["toy"]["x"], c["toy"]["y"]
for i in range(run.update(state="running", iterations=total).iteration + 1, total + 1):
    time.sleep(c["toy"]["pace"])
    os.write(journal, f"{config.stem} {i}\n".encode())
    if i == 3 and config.parents[2].joinpath("full").exists():
        sys.exit(DiskError.code)
    if x > c["toy"]["broken_from"]:
        sys.exit("dupl: x is too large")
    if i % every == 0:
        value = (80 - 100 * (x - 0.3) ** 2 - 50 * (y - 0.6) ** 2) * (1 - 0.5**i)
        facts = {"iter": i, "data": c["data"]["val"], "seconds": 0.0, "metrics": {"seg/best/mIoU": value}}
        run.write_json(f"evaluation/iter_{i:06d}/metrics.json", facts)
    run.update(iteration=i, seconds=36.0 * i)
    if asked:
        sys.exit(run.update(state="interrupted") and 1)
run.update(state="finished")
