"""Long runs, large stores and large studies: what grows with their length. Prints Markdown.

    python benchmarks/endurance.py train --at endurance                a run of 10,000 iterations of a tiny network
    python benchmarks/endurance.py train --at endurance --iterations 0 what an earlier one left in the folder
    python benchmarks/endurance.py store                               1,000 finished runs
    python benchmarks/endurance.py study --at study                    10,000 trials of a sweep in SQLite

`train` is `dupl train` as anybody runs it, with a loader's worker, evaluations and checkpoints on the way; meanwhile
its memory, open files and threads are looked at four times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SETS = [
    *(
        f"model.network.backbone.options.{name}={value}"
        for name, value in dict(img_size=32, patch_size=8, embed_dim=16, depth=3, num_heads=2).items()
    ),
    "model.network.head.channels=8",
    "model.network.head.dilation=1",
    "model.refine.dilations=[1,2]",
    "model.refine.iterations=2",
    "model.patch_contrast.start=100",
    "model.segmentation.start=200",
    "model.noise_filter.start=300",
    "model.noise_filter.min_pixels=20",
    "model.consistency.start=300",
    "data.train.size=32",
    "data.val.size=32",
    "data.val.count=20",
    "data.augment.crop=32",
    "evaluation.size=32",
    "schedule.batch_size=2",
    "schedule.images_per_loss=2",
    "runtime.workers=1",
    "runtime.log_interval=50",
    "runtime.device=cpu",
]
COUNTED = {"memory, main process, MiB": "rss", "memory, all processes, MiB": "all", "open files": "files"}
COUNTED |= {"threads": "threads"}
SPENT = {"CPU per iteration, ms": "cpu", "wall time per iteration, ms": "time"}


def train(folder: Path, iterations: int) -> None:
    """Train, and write a line of samples.jsonl four times a second."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = [*SETS, f"schedule.iterations={iterations}", f"evaluation.interval={max(1, iterations // 20)}"]
    sets += [f"runtime.checkpoint_interval={max(1, iterations // 20)}"]
    words = [sys.executable, "-m", "dupl", "train", "demo/toy", "--work-dir", str(folder / "run"), "--set", *sets]
    with open(folder / "train.log", "w") as log, open(folder / "samples.jsonl", "w") as file:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(0.25)
            with suppress(OSError, ValueError, LookupError):  # it is just ending
                file.write(json.dumps({"iter": reached(folder / "run"), **sample(process.pid)}) + "\n")
        if process.returncode:
            raise SystemExit(f"the run failed, see {folder / 'train.log'}")


def reached(run: Path) -> int:
    """The last iteration that scalars.jsonl has."""
    with open(run / "scalars.jsonl", "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        rows = file.read().split(b"\n")[1:-1]
    return int(json.loads(rows[-1])["iter"])


def sample(pid: int) -> dict[str, float]:
    """Of a process: memory in MiB, of its children too; open files; threads; CPU seconds so far."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return {
        "rss": int(status["VmRSS"].split()[0]) / 1024,
        "all": sum(map(memory, tree(pid))),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
        "cpu": (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
        "time": time.time(),
    }


def tree(pid: int) -> Iterable[int]:
    """A process and all below it."""
    yield pid
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from tree(int(child))


def memory(pid: int) -> float:
    """Resident MiB of a process, 0 of one that is gone."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
    return 0.0


def tell_training(folder: Path) -> None:
    """The table by tenths of the run, with the trend over its last 80 %."""
    found = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    rows = [json.loads(line) for line in (folder / "run" / "scalars.jsonl").read_text().splitlines()]
    iterations = rows[-1]["iter"]
    at = np.array([one["iter"] for one in found])
    found, at = found[: np.argmax(at) + 1], at[: np.argmax(at) + 1]  # without the pictures that are drawn at the end
    curves = {name: (at, np.array([one[key] for one in found])) for name, key in COUNTED.items()}
    first = np.flatnonzero(np.diff(at, prepend=at[0] - 1) > 0)  # where a new row of scalars was first seen
    steps = np.diff(at[first])
    for name, key in SPENT.items():
        spent = np.diff(np.array([found[i][key] for i in first]))
        curves[name] = (at[first][1:], 1000 * spent / steps)
    tenths = [f"{k}0 %" for k in range(1, 11)]
    print(f"{iterations:,} iterations in {(found[-1]['time'] - found[0]['time']) / 60:.1f} minutes\n")
    print(f"| until | {' | '.join(tenths)} | trend of the last 80 % |\n|---|{'---|' * 11}")
    for name, (x, y) in curves.items():
        means = [tenth(x, y, k, iterations) for k in range(10)]
        change, flat = trend(x, y, iterations)
        told = " | ".join(f"{mean:.0f}" if mean >= 10 else f"{mean:.1f}" for mean in means)
        verdict = f"{100 * change:+.1f} %, {'flat' if flat else 'not flat'}"
        print(f"| {name} | {told} | {verdict} |")


def tenth(x: NDArray[np.int64], y: NDArray[np.float64], k: int, iterations: int) -> float:
    """The mean in a tenth of the run; without samples there, NaN."""
    chosen = y[(x > k * iterations / 10) & (x <= (k + 1) * iterations / 10)]
    return float(chosen.mean()) if len(chosen) else float("nan")


def trend(x: NDArray[np.int64], y: NDArray[np.float64], iterations: int) -> tuple[float, bool]:
    """Change over the last 80 % of the run by a straight line through the medians of its eightieths, as a share.

    Returns:
        The share, and whether it is below 2 %.
    """
    edges = np.linspace(0.2 * iterations, iterations, 81)
    places = [(x > low) & (x <= high) for low, high in zip(edges, edges[1:], strict=False)]
    middles = [(n, float(np.median(y[chosen]))) for n, chosen in enumerate(places) if chosen.any()]
    where, values = np.array(middles).T
    slope, level = np.polyfit(where / 80 - 0.5, values, 1)
    return float(slope / level), bool(abs(slope / level) < 0.02)


def run(words: Sequence[str]) -> None:
    """Run a command to its end, quietly.

    Raises:
        SystemExit: It failed.
    """
    ended = subprocess.run(words, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{' '.join(words)}: {ended.stderr[-2000:]}")


def seconds(work: Callable[[], Any]) -> float:
    """CPU time of some work and of the commands it runs: what it takes on a machine with nothing else to do."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    work()
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))


def tell(rows: Sequence[tuple[str, float, str]]) -> None:
    """A table of what took how long."""
    print("| what | seconds of CPU | |\n|---|---|---|")
    for what, spent, more in rows:
        print(f"| {what} | {spent:.2f} | {more} |")


def stores(runs: int) -> None:
    """How fast a store is read, whole and at a tenth of its size."""
    import pandas  # noqa: F401  (its import, a second by itself, is not what is measured)
    from store import build

    from dupl.runs.store import RunStore

    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for count in (runs // 10, runs):
            root = Path(temporary) / str(count)
            build(root, count, 5)
            one = RunStore(root)
            for what, work in (("runs", one.runs), ("frame", one.frame), ("counts", one.counts)):
                rows.append((f"RunStore.{what}(), {count:,} runs", seconds(work), f"{len(work()):,} rows"))
            words = [sys.executable, "-m", "dupl", "runs", "--root", str(root)]
            rows.append((f"dupl runs, {count:,} runs", seconds(lambda words=words: run(words)), ""))
    tell(rows)


SWEEP = '''
"""Synthetic trials."""

base = "demo/toy"
goal = dict(metric="seg/best/mIoU", direction="maximize")
space = {
    "model.weights.dis": dict(type="float", low=0.01, high=1.0, log=True),
    "model.weights.seg": dict(type="float", low=0.02, high=2.0, log=True),
    "model.tau_l": dict(type="float", low=0.1, high=0.4),
    "schedule.lr": dict(type="float", low=1e-4, high=1e-2, log=True),
}
sampler = dict(type="random", seed=0)
pruner = dict(type="median")
trials = {trials}
'''


def make_study(folder: Path, trials: int) -> None:
    """A sweep's file and its study, with as many trials as asked for: 80 % complete, 15 % pruned, 5 % failed."""
    from optuna.distributions import FloatDistribution
    from optuna.trial import TrialState, create_trial

    from dupl.plans.samplers import quiet_optuna
    from dupl.plans.study import open_study
    from dupl.plans.sweep import load

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "long.py"
    file.write_text(SWEEP.replace("{trials}", str(trials)).lstrip())
    with quiet_optuna():
        sweep = load(file)
        study = open_study(sweep, root=folder / "runs", create=True)
        draw = random.Random(0)
        space = {p.name: FloatDistribution(p.low, p.high, log=p.log) for p in sweep.space.values()}
        made = []
        for number in range(trials - len(study.get_trials(deepcopy=False))):
            params = {
                name: d.low * (d.high / d.low) ** draw.random() if d.log else draw.uniform(d.low, d.high)
                for name, d in space.items()
            }
            score = 50 - 10 * abs(params["model.tau_l"] - 0.25) + draw.gauss(0, 1)
            how = draw.random()
            state = "COMPLETE" if how < 0.8 else "PRUNED" if how < 0.95 else "FAIL"
            steps = 6 if state == "COMPLETE" else 3
            made.append(
                create_trial(
                    state=TrialState[state],
                    value=score if state == "COMPLETE" else None,
                    params=params,
                    distributions=space,
                    intermediate_values={step: score * step / 6 for step in range(1, steps + 1)},
                    user_attrs={"run": f"{number:012x}", "folder": "", "iteration": 70 * steps, "seconds": 9.0 * steps},
                )
            )
        study.add_trials(made)


def studies(folder: Path, trials: int) -> None:
    """What the commands take with a study of many trials, and with one of a tenth of them."""
    rows = []
    for count in (trials // 10, trials):
        place = folder / str(count)
        rows.append((f"{count:,} trials written", seconds(lambda p=place, c=count: make_study(p, c)), ""))
        rows += [(f"{what}, {count:,} trials", spent, more) for what, spent, more in study_times(place, count)]
        print("".join(f"{what}: {spent:.2f}\n" for what, spent, _ in rows[-7:]), file=sys.stderr, flush=True)
    tell(rows)


def study_times(folder: Path, trials: int) -> list[tuple[str, float, str]]:
    """Seconds of what reads a study."""
    from dupl.plans.samplers import quiet_optuna
    from dupl.plans.study import open_study
    from dupl.plans.study import trials as table
    from dupl.plans.sweep import load

    file, root = folder / "long.py", folder / "runs"
    rows = []
    with quiet_optuna():
        sweep, found = load(file), []
        rows.append(("open the study", seconds(lambda: found.append(open_study(sweep, root=root))), ""))
        rows.append(("the trials as a table", seconds(lambda: table(found[0])), ""))
    commands = {
        "dupl sweep --dry-run": ["sweep", file, "--dry-run"],
        f"dupl sweep --continue --trials {trials}": ["sweep", file, "--continue", "--trials", trials],
        "dupl report": ["report", file],
        "dupl report --format html": ["report", file, "--format", "html", "--out", folder / "page.html"],
    }
    for name, words in commands.items():
        line = [sys.executable, "-m", "dupl", *map(str, words), "--root", str(root)]
        rows.append((name, seconds(lambda line=line: run(line)), ""))
    return rows


def main() -> None:
    """One of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "store", "study"))
    parser.add_argument("--at", type=Path, help="a folder to keep")
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.at or Path(temporary)
        if arguments.what == "train":
            if arguments.iterations:
                train(folder, arguments.iterations)
            tell_training(folder)
        elif arguments.what == "store":
            stores(arguments.runs)
        else:
            studies(folder, arguments.trials)


if __name__ == "__main__":
    main()
