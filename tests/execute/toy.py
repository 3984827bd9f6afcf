"""A trainer in twenty lines: it writes a run folder, and fails, dies, hangs or dawdles as its config tells it."""

import atexit
import faulthandler
import os
import runpy
import signal
import sys
import time
from pathlib import Path

from dupl.errors import Held
from dupl.execute.heartbeat import beat
from dupl.lock import hold
from dupl.runs.run import Run

faulthandler.register(signal.SIGUSR1)
config, run, asked = Path(sys.argv[1]), Run(sys.argv[2]), []
want = {
    "iterations": 3,
    "pace": 0.01,
    "crash_at": 0,
    "crashes": 0,
    "code": 1,
    "kill": False,
    "hang_at": 0,
} | runpy.run_path(config)
want.setdefault("journal", str(config.parent / "journal"))
journal = os.open(want["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
holding = hold(run.path)
try:
    holding.__enter__()
except Held as held:
    print(f"dupl: {held}", flush=True)
    sys.exit(held.code)
atexit.register(holding.__exit__, None, None, None)
if not run.exists():
    Run.create(run.path, config.read_text(), config.stem, sys.argv, seed=0)
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
for iteration in range(
    run.update(state="running", iterations=want["iterations"]).iteration + 1, want["iterations"] + 1
):
    time.sleep(want["pace"])
    os.write(journal, f"{config.stem} {iteration}\n".encode())
    crashed = Path(want["journal"]).read_text().count(f"{config.stem} crash\n")
    if iteration == want["crash_at"] and crashed < want["crashes"]:
        os.write(journal, f"{config.stem} crash\n".encode())
        print("dupl: said before it died", flush=True)
        sys.exit(os.kill(os.getpid(), signal.SIGKILL) if want["kill"] else want["code"])
    if iteration == want["hang_at"] and f"{config.stem} hang\n" not in Path(want["journal"]).read_text():
        os.write(journal, f"{config.stem} hang\n".encode())
        time.sleep(600)
    beat()
    run.append_scalars({"iter": iteration, "L_seg": 1 / iteration})
    run.update(iteration=iteration, seconds=iteration * want["pace"])
    if asked:
        sys.exit(run.update(state="interrupted") and 1)
run.update(state="finished")
