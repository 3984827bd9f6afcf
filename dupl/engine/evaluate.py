"""Evaluation by the protocol of training time (the paper's Tables 1 and 4): squashed image, one scale, no CRF."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from dupl.data.base import ImageSet
from dupl.data.views import EvalView
from dupl.engine import build
from dupl.engine.metrics import ClassTable, Tally, summarise, tag_scores
from dupl.errors import UserError
from dupl.lab.run import Run
from dupl.method.cam import Maps, Present, label_by_threshold
from dupl.method.dupl import DuPL

Progress = Callable[[int, int], None]
PROTOCOL = "single scale, squashed"


@dataclass(frozen=True)
class Guesses:
    """What the students say of whole images.

    Attributes:
        images: Positions of N images in the data set, ascending.
        tags: The truth, (N, K) of 0/1.
        scores: Of every student, before the sigmoid, (students, N, K).
    """

    images: NDArray[np.int64]
    tags: NDArray[np.float32]
    scores: NDArray[np.float32]

    @classmethod
    def merge(cls, parts: list[Guesses]) -> Guesses:
        """All parts, in the order of the data set."""
        images = np.concatenate([p.images for p in parts])
        order = np.argsort(images, kind="stable")
        tags, scores = np.concatenate([p.tags for p in parts]), np.concatenate([p.scores for p in parts], 1)
        return cls(images[order], tags[order], scores[:, order])


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes:
        metrics: In percent, by name (``cam/1/mIoU``).
        tallies: Counts by kind and student.
        guesses: Class scores beside the tags.
        classes: Names, background first.
        names: Of the images, in the order of the per-image counts.
        seconds: Wall time.
    """

    metrics: dict[str, float]
    tallies: dict[str, Tally]
    guesses: Guesses
    classes: tuple[str, ...]
    names: list[str]
    seconds: float

    def save(self, run: Run, folder: str, facts: dict[str, Any]) -> None:
        """Write metrics.json, per_class.csv, per_image.csv and confusion.csv below a folder of the run."""
        run.write_json(f"{folder}/metrics.json", {**facts, "seconds": round(self.seconds, 3), "metrics": self.metrics})
        columns = ["map", "class", "IoU", "precision", "recall", "OA", "pixels"]
        run.write_csv(f"{folder}/per_class.csv", columns, self.class_rows())
        images = (
            (name, self.names[i], self.classes[c], tp, fp, fn)
            for name, tally in self.tallies.items()
            for i, c, tp, fp, fn in np.concatenate(tally.per_image).tolist()
        )
        run.write_csv(f"{folder}/per_image.csv", ["map", "image", "class", "TP", "FP", "FN"], images)
        matrices = [
            (n, self.classes[c], *row) for n, t in self.tallies.items() for c, row in enumerate(t.matrix.tolist())
        ]
        run.write_csv(f"{folder}/confusion.csv", ["map", "truth", *self.classes], matrices)

    def class_rows(self) -> list[tuple[Any, ...]]:
        """Rows of per_class.csv, percent unrounded."""
        rows: list[tuple[Any, ...]] = []
        for name, tally in self.tallies.items():
            table = ClassTable.of(tally.matrix)
            values = zip(table.iou, table.precision, table.recall, table.oa_rate, table.pixels, strict=True)
            rows += [(name, self.classes[c], *map(float, v[:4]), int(v[4])) for c, v in enumerate(values)]
        return rows


def evaluate(
    model: DuPL,
    source: ImageSet,
    settings: dict[str, Any],
    *,
    workers: int = 0,
    progress: Progress | None = None,
    part: tuple[int, int] = (0, 1),
) -> Evaluation:
    """Segmentation, CAMs (by the image's tags) and classification of every student on a data set with masks.

    Source: released code: the image squashed to a square, single-scale logits, multi-scale CAM, threshold, no
    refinement, both resized to the mask.

    Args:
        model: In any mode; it is left in the mode it was in.
        source: The data set.
        settings: Of the recipe's ``evaluation``: size, cam_threshold, batch_size, subset.
        workers: Of the loader.
        progress: Called with images done and in all.
        part: This process and the number of processes that share the work; the caller merges.

    Raises:
        UserError: The data set has no masks, or a mask holds a label out of range.
    """
    if not source.has_masks:
        raise UserError("evaluation needs masks, and the data set has none: training and inference work without")
    started = time.monotonic()
    mine = list(range(part[0], len(source), part[1]))
    loader = DataLoader(
        Subset(EvalView(source, settings["size"]), mine),
        batch_size=settings["batch_size"],
        num_workers=workers,
        worker_init_fn=build.worker_apart,
        collate_fn=collate,
    )
    tallies: dict[str, Tally] = {}
    tags = [torch.zeros(0, source.K)]
    scores = [torch.zeros(len(model.students), 0, source.K)]
    device, training = next(model.parameters()).device, model.training
    model.eval()
    with build.plain_errors():
        for batch in loader:
            answer = model.predict(batch["image"].to(device), Present.of(batch["tags"]).to(device))
            scores.append(torch.stack([s.cpu() for s, _, _ in answer]))
            tags.append(batch["tags"])
            for row, mask in enumerate(batch["mask"]):
                if mask is not None:
                    _count(tallies, batch, row, mask, answer, settings["cam_threshold"], len(source.classes))
            if progress is not None:
                progress(sum(map(len, tags)), len(mine))
    model.train(training)
    found = Guesses(np.array(mine, np.int64), torch.cat(tags).numpy(), torch.cat(scores, 1).numpy())
    metrics = _metrics(tallies, found, source.classes, settings)
    return Evaluation(metrics, tallies, found, source.classes, source.names, time.monotonic() - started)


def _metrics(
    tallies: dict[str, Tally], guesses: Guesses, classes: tuple[str, ...], settings: dict[str, Any]
) -> dict[str, float]:
    metrics = summarise(tallies, _subset(settings.get("subset"), classes))
    for s, scores in enumerate(guesses.scores):
        metrics.update({f"cls/{s + 1}/{name}": value for name, value in tag_scores(guesses.tags, scores).items()})
    return metrics


def _count(
    tallies: dict[str, Tally],
    batch: dict[str, Any],
    row: int,
    mask: Tensor,
    answer: list[tuple[Tensor, Tensor, Maps | None]],
    threshold: float,
    classes: int,
) -> None:
    """Add one image to the tallies of every kind and student."""
    one = Present.of(batch["tags"][row : row + 1]).to(answer[0][1].device)
    slots = one.index.shape[1]
    size = mask.shape
    logits = [_to(size, p[row : row + 1]) for _, p, _ in answer]
    maps = [_to(size, m.main[row : row + 1, :slots]) for _, _, m in answer if m is not None]
    labels = {f"seg/{s + 1}": p.argmax(1) for s, p in enumerate(logits)}
    labels |= {f"cam/{s + 1}": label_by_threshold(m, one, threshold) for s, m in enumerate(maps)}
    if len(answer) > 1:
        labels["seg/mean"] = torch.stack([p.softmax(1) for p in logits]).mean(0).argmax(1)
        labels["cam/mean"] = label_by_threshold(torch.stack(maps).mean(0), one, threshold)
    for name in sorted(labels):
        tally = tallies.setdefault(name, Tally(classes))
        try:
            tally.add(batch["index"][row], mask.numpy(), labels[name][0].cpu().numpy())
        except ValueError as error:
            raise UserError(f"mask of image {batch['name'][row]}: {error}; try dupl data check") from error


def _to(size: tuple[int, ...], maps: Tensor) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def metric_names(settings: dict[str, Any], classes: tuple[str, ...], students: int) -> set[str]:
    """What an evaluation will measure, by name.

    Raises:
        UserError: A class of the subset is none.
    """
    subset = _subset(settings.get("subset"), classes)
    each = [str(s + 1) for s in range(students)]
    all_maps = each + ["mean"] * (students > 1)
    names = {f"cls/{who}/{metric}" for who in each for metric in ("mAP", "F1")}
    for kind in ("cam", "seg"):
        names |= {f"{kind}/{who}/OA" for who in all_maps}
        for metric in ["mIoU"] + ([subset[0]] if subset else []):
            names |= {f"{kind}/{who}/{metric}" for who in [*all_maps, "best"]}
    return names


def _subset(setting: dict[str, Any] | None, classes: tuple[str, ...]) -> tuple[str, list[int]] | None:
    """The recipe's ``evaluation.subset``: a name and class names, as ids."""
    if not setting or not setting["classes"]:
        return None
    unknown = [c for c in setting["classes"] if c not in classes]
    if unknown:
        raise UserError(f"evaluation.subset: no class {unknown[0]!r} in the data set: {', '.join(classes)}")
    return setting["name"], [classes.index(c) for c in setting["classes"]]


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of evaluation samples; masks stay a list, for each has its own size."""
    return {
        "image": torch.stack([s["image"] for s in samples]),
        "tags": torch.stack([s["tags"] for s in samples]),
        **{key: [s[key] for s in samples] for key in ("mask", "name", "index")},
    }


def merge(parts: list[Evaluation], settings: dict[str, Any]) -> Evaluation:
    """One evaluation from the parts of several processes, as if one had made it."""
    first = parts[0]
    for other in parts[1:]:
        for name, tally in other.tallies.items():
            first.tallies.setdefault(name, Tally(len(first.classes))).merge(tally)
    for tally in first.tallies.values():
        tally.per_image.sort(key=lambda rows: int(rows[0, 0]) if len(rows) else -1)
    guesses = Guesses.merge([p.guesses for p in parts])
    metrics = _metrics(first.tallies, guesses, first.classes, settings)
    return Evaluation(metrics, first.tallies, guesses, first.classes, first.names, max(p.seconds for p in parts))
