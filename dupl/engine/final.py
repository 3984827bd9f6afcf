"""The final protocol: multi-scale logits at the image's own size, and a dense CRF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from dupl.data.base import ImageSet
from dupl.data.views import PhotoView, normalize
from dupl.engine import build, crf
from dupl.engine.kept import KeptLabels
from dupl.engine.protocols import Labelled, Labels, Part, Protocol, Who, resize
from dupl.errors import UserError
from dupl.method.dupl import DuPL
from dupl.method.network import SubNet

FINAL: dict[str, Any] = dict(scales=(1.0, 1.5, 1.25), over_scales="max", size=None)  # released code, VOC


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
        scaled = resize([net.backbone.fit(int(scale * side)) for side in base], image)
        straight, mirrored = net.segment(torch.cat([scaled, scaled.flip(-1)])).float().chunk(2)
        found.append(resize(size, straight + mirrored.flip(-1)))  # enlarging is linear: one for both
    return torch.stack(found).amax(0) if over == "max" else torch.stack(found).sum(0)


def _as_it_is(sample: Any) -> Any:
    return sample
