"""The fully supervised ceiling of the demo: one student of demo/toy, its schedule, taught by the true masks.

    python benchmarks/ceiling.py [PATH=VALUE ...]

Prints the segmentation mIoU on the toy validation set. What a run on tags could reach at best with this network, this
many iterations and this batch; it reads masks for training, which no recipe of the method does.
"""

from __future__ import annotations

import sys
import time

import torch
import torch.nn.functional as F

from dupl import recipes
from dupl.data.views import EvalView
from dupl.engine import build
from dupl.engine.evaluate import evaluate
from dupl.engine.loop import PositionSampler
from dupl.engine.optim import build_optimizer, rate_factor
from dupl.lab import overrides
from dupl.method.equations import cross_entropy


def main(sets: list[str]) -> None:
    """Train and print."""
    started = time.monotonic()
    single = ["model.students.type=SingleStudent", "model.discrepancy={'type': 'NoDiscrepancy'}"]
    config = overrides.apply(recipes.load("demo/toy"), overrides.parse([*single, *sets]))
    train, val = (build.build_dataset(config, split) for split in ("train", "val"))
    schedule, size = config.schedule, config.evaluation.size
    model = build.build_model(config, len(train.classes), torch.device("cpu"))
    optimizer = build_optimizer(model, schedule, 1)
    base = [group["lr"] for group in optimizer.param_groups]
    view = EvalView(train, size)
    stream = iter(PositionSampler(len(train), schedule.batch_size, config.runtime.seed))
    for t in range(schedule.iterations):
        samples = [(view[i], (epoch + i) % 2) for epoch, i in (next(stream) for _ in range(schedule.batch_size))]
        images = torch.stack([s["image"].flip(-1) if mirrored else s["image"] for s, mirrored in samples])
        masks = torch.stack([s["mask"].flip(-1) if mirrored else s["mask"] for s, mirrored in samples]).long()
        tags = torch.stack([s["tags"] for s, _ in samples])
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * rate_factor(
                t, schedule.iterations, schedule.warmup, schedule.warmup_ratio, schedule.power
            )
        (student,) = model.students(images)
        logits = F.interpolate(student.logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
        scores = student.scores, student.aux_scores
        loss = cross_entropy(logits, masks) + sum(F.multilabel_soft_margin_loss(s, tags) for s in scores)
        optimizer.update_params(loss)
    metrics = evaluate(model, val, config.evaluation.to_dict()).metrics
    how = f"{schedule.iterations} iterations of batch {schedule.batch_size}, seed {config.runtime.seed}"
    seconds = time.monotonic() - started
    print(f"taught by true masks, {how}: Seg {metrics['seg/1/mIoU']:.1f} mIoU on {len(val)} scenes; {seconds:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
