"""Protocols of evaluation: from images to label maps. The name of each stands in all that comes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from dupl.data.base import ImageSet
from dupl.data.views import EvalView, PhotoView, normalize
from dupl.engine import build, crf
from dupl.engine.kept import KeptLabels
from dupl.engine.metrics import ThresholdTally
from dupl.errors import UserError
from dupl.method.cam import Maps, Present, label_by_threshold
from dupl.method.dupl import DuPL
from dupl.method.network import SubNet

Labels = NDArray[np.uint8]
FINAL: dict[str, Any] = dict(scales=(1.0, 1.5, 1.25), over_scales="max", size=None)  # released code, VOC


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
    """

    name: str
    parts: dict[str, Part]

    @abstractmethod
    def stream(self, model: DuPL, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[Labelled]:
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
    """

    word = "train"
    kinds: tuple[str, ...] = ("seg", "cam")

    def __init__(self, settings: Mapping[str, Any], who: Who, threshold: float | None = None) -> None:
        self.size, self.batch, self.who = settings["size"], settings["batch_size"], who
        self.threshold = settings["cam_threshold"] if threshold is None else threshold
        if not 0 <= self.threshold <= 1:
            raise UserError(f"a threshold on CAMs lies in [0, 1], not at {self.threshold:g}")
        self.name = f"{self.word}-{self.size}-t{self.threshold:g}{who.suffix}"
        facts = {"size": self.size, "cam_threshold": self.threshold}
        self.parts = {self.name: Part(f"{self.how()} squashed to {self.size} px, no CRF", facts)}

    def how(self) -> str:
        """What is done to the image."""
        return f"single scale (CAM: multi-scale, above {self.threshold:g}),"

    def stream(self, model: DuPL, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[Labelled]:
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
                    found.mask = mask.numpy()
                    found.labels[self.name] = self.label(found.mask, batch["tags"][row : row + 1], answer, row)
                yield found

    def label(
        self, mask: Labels, tags: Tensor, answer: list[tuple[Tensor, Tensor, Maps | None]], row: int
    ) -> dict[str, NDArray[Any]]:
        """Label maps of one image of a batch at the size of its mask."""
        labels: dict[str, Tensor] = {}
        if "seg" in self.kinds:
            logits = [_to(mask.shape, p[row : row + 1]) for _, p, _ in answer]
            labels |= {f"seg/{s + 1}": logits[s].argmax(1) for s in self.who.students}
            if self.who.mean:
                labels["seg/mean"] = torch.stack([p.softmax(1) for p in logits]).mean(0).argmax(1)
        present = Present.of(tags).to(answer[0][1].device)
        for name, heat in self.heat(mask.shape, answer, row, present.index.shape[1]).items():
            labels[name] = label_by_threshold(heat, present, self.threshold)
        return {name: labels[name][0].cpu().numpy() for name in sorted(labels)}

    def heat(
        self, size: Sequence[int], answer: list[tuple[Tensor, Tensor, Maps | None]], row: int, slots: int
    ) -> dict[str, Tensor]:
        """CAMs of one image of a batch, each (1, slots, H, W)."""
        every = [_to(size, m.main[row : row + 1, :slots]) for _, _, m in answer if m is not None]
        heat = {f"cam/{s + 1}": every[s] for s in self.who.students}
        return heat | {"cam/mean": torch.stack(every).mean(0)} if self.who.mean else heat


class Cam(Squashed):
    """CAMs alone, as ``Squashed`` has them, at any threshold; and counts for the curve over thresholds.

    Args:
        settings: As there.
        who: As there.
        threshold: As there.
    """

    word = "cam"
    kinds = ("cam",)

    def __init__(self, settings: Mapping[str, Any], who: Who, threshold: float | None = None) -> None:
        super().__init__(settings, who, threshold)
        self.curves: dict[str, ThresholdTally] = {}

    def how(self) -> str:
        """What is done to the image."""
        return f"multi-scale CAM of the image's tags above {self.threshold:g},"

    def label(
        self, mask: Labels, tags: Tensor, answer: list[tuple[Tensor, Tensor, Maps | None]], row: int
    ) -> dict[str, NDArray[Any]]:
        """As there; the curve counts along."""
        present = Present.of(tags).to(answer[0][1].device)
        for name, heat in self.heat(mask.shape, answer, row, present.index.shape[1]).items():
            value, slot = heat.max(1)
            curve = self.curves.setdefault(name, ThresholdTally(tags.shape[1] + 1))
            curve.add(mask, present.label(slot)[0].cpu().numpy(), value[0].cpu().numpy())
        return super().label(mask, tags, answer, row)


class Final(Protocol):
    """Of the paper's Tables 2, 5 and 6: original size, several scales, each with its flip, and a dense CRF.

    Released code: sum over flip, max over scales, softmax, CRF. Our rule for sides that are no multiple of the patch:
    each scaled side is resized to the nearest one, and logits are brought back to the image's size.

    Args:
        settings: Of the recipe's ``evaluation.final``: scales, over_scales ("max" or "sum"), size (None: original).
        who: Whose maps.
        refine: The CRF; None leaves it out. With it, the maps before it are an evaluation beside.
        backend: Of the CRF.
        present_only: The CRF chooses among background and the image's tags only.
        kept: Where label maps are kept, by name of protocol or part; a map that is there is not made again.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        who: Who,
        refine: crf.CRF | None = None,
        backend: str = "torch",
        present_only: bool = False,
        kept: Mapping[str, KeptLabels] | None = None,
    ) -> None:
        if unknown := sorted(set(settings) - set(FINAL)):
            raise UserError(f"evaluation.final has no setting {unknown[0]!r}: it has {', '.join(FINAL)}")
        chosen = {**FINAL, **settings}
        self.scales, self.over, self.size = tuple(chosen["scales"]), chosen["over_scales"], chosen["size"]
        if self.over not in ("max", "sum") or not self.scales:
            raise UserError('evaluation.final needs scales, and over_scales "max" or "sum"')
        self.who, self.refine, self.backend, self.present_only = who, refine, backend, present_only
        self.kept = dict(kept or {})
        scales = [f"{s:g}" for s in self.scales]
        size = [] if self.size is None else [str(self.size)]
        self.plain = "-".join(["final", *size, *scales, *["sum"] * (self.over == "sum")]) + who.suffix
        where = "original size" if self.size is None else f"squashed to {self.size} px"
        how = f"{where}, scales {', '.join(scales)} with flip, {self.over} over scales"
        self.name, self.parts = self.plain, {self.plain: Part(f"{how}, no CRF", {"final": chosen})}
        if refine is not None:
            self.name += f"-crf-{backend}" + "-present" * present_only + refine.suffix()
            among = " among the image's tags only" * present_only
            facts = {"final": chosen, "crf": asdict(refine), "backend": backend, "present_only": present_only}
            self.parts[self.name] = Part(f"{how}, dense CRF{among} ({backend})", facts)

    def stream(self, model: DuPL, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[Labelled]:
        """As the base says; label maps that are kept come first."""
        todo = []
        for i in indices:
            labels = self.recall(source.names[i])
            if labels is None:
                todo.append(i)
            else:
                yield Labelled(i, source.mask(i), labels)
        answers = self.answers(model, source, todo, workers)
        if self.refine is None:
            for found, _ in answers:
                yield found
            return
        device = next(model.parameters()).device
        refined = crf.stream(answers, self.refine, self.backend, device="cpu" if device.type == "cpu" else str(device))
        for found, maps in refined:
            self.keep(found, source, self.name, list(maps))
            yield found

    def answers(
        self, model: DuPL, source: ImageSet, indices: Sequence[int], workers: int
    ) -> Iterator[tuple[Labelled, crf.Job]]:
        """Labels before the CRF, and what the CRF needs."""
        loader = DataLoader(
            Subset(PhotoView(source, tags=self.present_only), indices),
            batch_size=None,
            num_workers=workers,
            worker_init_fn=build.worker_apart,
            collate_fn=_as_it_is,
        )
        for sample in loader:
            maps = self.probabilities(model, sample["image"])
            found = Labelled(sample["index"], sample["mask"])
            self.keep(found, source, self.plain, [m.argmax(0).to(torch.uint8).cpu().numpy() for m in maps])
            classes = (0, *(np.flatnonzero(sample["tags"]) + 1).tolist()) if self.present_only else None
            yield found, crf.Job(sample["image"], torch.stack(maps).cpu().numpy(), classes)

    @torch.inference_mode()
    def probabilities(self, model: DuPL, image: NDArray[np.uint8]) -> list[Tensor]:
        """Class probabilities (C, H, W) by everyone asked for, of an image uint8 (H, W, 3)."""
        x = normalize(image)[None].to(next(model.parameters()).device)
        size = image.shape[:2]
        base = size if self.size is None else (self.size, self.size)
        single = {}
        with model.precision("cam"):
            for s in range(len(model.students)) if self.who.mean else self.who.students:
                logits = multi_scale_logits(model.students[s], x, base, size, self.scales, self.over)
                single[s] = logits[0].softmax(0)
        maps = [single[s] for s in self.who.students]
        return [*maps, torch.stack(list(single.values())).mean(0)] if self.who.mean else maps

    def keep(self, found: Labelled, source: ImageSet, part: str, maps: Sequence[Labels]) -> None:
        """Note labels of a part, and write them where they are kept."""
        found.labels[part] = dict(zip(self.who.maps("seg"), maps, strict=True))
        if part in self.kept:
            self.kept[part].write(source.names[found.index], found.labels[part])

    def recall(self, name: str) -> dict[str, dict[str, NDArray[Any]]] | None:
        """The label maps of an image that are kept; None where one is missing, or none are to be kept."""
        labels = {part: store.read(name, self.who.maps("seg")) for part, store in self.kept.items()}
        there = {part: maps for part, maps in labels.items() if maps is not None}
        return there if labels and len(there) == len(labels) else None


def multi_scale_logits(
    net: SubNet, image: Tensor, base: Sequence[int], size: Sequence[int], scales: Sequence[float], over: str = "max"
) -> Tensor:
    """Segmentation logits over scales, each with its flip: sum over flip, max or sum over scales.

    Args:
        net: The student.
        image: (B, 3, H, W), normalised.
        base: Height and width at scale 1; each scaled side is rounded to whole patches.
        size: Height and width of the result.
        scales: Of the base.
        over: "max" or "sum".

    Returns:
        Float32 (B, C, *size).
    """
    found = []
    for scale in scales:
        scaled = _to([net.backbone.fit(int(scale * side)) for side in base], image)
        straight, mirrored = net.segment(torch.cat([scaled, scaled.flip(-1)])).float().chunk(2)
        found.append(_to(size, straight + mirrored.flip(-1)))  # enlarging is linear: one for both
    return torch.stack(found).amax(0) if over == "max" else torch.stack(found).sum(0)


def _to(size: Sequence[int], maps: Tensor) -> Tensor:
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


def _as_it_is(sample: Any) -> Any:
    return sample
