"""Protocols of evaluation: from images to label maps. The name of each stands in all that comes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from dupl.engine.memory import require
from dupl.errors import UserError
from dupl.method.base import Method, StudentPrediction
from dupl.method.cam import Present, label_by_threshold
from dupl.runs.tallies import ThresholdTally

Labels = NDArray[np.uint8]


@dataclass
class Labelled:
    """What a protocol says of one image.

    Attributes:
        index: Its position in the data set.
        mask: The truth, uint8 (H, W); None where it has none.
        labels: By name of the protocol, or of a part of it, and of the map ("seg/1"): (H, W).
        tags: The truth, (K,) of 0/1; None where the protocol does not classify.
        scores: Class scores of every student, (students, K); None as above.
    """

    index: int
    mask: Labels | None
    labels: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    tags: Tensor | None = None
    scores: Tensor | None = None


@dataclass(frozen=True)
class Who:
    """Whose maps to evaluate.

    Attributes:
        students: From 0.
        mean: The average of all students too.
        suffix: For names: "" where it is everyone.
    """

    students: tuple[int, ...]
    mean: bool
    suffix: str = ""

    @classmethod
    def of(cls, chosen: Sequence[str], count: int) -> Who:
        """From "1", "2", ..., "best" (all students, of whom the better one counts) and "mean"; nothing is everyone.

        Raises:
            UserError: There is no such student.
        """
        known = [*(str(s + 1) for s in range(count)), "best", *["mean"] * (count > 1)]
        if unknown := [name for name in chosen if name not in known]:
            raise UserError(f"--student {unknown[0]}: this model has {', '.join(known)}")
        everyone = cls(tuple(range(count)), count > 1)
        if not chosen or set(chosen) == set(known):
            return everyone
        mean = "mean" in chosen
        students = everyone.students if "best" in chosen else tuple(int(c) - 1 for c in known[:count] if c in chosen)
        return cls(students, mean, "-student-" + "-".join(name for name in known if name in chosen))

    def maps(self, kind: str) -> list[str]:
        """Names of the maps of a kind: "seg/1", ..., "seg/mean"."""
        return [f"{kind}/{s + 1}" for s in self.students] + [f"{kind}/mean"] * self.mean


@dataclass(frozen=True)
class Part:
    """One evaluation that a protocol makes.

    Attributes:
        title: For people.
        facts: The settings behind it.
    """

    title: str
    facts: dict[str, Any]


class Protocol(ABC):
    """How images become label maps.

    Attributes:
        name: For files: one word that no other protocol, and no other setting of this one, has.
        parts: The evaluations it makes in one pass by their names, its own last.
        smaller: The setting that makes it take less memory, and its value now.
    """

    name: str
    parts: dict[str, Part]
    smaller: str = ""

    @abstractmethod
    def stream(self, model: Method, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[Labelled]:
        """Label images one after the other, in any order, with bounded memory.

        Args:
            model: In evaluation mode.
            source: The data set.
            indices: Which of its images.
            workers: Of the loader.
        """


class Squashed(Protocol):
    """Of training time, and the paper's Tables 1 and 4: the image squashed to a square, logits of one scale, no CRF.

    Released code: single-scale logits; multi-scale CAM of the image's tags above a threshold, without refinement; both
    resized to the mask.

    Args:
        settings: Of the recipe's ``evaluation``: size, cam_threshold, batch_size.
        who: Whose maps.
        threshold: Instead of cam_threshold.
        scales: Of the CAMs, as the model has them; for the title.
    """

    word = "train"
    kinds: tuple[str, ...] = ("seg", "cam")

    def __init__(
        self, settings: Mapping[str, Any], who: Who, threshold: float | None = None, scales: Sequence[float] = ()
    ) -> None:
        self.size, self.batch, self.who = settings["size"], settings["batch_size"], who
        self.threshold = settings["cam_threshold"] if threshold is None else threshold
        most = f"evaluation.batch_size=1 (now {self.batch})"
        self.smaller = most if self.batch > 1 else f"a smaller evaluation.size (now {self.size})"
        if not 0 <= self.threshold <= 1:
            raise UserError(f"a threshold on CAMs lies in [0, 1], not at {self.threshold:g}")
        self.name = f"{self.word}-{self.size}-t{self.threshold:g}{who.suffix}"
        facts = {"size": self.size, "cam_threshold": self.threshold}
        at = f"of scale{'s' * (len(scales) > 1)} {', '.join(f'{s:g}' for s in scales)} " if scales else ""
        cams = f"CAM {at}of the image's tags above {self.threshold:g}"
        logits = "Seg of one scale, " if "seg" in self.kinds else ""
        self.parts = {self.name: Part(f"squashed to {self.size} px, no CRF; {logits}{cams}", facts)}

    def stream(self, model: Method, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[Labelled]:
        """As the base says."""
        loader = DataLoader(
            Subset(EvalView(source, self.size), indices),
            batch_size=self.batch,
            num_workers=workers,
            worker_init_fn=build.worker_apart,
            collate_fn=_collate,
        )
        device = next(model.parameters()).device
        for batch in loader:
            answer = model.predict(batch["image"].to(device), Present.of(batch["tags"]).to(device))
            scores = torch.stack([s.cpu() for s, _, _ in answer], 1)  # (B, students, K)
            for row, (index, mask) in enumerate(zip(batch["index"], batch["mask"], strict=True)):
                found = Labelled(index, None, {}, batch["tags"][row], scores[row])
                if mask is not None:
                    if device.type == "cpu":  # a GPU tells by itself
                        held, what = 3 * len(answer) + 1, f"mask of image {source.names[index]}"
                        require(held, len(source.classes), mask.shape, what, "smaller photos and masks")
                    found.mask = mask.numpy()
                    found.labels[self.name] = self.label(found.mask, batch["tags"][row : row + 1], answer, row)
                yield found

    def label(
        self, mask: Labels, tags: Tensor, answer: Sequence[StudentPrediction], row: int
    ) -> dict[str, NDArray[Any]]:
        """Label maps of one image of a batch at the size of its mask."""
        labels: dict[str, Tensor] = {}
        if "seg" in self.kinds:
            logits = [resize(mask.shape, p[row : row + 1]) for _, p, _ in answer]
            labels |= {f"seg/{s + 1}": logits[s].argmax(1) for s in self.who.students}
            if self.who.mean:
                labels["seg/mean"] = torch.stack([p.softmax(1) for p in logits]).mean(0).argmax(1)
        present = Present.of(tags).to(answer[0][1].device)
        for name, heat in self.heat(mask.shape, answer, row, present.index.shape[1]).items():
            labels[name] = label_by_threshold(heat, present, self.threshold)
        return {name: labels[name][0].cpu().numpy() for name in sorted(labels)}

    def heat(self, size: Sequence[int], answer: Sequence[StudentPrediction], row: int, slots: int) -> dict[str, Tensor]:
        """CAMs of one image of a batch, each (1, slots, H, W)."""
        every = [resize(size, m.main[row : row + 1, :slots]) for _, _, m in answer if m is not None]
        heat = {f"cam/{s + 1}": every[s] for s in self.who.students}
        return heat | {"cam/mean": torch.stack(every).mean(0)} if self.who.mean else heat


class Cam(Squashed):
    """CAMs alone, as ``Squashed`` has them, at any threshold; and counts for the curve over thresholds.

    Args:
        settings: As there.
        who: As there.
        threshold: As there.
        scales: As there.
    """

    word = "cam"
    kinds = ("cam",)

    def __init__(
        self, settings: Mapping[str, Any], who: Who, threshold: float | None = None, scales: Sequence[float] = ()
    ) -> None:
        super().__init__(settings, who, threshold, scales)
        self.curves: dict[str, ThresholdTally] = {}

    def label(
        self, mask: Labels, tags: Tensor, answer: Sequence[StudentPrediction], row: int
    ) -> dict[str, NDArray[Any]]:
        """As there; the curve counts along."""
        present = Present.of(tags).to(answer[0][1].device)
        for name, heat in self.heat(mask.shape, answer, row, present.index.shape[1]).items():
            value, slot = heat.max(1)
            curve = self.curves.setdefault(name, ThresholdTally(tags.shape[1] + 1))
            curve.add(mask, present.label(slot)[0].cpu().numpy(), value[0].cpu().numpy())
        return super().label(mask, tags, answer, row)


def resize(size: Sequence[int], maps: Tensor) -> Tensor:
    """Maps (B, C, h, w) at another height and width, bilinear; as they are where that is theirs."""
    if tuple(size) == tuple(maps.shape[-2:]):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def _collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of evaluation samples; masks stay a list, for each has its own size."""
    return {
        "image": torch.stack([s["image"] for s in samples]),
        "tags": torch.stack([s["tags"] for s in samples]),
        **{key: [s[key] for s in samples] for key in ("mask", "name", "index")},
    }
