"""Measure how far a training step in another precision is from the same step in float32.

    python benchmarks/precision.py RUN --precision bf16 cam fp16 --batches 8

The weights are those of a trained run, the batches those of its last iterations; nothing is trained. It prints, for
each precision: the pixels whose pseudo-label differs, of those before the noise filter; the pixels that the filter
decides otherwise; the size of the difference of the gradients, of the size of those in float32; and the time of a step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from workers import computed, machine

from dupl.data.views import TrainView
from dupl.engine import build
from dupl.engine.device import open_device, place
from dupl.engine.precision import WORDS, capability, computes_bfloat16
from dupl.engine.preprocess import to_device
from dupl.engine.restore import Restored, restore
from dupl.engine.training.loop import PositionSampler, split
from dupl.structures import Clock


@dataclass
class Step:
    """One step: pseudo-labels and filtered pixels of the students, gradients, seconds."""

    labels: Tensor
    noisy: Tensor
    gradients: Tensor
    seconds: float


def batches(restored: Restored, count: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the losses of the last iterations of a run, as (iteration, images)."""
    config = restored.config
    schedule, seed = config.schedule, config.runtime.seed
    view = TrainView(build.build_dataset(config, "train"), config.data.augment.to_dict(), seed, False)
    sampler = PositionSampler(len(view), schedule.batch_size, seed)
    sampler.start_at(schedule.iterations - count)
    loader = iter(DataLoader(view, batch_size=schedule.batch_size, sampler=sampler))
    losses = schedule.batch_size // schedule.images_per_loss
    return [(schedule.iterations - count + i, split(next(loader), losses)[0]) for i in range(count)]


def step(model: Any, images: dict[str, Any], clock: Clock, precision: str, device: torch.device) -> Step:
    """Take a step without an update."""
    model.precision = precision
    model.zero_grad(set_to_none=True)
    given = to_device({**images, "clock": clock}, device)
    with torch.no_grad():
        found = model.inspect(*(given[name] for name in ("images", "tags", "present", "boxes", "clock")))
    started = time.perf_counter()
    torch.manual_seed(0)
    model(mode="loss", **given)["loss"].backward()
    seconds = time.perf_counter() - started
    gradients = torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])
    labels = torch.stack([one.y for one in found.labels])
    return Step(labels, torch.stack(found.noisy), gradients, seconds)


def row(name: str, exact: list[Step], other: list[Step]) -> str:
    """Return a line of the table: the median over the batches, and the lowest and highest value of gradients."""
    labels = statistics.mean(float((a.labels != b.labels).float().mean()) for a, b in zip(exact, other, strict=True))
    noisy = statistics.mean(float((a.noisy != b.noisy).float().mean()) for a, b in zip(exact, other, strict=True))
    apart = [float((a.gradients - b.gradients).norm() / a.gradients.norm()) for a, b in zip(exact, other, strict=True)]
    seconds = statistics.median(one.seconds for one in other)
    spread = f"{statistics.median(apart):.2g} ({min(apart):.2g}–{max(apart):.2g})"
    return f"| {WORDS[name]} | {100 * labels:.2f} % | {100 * noisy:.2f} % | {spread} | {seconds:.3f} s |"


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a finished run, of which the last weights are taken")
    parser.add_argument("--precision", nargs="+", choices=("cam", "bf16", "fp16"), default=["cam", "bf16"])
    parser.add_argument("--batches", type=int, default=8, help="default: 8")
    parser.add_argument("--set", nargs="+", default=[], help="overrides, such as runtime.device=cuda")
    options = parser.parse_args(arguments)
    restored = restore(options.run, "last", options.set)
    device = open_device(restored.config.runtime)
    facts = {"bf16": computes_bfloat16(device), "capability": capability(device)}
    model = restored.model(restored.classes()).train()
    found = batches(restored, options.batches)
    T = restored.config.schedule.iterations
    kept = computed(options.precision, facts)
    steps = {name: [step(model, images, Clock(t, T), name, device) for t, images in found] for name in ("off", *kept)}
    print(f"{machine()['cpu']}, {place(device, restored.config.runtime.threads)}; torch {torch.__version__}; "
          f"{options.run}, {len(found)} batches.\n")  # fmt: skip
    print("| precision | labels that differ | filtered otherwise | gradients apart, median (least–most) | step |")
    print("|---|---|---|---|---|")
    for name in steps:
        print(row(name, steps["off"], steps[name]))


if __name__ == "__main__":
    main()
