"""What the benchmarks of the peer methods share: a step, a checkpoint and a speed, ours beside the released one."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from workers import CASES, GIB, Case, Worker, computed, machine


@dataclass(frozen=True)
class Peer:
    """A peer method to compare with its release.

    Attributes:
        doc: Help of the command.
        script: Training script of the released repository.
        ours, released: Classes of the two sides, "module:Class".
        students: Networks of the method.
        phases: Names of two phases with an iteration of each.
        late: Terms that are compared in the last phase alone.
        time: A step takes at most this share of the released one's time.
        maps: What both predict from a checkpoint, in order.
        ours_step, released_step: Further arguments of a step that is compared.
        backbones: Names of the backbones of a method that has its own, by the name of a case.
        memory: At most this share of the released peak.
        rtol: Tolerance of terms whose tolerance is not 1e-5.
    """

    doc: str
    script: str
    ours: str
    released: str
    students: int
    phases: tuple[tuple[str, int], tuple[str, int]]
    late: tuple[str, ...]
    time: float
    maps: tuple[str, ...]
    ours_step: Mapping[str, Any] = field(default_factory=dict)
    released_step: Mapping[str, Any] = field(default_factory=dict)
    backbones: Mapping[str, str] = field(default_factory=dict)
    memory: float = 0.7
    # Pixels on the edge of two simplices fall to either.
    rtol: Mapping[str, float] = field(default_factory=lambda: {"L_energy": 1e-4})

    def both(self, case: Case) -> dict[str, Any]:
        """Return what both sides are built with besides case, device and threads."""
        return {}

    def before(self, ours: Worker, released: Worker) -> list[str]:
        """Compare what a step begins with; what differs."""
        return []


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Norm of the difference by the norm of the second."""
    return float(np.linalg.norm((a - b).ravel()) / max(np.linalg.norm(b.ravel()), 1e-12))


def check(peer: Peer, ours: Worker, released: Worker, layout: dict[str, tuple[int, ...]]) -> list[str]:
    """Compare the terms of a step in both phases, and its gradients; what differs."""
    wrong = peer.before(ours, released)
    for name, t in peer.phases:
        mine, theirs = ours("step", t=t, **peer.ours_step), released("step", t=t, **peer.released_step)
        theirs = {k: v for k, v in theirs.items() if name == "last" or k not in peer.late}
        print(f"{name} phase, term: released, ours, relative difference")
        for key, value in theirs.items():
            apart = abs(mine[key] - value) / max(abs(value), 1e-2)
            print(f"  {key}: {value:.7g}, {mine[key]:.7g}, {apart:.1e}")
            wrong += [f"{name} {key}"] * (apart > peer.rtol.get(key, 1e-5))
        a, b = ours("gradients", t, layout), released("gradients", t)
        b = {k: v for k, v in b.items() if k in a or v.any()}  # zeros where a term counts 0 times
        if missing := sorted(set(b) ^ set(a)):
            wrong.append(f"{name} gradients of {missing}")
        both = sorted(set(a) & set(b))
        whole = [np.concatenate([side[k].ravel() for k in both]) for side in (a, b)]
        each = [relative(a[k], b[k]) for k in both]
        print(f"  gradient of {len(both)} weights: relative difference {relative(*whole):.1e} of the whole, ", end="")
        print(f"{statistics.median(each):.1e} median, {max(each):.1e} largest of a weight")
        wrong += [f"{name} gradient"] * (relative(*whole) > 1e-4)
    return wrong


def checkpoint(peer: Peer, ours: Worker, released: Worker, folder: str, size: int) -> list[str]:
    """Compare what both predict with random weights that the released side saved."""
    import torch

    released("save", f"{folder}/released.pth")
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))
    pairs = zip(ours("predict_with", f"{folder}/released.pth", images), released("predict", images), strict=True)
    wrong = []
    for name, (mine, theirs) in zip(peer.maps, pairs, strict=True):
        apart = float(np.abs(mine - theirs).max())
        print(f"  {name} from a released checkpoint: largest difference {apart:.1e}")
        wrong += [f"{name} from a checkpoint"] * (apart > 1e-5 * max(1.0, float(np.abs(theirs).max())))
    return wrong


def speed(peer: Peer, ours: Worker, released: Worker, repeats: int) -> None:
    """Print time, CPU time and peak memory of a step in the last phase, in turn."""
    t, precisions = peer.phases[-1][1], computed(["off", "bf16"], ours("facts"))
    weighed = {name: side("weighed", "step", t=t)[0] for name, side in (("released", released), ("ours", ours))}
    times: dict[str, list[tuple[float, float]]] = {"released": [], **{name: [] for name in precisions}}
    for _ in range(repeats):
        times["released"].append(released("timed_cpu", "step", t=t)[0])
        for name in precisions:
            times[name].append(ours("timed_cpu", "step", t=t, precision=name)[0])
        print("  seconds, CPU seconds:", {name: values[-1] for name, values in times.items()}, flush=True)
    print("| work | released | ours | ours / released | at most |\n|---|---|---|---|---|")
    for name in precisions:
        label = {"off": "fp32"}.get(name, name)
        for kind, what in enumerate(("", ", CPU seconds")):
            values = {k: [pair[kind] for pair in times[k]] for k in ("released", name)}
            middle = {k: statistics.median(v) for k, v in values.items()}
            cells = [f"{middle[k]:.2f} s ({min(v):.2f}–{max(v):.2f})" for k, v in values.items()]
            target = f"{peer.time}x" if name == "off" else ""
            row = f"{cells[0]} | {cells[1]} | {middle[name] / middle['released']:.2f}x | {target}"
            print(f"| training step, last phase, {label}{what} | {row} |")
    top = {name: values[0] / GIB for name, values in weighed.items()}
    before = ", ".join(f"{name} {values[1] / GIB:.2f}" for name, values in weighed.items())
    row = f"{top['released']:.2f} GiB | {top['ours']:.2f} GiB | {top['ours'] / top['released']:.2f}x"
    print(f"| peak memory (before the step: {before} GiB) | {row} | {peer.memory}x |")


def run(peer: Peer, arguments: list[str] | None = None) -> None:
    """Run the command of a peer method."""
    parser = argparse.ArgumentParser(description=peer.doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", metavar="PATH", required=True, help="a checkout of the released repository")
    parser.add_argument("--lattice", metavar="PATH", help="a checkout of the repository of its extension")
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=["micro"], help="default: micro")
    parser.add_argument("--rows", nargs="+", choices=("check", "speed"), default=["check", "speed"])
    parser.add_argument("--repeats", type=int, help="measured repetitions; default: 5, ViT-B 3")
    parser.add_argument("--images", metavar="DIR", help="photos in VOC layout; default: toy scenes")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(arguments)
    if not (Path(options.reference) / peer.script).is_file():
        what = f"no {peer.script} there; give a checkout of the released repository"
        parser.error(f"--reference {options.reference}: {what}")
    wrong: list[str] = []
    for name in options.case:
        known = CASES[name]
        backbone = peer.backbones.get(name, known.backbone)
        case = dataclasses.replace(known, students=peer.students, backbone=backbone)
        shared = dict(case=case, device=options.device, threads=options.threads, **peer.both(case))
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            ours = stack.enter_context(Worker(peer.ours, **shared, images=options.images))
            reference = dict(root=options.reference, lattice=options.lattice, **shared)
            released = stack.enter_context(Worker(peer.released, **reference))
            facts, m = ours("facts"), machine()
            print(f"{case.title}: {m['cpu']}, {m['cores']} cores, {facts}, load before the run {m['load_before']}")
            layout = released("layout")
            ours("export", folder, layout)
            released("load", folder)
            if "check" in options.rows:
                wrong += check(peer, ours, released, layout)
            if "speed" in options.rows:
                speed(peer, ours, released, options.repeats or case.repeats)
            if "check" in options.rows:
                wrong += checkpoint(peer, ours, released, folder, case.size)
    if wrong:
        raise SystemExit(f"not the same: {', '.join(wrong)}")
    print("the same" if "check" in options.rows else "not compared")
