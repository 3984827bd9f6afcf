"""What runs save that train their common beginning once: iterations of the shipped plans, and time of a small copy.

    python benchmarks/sharing.py                     iterations, and hours at the published pace; trains nothing
    python benchmarks/sharing.py --measure           also trains every demo run at a tenth of its length, both ways
    python benchmarks/sharing.py --sweep 20          iterations of trials over gamma and eta, counted
    python benchmarks/sharing.py --store DIR         what the finished runs of a store saved, in iterations and seconds

The runs of several plans are counted once each, as ``dupl ablate PLAN PLAN ...`` trains them. Hours at full size are
those of the paper's released code, 6.8 h for a run of 20,000 iterations on two RTX 3090; iterations are taken to cost
the same all through a run.

``--measure`` trains the runs of one seed with every iteration number divided by ten: starts, evaluations, length. Each
is trained from its first iteration, then as the tree of shared beginnings has it. The figures are processor seconds of
this process, so that other work on the machine does not count. What a run takes besides its iterations (building it,
the copy of a checkpoint, its pages) is then a larger part than at full length. Bookkeeping, which is to plan the tree,
to begin as a checkpoint and to save those at forks, is printed apart, also as a share of the time at full length.

``--store`` reads what real runs took. The bound that it prints beside the seconds is the share of the iterations that
were trained, each weighted by the seconds that it took: no sharing of these iterations saves more.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dupl.config.check import RECIPE
from dupl.config.overrides import apply
from dupl.config.prefix import beginnings
from dupl.config.slots import slots_of
from dupl.execute.stages import Fork, forks_of
from dupl.plans.plan import PlannedRun, load

DEMO = ("demo_table4", "demo_leave_one_out", "demo_table5b", "demo_table6", "demo_released_vs_paper")
FULL = ("table4_components", "table4_leave_one_out", "table5b_warmup", "table6_discrepancy", "released_vs_paper")
PUBLISHED = 6.8 / 20_000  # hours of an iteration, on two RTX 3090
TENTH = 10


def runs_of(plans: Iterable[str], seeds: Sequence[int]) -> dict[str, PlannedRun]:
    """Return the different runs of some plans by their id."""
    return {run.fingerprint: run for plan in plans for run in load(plan).expand(seeds=seeds)}


def counted(configs: Mapping[str, Mapping[str, Any]]) -> tuple[int, int, dict[str, Fork]]:
    """Return the iterations of runs, how many of them are shared, and where each run forks."""
    digests = {name: beginnings(config) for name, config in configs.items()}
    forks = forks_of(digests)
    return sum(max(one) for one in digests.values()), sum(fork.iteration for fork in forks.values()), forks


def count_plans(plans: Sequence[str], seeds: Sequence[int], hours: float | None) -> list[str]:
    """Return rows of a table: each plan alone, then all together."""
    rows = []
    for names in (*([name] for name in plans), list(plans)):
        runs = runs_of(names, seeds)
        total, shared, _ = counted({name: run.values for name, run in runs.items()})
        cells = [
            " + ".join(names) if len(names) < 2 else "**together**",
            str(len(runs)),
            f"{total:,}",
            f"{total - shared:,}",
        ]
        cells += [f"{(total - shared) / total:.3f}"]
        cells += [f"{total * hours:.0f} h", f"{shared * hours:.0f} h"] if hours else ["", ""]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def count_sweep(trials: int) -> str:
    """Return a line on trials of demo/ablation over gamma and eta at the recipe's warm-up."""
    from dupl.config import catalogue

    base, draw = catalogue.load_values("demo/ablation"), random.Random(0)
    points = [{}] + [{"gamma": draw.uniform(0.5, 0.99), "eta": draw.uniform(0.25, 2.0)} for _ in range(trials - 1)]
    sets = [{f"model.noise_filter.{name}": value for name, value in point.items()} for point in points]
    total, shared, _ = counted({str(i): apply(base, one, RECIPE) for i, one in enumerate(sets)})
    return f"{trials} trials over gamma and eta: {total - shared:,} of {total:,} iterations, {1 - shared / total:.3f}x"


def shortened(values: Mapping[str, Any], by: int = TENTH) -> dict[str, Any]:
    """Return a config with every iteration number divided, and an evaluation of as few photos."""
    sets: dict[str, Any] = {"runtime.checkpoint_interval": values["schedule"]["iterations"]}
    for path, least in (("schedule.iterations", 2), ("schedule.warmup", 1), ("evaluation.interval", 1)):
        section, key = path.split(".")
        sets[path] = max(least, round(values[section][key] / by))
    for slot in slots_of(values["model"]):
        start = (values["model"].get(slot.name) or {}).get("start")
        if start:
            sets[f"model.{slot.name}.start"] = round(start / by)
    sets["data.val.count"] = max(1, values["data"]["val"]["count"] // by)
    return apply(dict(values), sets, RECIPE)


def measure(runs: Mapping[str, PlannedRun], root: Path, log: Path) -> dict[str, Any]:
    """Train runs from their first iteration, then as a tree; return processor seconds, and how many results differ."""
    from mmengine.config import Config
    from rich.console import Console

    import dupl.engine.training.train  # noqa: F401  before the first run is timed
    from dupl import api
    from dupl.config import catalogue
    from dupl.runs.run import Run

    configs = {name: shortened(run.values) for name, run in runs.items()}
    book = Bookkeeping()
    with book:
        total, shared, forks = counted(configs)
    kept = defaultdict[str, set[int]](set)
    for fork in forks.values():
        kept[fork.parent].add(fork.iteration)
    spent: dict[str, dict[str, float]] = {"scratch": {}, "tree": {}}
    scalars: dict[str, list[Any]] = {}
    with open(log, "w", encoding="utf-8") as file:
        console = Console(file=file, width=200)
        for name, values in configs.items():
            for way in spent:
                config: Config = catalogue.as_config(values)
                fork = forks.get(name) if way == "tree" else None
                begin = root / "tree" / fork.parent if fork else None
                keep = sorted(kept[name]) if way == "tree" else []
                started = time.process_time()
                with book.on(keep):
                    run = api.train(config, root / way / name, begin_from=begin, keep_at=keep, console=console)
                spent[way][name] = time.process_time() - started
                assert run is not None
                status = Run(run.path).status
                assert (status.beginning.iteration if status.beginning else 0) == (fork.iteration if fork else 0), name
            rows = [Run(root / way / name).scalars() for way in spent]
            scalars[name] = [[{**row, "seconds": 0, "memory_GiB": 0} for row in one] for one in rows]
            print(
                f"{runs[name].plan} {runs[name].row}: " + ", ".join(f"{spent[w][name]:.1f} s" for w in spent),
                flush=True,
            )
    differ = sum(one[0] != one[1] for one in scalars.values())
    found = {"iterations": total, "shared": shared, "spent": spent, "differ": differ, "forks": forks}
    return found | {"bookkeeping": book.seconds}


class Bookkeeping:
    """Processor seconds of what only sharing needs, summed over the times that this context is entered."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self.started = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self.started

    @contextmanager
    def on(self, forks: Sequence[int]) -> Iterator[None]:
        """Count the beginning as a checkpoint, and the saving of those that are kept at forks, meanwhile."""
        from dupl.engine.training import train
        from dupl.engine.training.checkpoint_hook import CheckpointHook

        begin_as, save = train.begin_as, CheckpointHook.save

        def begun(*arguments: Any) -> None:
            with self:
                begin_as(*arguments)

        def saved(hook: CheckpointHook, runner: Any) -> None:
            with self if runner.iter in forks else nullcontext():
                save(hook, runner)

        with patch.object(train, "begin_as", begun), patch.object(CheckpointHook, "save", saved):
            yield


def of_store(root: Path) -> list[str]:
    """Return what the finished runs of a store saved: iterations, seconds, the bound, and the time of starting."""
    from dupl.runs.store import RunStore

    runs = [run for run in RunStore(root).runs() if run.state == "finished"]
    if not runs:
        raise SystemExit(f"{root}: no run is finished")
    iterations, trained, bound, each = 0, 0, [0.0, 0.0], list[float]()
    begun: dict[bool, list[float]] = {True: [], False: []}
    for run in runs:
        begin = run.status.beginning
        first = begin.iteration if begin else 0
        iterations, trained = iterations + run.status.iteration, trained + run.status.iteration - first
        last = 0
        for row in run.run.scalars():
            if "loss" in row:  # seconds of an iteration since the last such row
                spent, last = (row["iter"] - last) * row["seconds"], row["iter"]
                bound = [bound[0] + spent * (row["iter"] > first), bound[1] + spent]
        each.append(run.status.seconds)
        times = datetime.fromisoformat(run.status.created), datetime.fromisoformat(run.status.stretches[-1].began)
        begun[begin is not None].append((times[1] - times[0]).total_seconds())
    whole = sum(run.status.whole_seconds for run in runs)
    lines = [
        f"{len(runs)} finished runs, {len(begun[True])} of them began as another one: {trained:,} of {iterations:,} "
        f"iterations, {trained / iterations:.3f}; {sum(each):,.0f} of {whole:,.0f} s, {sum(each) / whole:.3f}; "
        f"bound by the seconds of each iteration {bound[0] / bound[1]:.3f}"
    ]
    if begun[True] and begun[False]:
        fork, scratch = (sum(begun[key]) / len(begun[key]) for key in (True, False))
        lines.append(
            f"from the folder to the first step {fork:.1f} s where a run began as another one, {scratch:.1f} s from "
            f"scratch (means of whole seconds); a run of its own trains {whole / len(runs):.0f} s"
        )
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of each row")
    parser.add_argument("--sweep", type=int, default=20, metavar="TRIALS", help="trials of the sweep that is counted")
    parser.add_argument("--measure", action="store_true", help="train the demo runs of the first seed, both ways")
    parser.add_argument("--plans", nargs="+", default=DEMO, help="plans that --measure trains")
    parser.add_argument("--json", type=Path, help="save what was measured")
    parser.add_argument("--store", type=Path, metavar="DIR", help="say what the runs of a store saved, and end")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="some rows of the plans that --measure trains")
    arguments = parser.parse_args()
    if arguments.store:
        print("\n".join(of_store(arguments.store)))
        return
    head = "| plans | runs | iterations | trained | ratio | hours | saved |\n|---|--:|--:|--:|--:|--:|--:|"
    print(f"{head}\n" + "\n".join(count_plans(DEMO, arguments.seeds, None)))
    print("\n".join(count_plans(FULL, arguments.seeds, PUBLISHED)))
    print(f"\n{count_sweep(arguments.sweep)}")
    if not arguments.measure:
        return
    with tempfile.TemporaryDirectory() as folder:
        runs = runs_of(arguments.plans, arguments.seeds[:1])
        runs = {name: run for name, run in runs.items() if not arguments.rows or run.row in arguments.rows}
        found = measure(runs, Path(folder), Path(folder) / "log.txt")
    scratch, tree = (sum(found["spent"][way].values()) for way in ("scratch", "tree"))
    iterations = (found["iterations"] - found["shared"]) / found["iterations"]
    print(f"\niterations {iterations:.3f}, processor seconds {scratch:.0f} and {tree:.0f}: {tree / scratch:.3f}")
    share = found["bookkeeping"] / tree
    print(
        f"bookkeeping {found['bookkeeping']:.2f} processor seconds for {len(runs)} runs: {100 * share:.2f} % of the "
        f"tree, about {100 * share / TENTH:.2f} % at full length"
    )
    print(f"runs whose scalars differ from those from scratch: {found['differ']} of {len(found['spent']['tree'])}")
    if arguments.json:
        forks = {name: [fork.parent, fork.iteration] for name, fork in found.pop("forks").items()}
        arguments.json.write_text(json.dumps({**found, "forks": forks}))


if __name__ == "__main__":
    main()
