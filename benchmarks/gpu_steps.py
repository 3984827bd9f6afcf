"""Take steps on a GPU that answer one question each; the output is Markdown.

python benchmarks/gpu_steps.py exactness --case vitb --batch 4 --device cuda
python benchmarks/gpu_steps.py losses --case vitb --batch 4 --device cuda
python benchmarks/gpu_steps.py loader --case vitb --batch 4 --device cuda
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
from pathlib import Path
from typing import Any

import torch
from ours import Ours
from workers import CASES

from dupl.engine.precision import WORDS, capability, computes_bfloat16
from dupl.engine.preprocess import to_device

Record = dict[str, Any]
SCALE = 2**16  # of the loss in float16, where torch's gradient scaler begins
STRICT = ":4096:8"  # a workspace of cuBLAS with which its sums have one order


def take(ours: Ours, precision: str) -> tuple[dict[str, float], torch.Tensor]:
    """Compute a step's loss with the colours of the photo in the strong view; return its terms and all gradients."""
    model = ours.model
    model.precision, model.perturb.ops = precision, 0
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    batch = to_device({**ours.batch, "clock": ours.clock}, torch.device(ours.device))
    terms = model(mode="loss", **batch)
    scale = SCALE if precision == "fp16" else 1
    (terms["loss"] * scale).backward()
    vector = torch.cat([p.grad.flatten().double() / scale for p in model.parameters() if p.grad is not None])
    return {k: v.item() for k, v in terms.items() if k == "loss" or k.startswith("L_")}, vector


def exactness(ours: Ours, repeats: int) -> tuple[Record, list[str]]:
    """Take the same step twice, as it is and with deterministic algorithms only."""
    record: Record = {}
    lines = ["| algorithms | terms of the loss that differ | gradients apart, relative | step |", "|---|---|---|---|"]
    for name, strict in (("torch's choice", False), ("deterministic", True)):
        torch.use_deterministic_algorithms(strict, warn_only=True)
        (first, one), (second, two) = take(ours, "off"), take(ours, "off")
        differ = [term for term in first if first[term] != second[term]]
        apart = float((one - two).norm() / one.norm())
        seconds = statistics.median(ours.timed("step")[0] for _ in range(repeats))
        record[name] = {"differ": differ, "apart": apart, "seconds": seconds}
        lines.append(f"| {name} | {', '.join(differ) or 'none'} | {apart:.2g} | {seconds:.4f} s |")
    torch.use_deterministic_algorithms(False)
    return record, lines


def losses(ours: Ours, repeats: int) -> tuple[Record, list[str]]:
    """Take the same step in every precision that the device computes, and compare it with float32."""
    device = torch.device(ours.device)
    chosen = ["off", *(name for name in ("cam", "bf16", "fp16") if name == "fp16" or computes_bfloat16(device))]
    exact, vector = take(ours, "off")
    record: Record = {}
    lines = [f"The device {capability(device)}.", "", f"| precision | {' | '.join(exact)} | gradients apart |"]
    lines.append("|---" * (len(exact) + 2) + "|")
    for name in chosen:
        terms, other = take(ours, name)
        apart = float((other - vector).norm() / vector.norm())
        record[name] = {"terms": terms, "apart": apart}
        lines.append(f"| {WORDS[name]} | {' | '.join(f'{terms[t]:.6g}' for t in exact)} | {apart:.2g} |")
    return record, lines


def loader(ours: Ours, repeats: int) -> tuple[Record, list[str]]:
    """Count the images per second of the training loader, for numbers of its workers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = [n for n in (0, 1, 2, 4, 8, 16) if n <= cores and (repeats > 1 or n < 2)]
    record = {str(n): ours.load(n, 5.0 if repeats > 1 else 0.5) for n in counts}
    step = statistics.median(ours.timed("step")[0] for _ in range(repeats))
    lines = [
        f"A step of {ours.case.batch} images takes {step:.4f} s in float32: {ours.case.batch / step:.0f} images/s."
    ]
    lines += ["", "| workers | images/s |", "|---|---|", *(f"| {n} | {rate:.0f} |" for n, rate in record.items())]
    return {"images_per_second": record, "step": step}, lines


QUESTIONS = {"exactness": exactness, "losses": losses, "loader": loader}


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=list(QUESTIONS))
    parser.add_argument("--case", choices=list(CASES), default="vitb", help="default: vitb")
    parser.add_argument("--batch", type=int, help="another batch")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--images", metavar="DIR", help="photos in VOC layout; default: toy scenes")
    parser.add_argument("--repeats", type=int, default=5, help="of what is timed; default: 5")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args(arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", STRICT)
    case = CASES[options.case]
    case = dataclasses.replace(case, batch=options.batch or case.batch)
    ours = Ours(case, options.device, options.threads, options.images)
    ours.step()  # makes the optimiser's state
    record, lines = QUESTIONS[options.question](ours, options.repeats)
    print("\n".join([f"{case.title}.", "", *lines]))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
