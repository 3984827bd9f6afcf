"""Compares CoSA with its released implementation: terms and gradients of a step, checkpoints, time and memory.

    python benchmarks/cosa.py --reference PATH --lattice PATH --case micro tiny
    python benchmarks/cosa.py --reference PATH --rows check          # without timing

PATH of --reference is a checkout of https://github.com/youshyee/CoSA, that of --lattice one of
https://github.com/meng-tang/rloss, whose extension the released code needs; without it our lattice takes its place.
Both start from the same weights, the same batch and the same strong view, each in a process of its own. In the first
phase the released code multiplies all terms but L_cls by 0.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import toco
from released_cosa import SCRIPT
from workers import CASES, Worker, machine

PHASES = (("first", 1000), ("last", 20000))  # name, an iteration
RTOL = {"L_energy": 1e-4}  # of terms; 1e-5 of others: pixels on the edge of two simplices fall to either
LATE = ("L_seg", "L_s2c", "L_energy")


def check(ours: Worker, released: Worker, layout: dict[str, tuple[int, ...]]) -> list[str]:
    """Compare the terms of a step in both phases, and its gradients; what differs."""
    wrong = []
    for mine, theirs, which in zip(
        ours("labels", PHASES[-1][1]), _labels(released), ("CAM", "auxiliary CAM"), strict=True
    ):
        apart, foreground = int((mine != theirs).sum()), int(((theirs > 0) & (theirs < 255)).sum())
        print(f"labels of the {which}: {apart} of {theirs.size} pixels differ, {foreground} are foreground")
        wrong += [f"labels of the {which}"] * (apart > 0)
    for name, t in PHASES:
        mine, theirs = ours("step", t=t, same_strong=True), released("step", t=t)
        theirs = {k: v for k, v in theirs.items() if name == "last" or k not in LATE}
        print(f"{name} phase, term: released, ours, relative difference")
        for key, value in theirs.items():
            apart = abs(mine[key] - value) / max(abs(value), 1e-2)
            print(f"  {key}: {value:.7g}, {mine[key]:.7g}, {apart:.1e}")
            wrong += [f"{name} {key}"] * (apart > RTOL.get(key, 1e-5))
        a, b = ours("gradients", t, layout), released("gradients", t)
        b = {k: v for k, v in b.items() if k in a or v.any()}  # zeros where a term counts 0 times
        if missing := sorted(set(b) ^ set(a)):
            wrong.append(f"{name} gradients of {missing}")
        both = sorted(set(a) & set(b))
        whole = [np.concatenate([side[k].ravel() for k in both]) for side in (a, b)]
        apart = toco.relative(*whole)
        print(f"  gradient of {len(both)} weights: relative difference {apart:.1e}")
        wrong += [f"{name} gradient"] * (apart > 1e-4)
    return wrong


def _labels(released: Worker) -> list[np.ndarray]:
    """Labels that the released step makes."""
    released("step", t=PHASES[-1][1])
    return released("labels")


def checkpoint(ours: Worker, released: Worker, folder: str, size: int) -> list[str]:
    """Compare what both predict with random weights that the released script saved."""
    import torch

    released("save", f"{folder}/released.pth")
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))
    pairs = zip(ours("predict_with", f"{folder}/released.pth", images), released("predict", images), strict=True)
    wrong = []
    for name, (mine, theirs) in zip(("scores", "logits", "CAM"), pairs, strict=True):
        apart = float(np.abs(mine - theirs).max())
        print(f"  {name} from a released checkpoint: largest difference {apart:.1e}")
        wrong += [f"{name} from a checkpoint"] * (apart > 1e-5 * max(1.0, float(np.abs(theirs).max())))
    return wrong


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", metavar="PATH", required=True, help="a checkout of the released repository")
    parser.add_argument("--lattice", metavar="PATH", help="a checkout of the repository of its extension")
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=["micro"], help="default: micro")
    parser.add_argument("--rows", nargs="+", choices=("check", "speed"), default=["check", "speed"])
    parser.add_argument("--repeats", type=int, help="measured repetitions; default: 5, ViT-B 3")
    parser.add_argument("--images", metavar="DIR", help="photos in VOC layout; default: toy scenes")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(arguments)
    if not (Path(options.reference) / SCRIPT).is_file():
        parser.error(f"--reference {options.reference}: no {SCRIPT} there; give a checkout of the released repository")
    toco.AT_MOST["time"] = 0.85
    wrong: list[str] = []
    for name in options.case:
        case = dataclasses.replace(CASES[name], students=2)
        shared: dict[str, Any] = dict(case=case, device=options.device, threads=options.threads)
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            ours = stack.enter_context(Worker("ours_cosa:OursCoSA", **shared, images=options.images))
            reference = dict(root=options.reference, lattice=options.lattice, **shared)
            released = stack.enter_context(Worker("released_cosa:ReleasedCoSA", **reference))
            facts, m = ours("facts"), machine()
            print(f"{case.title}: {m['cpu']}, {m['cores']} cores, {facts}, load before the run {m['load_before']}")
            layout = released("layout")
            ours("export", folder, layout)
            released("load", folder)
            if "check" in options.rows:
                wrong += check(ours, released, layout)
            if "speed" in options.rows:
                toco.speed(ours, released, options.repeats or case.repeats, PHASES[-1][1])
            if "check" in options.rows:
                wrong += checkpoint(ours, released, folder, case.size)
    if wrong:
        raise SystemExit(f"not the same: {', '.join(wrong)}")
    print("the same" if "check" in options.rows else "not compared")


if __name__ == "__main__":
    main()
