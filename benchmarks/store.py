"""How fast a store is read: synthetic finished runs of the shape that training leaves.

    python benchmarks/store.py                  1,000 runs in a temporary folder (about 150 MB, removed afterwards)
    python benchmarks/store.py --runs 100 --at my-store
    python benchmarks/store.py --list 20000     ``dupl runs`` of 20,000 runs: the first scan, then from the index
    python benchmarks/store.py --plan 3000      ``dupl report`` of a plan of 3,000 runs, and ``--dry-run`` of it

Each run has evaluations of 21 classes and 100 images, with two students: several on the way, and two of the final
protocol. The tables per image, which none but the last figure reads, are links to one file each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from dupl.config import catalogue
from dupl.config.fingerprint import config_id
from dupl.config.overrides import apply
from dupl.plans.plan import load as load_plan
from dupl.runs.evaluation_files import write_evaluation
from dupl.runs.metrics import summarise
from dupl.runs.run import Run, folder_name
from dupl.runs.store import RunStore
from dupl.runs.tallies import Tally

CLASSES = ["background", *(f"class {k}" for k in range(1, 21))]
MAPS = [f"{kind}/{who}" for kind in ("cam", "seg") for who in ("1", "2", "mean")]
FINAL = "val_final-1-1.5-1.25{}_best"


def evaluation(run: Run, folder: str, facts: dict[str, Any], maps: list[str], draw: random.Random) -> None:
    """Write the files of one evaluation, as an engine writes them."""
    metrics = {f"{name}/{metric}": 100 * draw.random() for name in maps for metric in ("mIoU", "mIoU-7", "OA")}
    metrics |= {f"{name}/best/mIoU": 100 * draw.random() for name in dict.fromkeys(m.split("/")[0] for m in maps)}
    run.write_json(f"{folder}/metrics.json", {**facts, "seconds": 20.0, "metrics": metrics})
    images, matrices, classes = [], [], []
    for name in maps:
        matrix = [[0] * len(CLASSES) for _ in CLASSES]
        for image in range(100):
            seen = [0, *draw.sample(range(1, len(CLASSES)), 2)]
            pixels = {(truth, said): draw.randrange(20000) for truth in seen for said in seen}
            for (truth, said), count in pixels.items():
                matrix[truth][said] += count
            for k in seen:
                fp, fn = (sum(pixels[pair] for pair in pixels if pair[i] == k) - pixels[k, k] for i in (1, 0))
                images.append((name, f"2008_{image:06d}", CLASSES[k], pixels[k, k], fp, fn))
        for k, row in enumerate(matrix):
            matrices.append((name, CLASSES[k], *row))
            classes.append((name, CLASSES[k], *(100 * draw.random() for _ in range(4)), sum(row)))
    run.write_csv(f"{folder}/per_image.csv", ["map", "image", "class", "TP", "FP", "FN"], images)
    run.write_csv(f"{folder}/confusion.csv", ["map", "truth", *CLASSES], matrices)
    run.write_csv(f"{folder}/per_class.csv", ["map", "class", "IoU", "precision", "recall", "OA", "pixels"], classes)


def template(folder: Path, evaluations: int) -> Run:
    """Make one finished run with its evaluations."""
    config = catalogue.load("voc_animals")
    run = Run.create(folder, catalogue.to_text(config), config_id(config), ["dupl", "train", "voc_animals"], 0)
    draw, data = random.Random(0), {"type": "VOC", "split": "val100"}
    for k in range(1, evaluations + 1):
        facts = {"protocol": "squashed, no CRF", "data": data, "iter": 200 * k}
        evaluation(run, f"evaluation/iter_{200 * k:06d}", facts, MAPS, draw)
    for crf in (False, True):
        name = FINAL.format("-crf-torch" if crf else "")
        facts = {"protocol": "original size, multi-scale", "name": name[4:-5], "students": "all", "data": data}
        facts |= {"checkpoint": "checkpoints/best.pth", "split": "val-val100"} | ({"crf": {}} if crf else {})
        evaluation(run, f"evaluation/{name}", facts, MAPS[3:], draw)
    for step in range(20, 200 * evaluations + 1, 20):
        run.append_scalars({"iter": step, **{name: draw.random() for name in ("loss", "L_cls", "L_seg", "seconds")}})
    run.update(state="finished", iteration=200 * evaluations, iterations=200 * evaluations, seconds=2000.0)
    return run


def build(root: Path, runs: int, evaluations: int) -> None:
    """Build copies of one run, each of another seed and fingerprint."""
    first = template(root / ".template", evaluations)
    status, config = first.status, catalogue.load(first.config_path)
    for seed in range(runs):
        changed = apply(config, {"runtime.seed": seed})
        folder = root / folder_name("voc_animals", config_id(changed))
        shutil.copytree(first.path, folder, copy_function=_copy)
        run = Run(folder)
        (folder / "config.py").write_text(catalogue.to_text(changed))
        # Not by Run: a thousand files that are synced to the disk one by one take minutes.
        values = asdict(replace(status, seed=seed, fingerprint=config_id(changed)))
        (folder / "status.json").unlink()
        (folder / "status.json").write_text(json.dumps(values, indent=2) + "\n")
        assert run.status.seed == seed


def _copy(source: str, target: str) -> None:
    if source.endswith("per_image.csv"):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)


def build_many(root: Path, runs: int) -> None:
    """Build runs of one evaluation each that differ in status alone; all other files are links to those of one run."""
    first = template(root / ".template", 1)
    values = asdict(first.status)
    files = [file for file in first.path.rglob("*") if file.is_file() and file.name != "status.json"]
    for seed in range(runs):
        folder = root / f"voc_animals-{seed:012x}"
        for file in files:
            (made := folder / file.relative_to(first.path)).parent.mkdir(parents=True, exist_ok=True)
            os.link(file, made)
        (folder / "status.json").write_text(json.dumps({**values, "seed": seed, "fingerprint": f"{seed:012x}"}))


def build_plan(folder: Path, runs: int, images: int = 200, different: int = 12) -> Path:
    """Build a plan of demo/toy with three seeds a row, and a store of its finished runs.

    Args:
        folder: Receives plan.py and the store, runs.
        runs: How many; rounded up to three a row.
        images: Of each run's one evaluation; demo/toy validates on 200.
        different: Evaluations that are not links to another run's.

    Returns:
        The file of the plan.
    """
    levels = ", ".join(str(round(0.3 + row * 1e-5, 5)) for row in range(-(-runs // 3)))
    file = folder / "plan.py"
    file.write_text(
        'base = "demo/toy"\nseeds = [0, 1, 2]\ncolumns = dict(Seg=dict(metric="seg/best/mIoU"))\n'
        f'vary = dict(paths=["model.threshold.final"], values=[{levels}])\n'
    )
    planned = load_plan(file).expand()
    parts = [folder / ".parts" / str(k) for k in range(different)]
    for k, part in enumerate(parts):
        write_toy_evaluation(part, images, np.random.default_rng(k))
    template = Run.create(folder / ".template", catalogue.to_text(planned[0].config), "", ["dupl", "train"], 0)
    template.update(state="finished", iteration=420, iterations=420, seconds=100.0)
    status = asdict(template.status)
    for k, run in enumerate(planned):
        made = folder / "runs" / folder_name("demo-toy", run.fingerprint)
        target = made / "evaluation" / "iter_000420"
        target.mkdir(parents=True)
        for one in parts[k % different].iterdir():
            os.link(one, target / one.name)
        (made / "config.py").write_text(catalogue.to_text(run.config))
        (made / "status.json").write_text(json.dumps({**status, "seed": run.seed, "fingerprint": run.fingerprint}))
    return file


def write_toy_evaluation(folder: Path, images: int, rng: np.random.Generator) -> None:
    """Write the files of an evaluation of two students on small random masks."""
    classes = ["background", "circle", "square", "triangle"]
    tallies = {name: Tally(len(classes)) for name in MAPS}
    for i in range(images):
        truth = np.where(rng.random((16, 16)) < 0.6, 0, rng.integers(1, 4)).astype(np.uint8)
        for tally in tallies.values():
            wrong = rng.random(truth.shape) < 0.3
            tally.add(i, truth, np.where(wrong, rng.integers(0, 4, truth.shape), truth).astype(np.uint8))
    facts = {"protocol": "squashed, no CRF", "data": {"type": "Toy", "split": "val"}, "iter": 420, "seconds": 2.0}
    names = [f"{i:06d}" for i in range(images)]
    write_evaluation(folder, facts, summarise(tallies), tallies, classes, names)


def measure_plan(runs: int) -> None:
    """Print how long the table of a plan takes, and its preview."""
    with tempfile.TemporaryDirectory() as folder:
        file = build_plan(Path(folder), runs)
        root = str(Path(folder) / "runs")
        for words in (["report", str(file), "--format", "csv"], ["ablate", str(file), "--dry-run"]):
            command = [sys.executable, "-m", "dupl", *words, "--root", root]
            begin, start = os.times(), time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            spent, end = time.perf_counter() - start, os.times()
            computed = end.children_user + end.children_system - begin.children_user - begin.children_system
            print(f"dupl {words[0]}, {runs:,} finished runs {spent:.1f} s, of which {computed:.1f} s computing")


def measure_list(runs: int) -> None:
    """Print how long ``dupl runs`` takes without and with the index."""
    command = [sys.executable, "-m", "dupl", "runs", "--root"]
    with tempfile.TemporaryDirectory() as folder:
        build_many(Path(folder), runs)
        for what in ("first scan", "from the index", "from the index"):
            begin, start = os.times(), time.perf_counter()
            subprocess.run([*command, folder], check=True, stdout=subprocess.DEVNULL)
            spent, end = time.perf_counter() - start, os.times()
            computed = end.children_user + end.children_system - begin.children_user - begin.children_system
            print(f"dupl runs, {runs:,} runs, {what:15} {spent:.2f} s, of which {computed:.2f} s computing")


def timed(what: str, work: Callable[[], Any], repeats: int) -> Any:
    """Print the seconds of each repetition, and return what the last one returned."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    print(f"{what:36} {'  '.join(f'{s:.2f}' for s in seconds)} s   {len(result):,} rows")
    return result


def main() -> None:
    """Build and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--evaluations", type=int, default=5, help="in training, beside two afterwards")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--at", type=Path, help="a folder to keep; one that is there is measured as it is")
    parser.add_argument("--list", type=int, metavar="N", help="measure dupl runs of N runs, and nothing else")
    parser.add_argument("--plan", type=int, metavar="N", help="measure dupl report of N runs, and nothing else")
    arguments = parser.parse_args()
    if arguments.list:
        return measure_list(arguments.list)
    if arguments.plan:
        return measure_plan(arguments.plan)
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.at or Path(temporary)
        if not root.is_dir() or not any(root.iterdir()):
            start = time.perf_counter()
            build(root, arguments.runs, arguments.evaluations)
            print(f"built in {time.perf_counter() - start:.0f} s")
        import pandas  # noqa: F401  (its import, a second by itself, is not what is measured)

        print(f"load {', '.join(f'{value:.1f}' for value in os.getloadavg())} on {os.cpu_count()} cores")
        store, repeats = RunStore(root), arguments.repeats
        runs = timed("RunStore.runs()", store.runs, repeats)
        timed("RunStore.frame()", store.frame, repeats)
        timed("RunStore.counts(), last, all runs", store.counts, repeats)
        prints = [stored.fingerprint for stored in runs[:18]]
        timed("RunStore.per_image(), last, 18 runs", lambda: store.per_image(prints), repeats)
        assert not store.skipped, store.skipped[:3]
        config = catalogue.load(runs[0].run.config_path)
        timed("RunStore.pace(), one config", lambda: [store.pace(config)], repeats)
        timed("sizes on disk", lambda: [stored.size() for stored in runs], repeats)


if __name__ == "__main__":
    main()
