"""The dense CRF in torch against pydensecrf: agreement and time per image, on one core each, alternating.

    python benchmarks/crf.py --root VOC --split val --count 24
    python benchmarks/crf.py --root VOC --split val --count 24 --size 375 500 --classes 21 81
    python benchmarks/crf.py --root VOC --split val --count 24 --run runs/RUN

Probabilities come from the masks, blurred by 8 pixels under smooth noise, or with --run from its final protocol. A
process's own time (CPU seconds) stands beside the wall's, which other work on the machine lengthens.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from dupl.config.schema import CRF
from dupl.data.voc import VOC
from dupl.engine.evaluation.crf.dense_crf import RefineJob, refine
from dupl.engine.memory import keep_memory
from dupl.structures import IGNORE

Jobs = Iterator[tuple[str, RefineJob]]


def from_masks(source: VOC, indices: list[int], classes: int, size: list[int] | None) -> Jobs:
    """Photos with probabilities made of their masks."""
    for i in indices:
        photo, mask = Image.fromarray(source.image(i)), Image.fromarray(source.mask(i))
        if size:
            box = (size[1], size[0]) if photo.width >= photo.height else (size[0], size[1])
            photo, mask = photo.resize(box, Image.Resampling.BICUBIC), mask.resize(box, Image.Resampling.NEAREST)
        labels = np.array(mask)
        labels[labels == IGNORE] = 0
        rng = np.random.default_rng(i)
        logits = np.empty((classes, *labels.shape), np.float32)
        for c in range(classes):
            coarse = Image.fromarray(rng.normal(0, 1.2, (labels.shape[0] // 16, labels.shape[1] // 16)))
            logits[c] = np.asarray(coarse.resize(photo.size, Image.Resampling.BILINEAR))
            logits[c] += 6 * gaussian_filter((labels == c).astype(np.float32), 8)
        yield source.names[i], RefineJob(np.asarray(photo), torch.from_numpy(logits).softmax(0).numpy()[None])


def from_run(run: str, source: VOC, indices: list[int]) -> Jobs:
    """Photos with the probabilities of a run's first student, by the final protocol."""
    from dupl.engine.evaluation.final import FinalProtocol
    from dupl.engine.evaluation.selection import MapSelection
    from dupl.engine.restore import restore

    restored = restore(run, None, [])
    model = restored.model(source.classes)
    protocol = FinalProtocol(
        restored.config.evaluation.to_dict().get("final", {}), MapSelection.of(["1"], len(model.students))
    )
    for i in indices:
        maps = protocol.probabilities(model, source.image(i))
        yield source.names[i], RefineJob(source.image(i), torch.stack(maps).numpy())


def measure(jobs: Jobs, repeats: int) -> list[tuple[float, ...]]:
    """Agreement, share of pixels that the CRF moved, and seconds of both: CPU, CPU, wall, wall."""
    rows = []
    for number, (name, job) in enumerate(jobs):
        times: dict[str, list[tuple[float, float]]] = {"pydensecrf": [], "torch": []}
        labels = {}
        for repeat in range(repeats):
            order = ("pydensecrf", "torch") if (number + repeat) % 2 else ("torch", "pydensecrf")
            for backend in order:
                wall, own = time.perf_counter(), time.process_time()
                labels[backend] = refine(job, CRF(), backend)
                times[backend].append((time.process_time() - own, time.perf_counter() - wall))
        agree = float((labels["torch"] == labels["pydensecrf"]).mean())
        moved = float((labels["pydensecrf"] != job.probabilities.argmax(1)).mean())
        own = [min(t for t, _ in times[b]) for b in ("pydensecrf", "torch")]
        wall = [min(t for _, t in times[b]) for b in ("pydensecrf", "torch")]
        rows.append((agree, moved, *own, *wall))
        print(
            f"{name} {job.probabilities.shape[1:]} agree {100 * agree:.3f} %, moved {100 * moved:.1f} %, "
            f"CPU {own[0]:.3f} / {own[1]:.3f} s",
            flush=True,
        )
    return rows


def main() -> None:
    """Print a row per photo and a summary per number of classes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="a VOC folder, with masks")
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=24, help="photos, spread over the list")
    parser.add_argument("--classes", type=int, nargs="+", default=[21])
    parser.add_argument("--size", type=int, nargs=2, help="short and long side to enlarge photos to, such as 375 500")
    parser.add_argument("--run", help="a trained run of VOC's classes")
    parser.add_argument("--repeats", type=int, default=2, help="the least time of so many counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()  # as in a process of the pool
    source = VOC(options.root, options.split)
    indices = np.linspace(0, len(source) - 1, options.count).round().astype(int).tolist()
    for classes in options.classes:
        load = os.getloadavg()[0]
        jobs = (
            from_run(options.run, source, indices)
            if options.run
            else from_masks(source, indices, classes, options.size)
        )
        rows = measure(jobs, options.repeats)
        agree, moved, *seconds = (list(column) for column in zip(*rows, strict=True))
        medians = [statistics.median(column) for column in seconds]
        ratio = statistics.median(t / p for p, t in zip(seconds[0], seconds[1], strict=True))
        print(
            f"{len(rows)} photos, {21 if options.run else classes} classes, load {load:.1f}\n"
            f"  agreement   mean {100 * statistics.mean(agree):.3f} %, least {100 * min(agree):.3f} %"
            f" (the CRF moved {100 * statistics.mean(moved):.1f} %)\n"
            f"  CPU s/image median  pydensecrf {medians[0]:.3f}, torch {medians[1]:.3f}: {ratio:.2f}x"
            f" (most {max(t / p for p, t in zip(seconds[0], seconds[1], strict=True)):.2f}x)\n"
            f"  wall s/image median pydensecrf {medians[2]:.3f}, torch {medians[3]:.3f}"
        )


if __name__ == "__main__":
    main()
