"""Time the fit of the noise filter's mixtures: on the losses themselves, and on histograms.

python benchmarks/mixture.py --threads 1
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from torch import Tensor
from workers import machine

from dupl.method.mixture import fit_mixture

BINS = (8192, 65536, None)


def losses_of(images: int, pixels: int) -> Tensor:
    """Draw losses of two kinds, (images, pixels): a fifth lies around 4."""
    rng, shape = np.random.default_rng(0), (images, pixels)
    losses = np.where(rng.random(shape) < 0.2, rng.normal(4, 1, shape), rng.gamma(1.5, 0.4, shape))
    return torch.from_numpy(np.abs(losses).astype(np.float32))


def seconds(losses: Tensor, chosen: Tensor, bins: int | None, repeats: int) -> float:
    """Return the median time of a fit."""
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        fit_mixture(losses, chosen, min_pixels=100, bins=bins, max_iter=10, tol=1e-2, reg_covar=5e-4)
        if losses.is_cuda:
            torch.cuda.synchronize()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2, help="of a batch; default: 2")
    parser.add_argument("--sides", type=int, nargs="+", default=[160, 224, 448], help="of the crop, pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"{machine()['cpu']}, {torch.get_num_threads()} threads; load before: {machine()['load_before']}\n")
    names = " | ".join("no histogram" if bins is None else f"{bins:,} bins" for bins in BINS)
    print(f"| crop | share of the pixels | {names} |\n|---|---|" + "---|" * len(BINS))
    for side in options.sides:
        losses = losses_of(options.images, side * side).to(options.device)
        for share in (0.1, 0.3, 1.0):
            chosen = torch.rand(losses.shape, generator=torch.Generator().manual_seed(0)).to(losses.device) < share
            cells = [f"{1000 * seconds(losses, chosen, bins, options.repeats):.0f} ms" for bins in BINS]
            print(f"| {side} | {share:.0%} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
