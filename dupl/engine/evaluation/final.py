"""The final protocol: multi-scale logits at the image's own size, and a dense CRF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from dupl.config import check, schema
from dupl.config.schema import CRF
from dupl.data.base import ImageSet
from dupl.data.samples import PhotoSample
from dupl.data.views import PhotoView, normalize
from dupl.engine import build
from dupl.engine.evaluation.cache import KeptLabels, KeptLogits
from dupl.engine.evaluation.crf import dense_crf, pool
from dupl.engine.evaluation.crf.parameters import suffix
from dupl.engine.evaluation.protocols import Labelled, Labels, Part, Protocol, Who, resize
from dupl.engine.memory import keep_memory, require
from dupl.errors import RunError, UserError
from dupl.method.base import Method
from dupl.method.network import SubNet


class Final(Protocol):
    """Of the paper's Tables 2, 5 and 6: original size, several scales, each with its flip, and a dense CRF.

    Released code: sum over flip, max over scales, softmax, CRF. Our rule for sides that are no multiple of the patch:
    each scaled side is resized to the nearest one, and logits are brought back to the image's size.

    On the CPU one process per core works, each on a photo of its own from the network to the CRF; what a photo's maps
    are does not depend on it. On a GPU the network works in this process, and so does the torch CRF.

    Args:
        settings: Of the recipe's ``evaluation.final``: scales, over_scales ("max" or "sum"), size (None: original).
        who: Whose maps.
        refine: The CRF; None leaves it out. With it, the maps before it are an evaluation beside.
        backend: Of the CRF.
        present_only: The CRF chooses among background and the image's tags only.
        kept: Where label maps are kept, by name of protocol or part; a map that is there is not made again.

    Attributes:
        sizes: Of the name, what the logits depend on.
        logits: Kept logits, which are used instead of the network where they are there.
        keep_logits: Whether to keep those that the network makes.
        recalled: Images whose label maps were there, and were not made again.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        who: Who,
        refine: CRF | None = None,
        backend: str = "torch",
        present_only: bool = False,
        kept: Mapping[str, KeptLabels] | None = None,
    ) -> None:
        stated = check.settings(schema.Final, settings, "evaluation.final")
        self.scales, self.over, self.size = tuple(stated.scales), stated.over_scales, stated.size
        if not self.scales:
            raise UserError("evaluation.final.scales is empty: give at least one scale")
        chosen = {"scales": self.scales, "over_scales": self.over, "size": self.size}
        self.smaller = f"OMP_NUM_THREADS=1 on a CPU, smaller evaluation.final.scales (now {self.scales}) on a GPU"
        self.who, self.refine, self.backend, self.present_only = who, refine, backend, present_only
        self.kept, self.recalled = dict(kept or {}), 0
        self.logits: KeptLogits | None = None
        self.keep_logits = False
        scales = [f"{s:g}" for s in self.scales]
        size = [] if self.size is None else [str(self.size)]
        self.sizes = "-".join(["final", *size, *scales])
        self.plain = self.sizes + "-sum" * (self.over == "sum") + who.suffix
        where = "original size" if self.size is None else f"squashed to {self.size} px"
        how = f"{where}, scales {', '.join(scales)} with flip, {self.over} over scales"
        self.name, self.parts = self.plain, {self.plain: Part(f"{how}, no CRF", {"final": chosen})}
        if refine is not None:
            self.name += f"-crf-{backend}" + "-present" * present_only + suffix(refine)
            among = " among the image's tags only" * present_only
            facts = {"final": chosen, "crf": asdict(refine), "backend": backend, "present_only": present_only}
            self.parts[self.name] = Part(
                f"{how}, dense CRF{among} ({backend}{suffix(refine).replace('-', ', ')})", facts
            )

    def stream(self, model: Method, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[Labelled]:
        """As the base says; label maps that are kept come first."""
        todo = []
        for i in indices:
            labels = self.recall(source.names[i])
            if labels is None:
                todo.append(i)
            else:
                self.recalled += 1
                yield Labelled(i, source.mask(i), labels)
        device = next(model.parameters()).device
        if device.type == "cpu":
            yield from self.side_by_side(model, source, todo)
            return
        photos = _loader(PhotoView(source, tags=self.present_only), todo, workers)
        answers = (self.answer(model, source, sample) for sample in photos)
        if self.refine is None:
            yield from (found for found, _ in answers)
            return
        for found, maps in pool.refine_stream(answers, self.refine, self.backend, device=str(device)):
            self.keep(found, source, self.name, list(maps))
            yield found

    def side_by_side(self, model: Method, source: ImageSet, indices: Sequence[int]) -> Iterator[Labelled]:
        """Label photos on the CPU, one per core at a time.

        Raises:
            RunError: A process died.
        """
        processes = min(pool.cores(), len(indices))
        try:
            yield from _loader(Work(self, model, source), indices, processes if processes > 1 else 0)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RunError(
                "a process died, perhaps for lack of memory: repeat the command, it continues where it stopped "
                "(OMP_NUM_THREADS=1 works in one process)"
            ) from error

    def answer(self, model: Method, source: ImageSet, sample: PhotoSample) -> tuple[Labelled, dense_crf.RefineJob]:
        """Labels before the CRF, and what the CRF needs."""
        name = source.names[sample["index"]]
        if next(model.parameters()).device.type == "cpu":  # a GPU tells by itself
            held = 2 * len(self.scales) + 2 + len(model.students)
            advice = "smaller photos, fewer evaluation.final.scales, or OMP_NUM_THREADS=1 (one photo at a time)"
            require(held, len(source.classes), sample["image"].shape[:2], f"photo {name}", advice)
        maps = self.probabilities(model, sample["image"], name)
        found = Labelled(sample["index"], sample["mask"])
        self.keep(found, source, self.plain, [m.max(0).indices.to(torch.uint8).cpu().numpy() for m in maps])
        tags = sample["tags"]
        classes = (0, *(np.flatnonzero(tags) + 1).tolist()) if tags is not None else None
        return found, dense_crf.RefineJob(sample["image"], torch.stack(maps).cpu().numpy(), classes)

    @torch.inference_mode()
    def probabilities(self, model: Method, image: NDArray[np.uint8], name: str | None = None) -> list[Tensor]:
        """Class probabilities (C, H, W) by everyone asked for.

        Args:
            model: As ``stream`` has it.
            image: uint8 (H, W, 3).
            name: Of the image, where its logits may be kept.
        """
        size = image.shape[:2]
        single = {}
        for s in range(len(model.students)) if self.who.mean else self.who.students:
            scales = [resize(size, logits) for logits in self.scaled_logits(model, s, image, name)]
            single[s] = over_scales(scales, self.over)[0].softmax(0)
        maps = [single[s] for s in self.who.students]
        return [*maps, torch.stack(list(single.values())).mean(0)] if self.who.mean else maps

    def scaled_logits(
        self, model: Method, student: int, image: NDArray[np.uint8], name: str | None = None
    ) -> list[Tensor]:
        """A student's logits of every scale, (1, C, h, w): those that are kept, or the network's."""
        device = next(model.parameters()).device
        if self.logits is not None and name is not None and (kept := self.logits.read(name, student)) is not None:
            return [torch.from_numpy(scale)[None].to(device) for scale in kept]
        base = image.shape[:2] if self.size is None else (self.size, self.size)
        with model.autocast("cam"):
            scales = patch_logits(model.students[student], normalize(image)[None].to(device), base, self.scales)
        if self.logits is not None and name is not None and self.keep_logits:
            self.logits.write(name, student, [scale[0].cpu().numpy() for scale in scales])
        return scales

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


class Work(Dataset[Labelled]):
    """Photos of a data set, each labelled from start to end by a protocol."""

    def __init__(self, protocol: Final, model: Method, source: ImageSet) -> None:
        self.protocol, self.model, self.source = protocol, model, source
        self.photos = PhotoView(source, tags=protocol.present_only)

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.photos)

    def __getitem__(self, index: int) -> Labelled:
        """Label a photo."""
        protocol = self.protocol
        found, job = protocol.answer(self.model, self.source, self.photos[index])
        if protocol.refine is not None:
            maps = dense_crf.refine(job, protocol.refine, protocol.backend)
            protocol.keep(found, self.source, protocol.name, list(maps))
        return found


def _loader(items: Dataset[Any], indices: Sequence[int], workers: int) -> DataLoader[Any]:
    """Items one by one, as they are."""
    return DataLoader(
        Subset(items, indices),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_begin,
        collate_fn=_as_it_is,
    )


def _begin(worker: int) -> None:
    """Start-up of a loader's worker."""
    build.worker_apart(worker)
    keep_memory()


def patch_logits(net: SubNet, image: Tensor, base: Sequence[int], scales: Sequence[float]) -> list[Tensor]:
    """Segmentation logits of an image and of its mirror image, added up, one by one for each scale.

    Args:
        net: The student.
        image: (B, 3, H, W), normalised.
        base: Height and width at scale 1; each scaled side is rounded to whole patches.
        scales: Of the base.

    Returns:
        Float32 (B, C, h, w) for each, at the size of its patches: enlarging, which is linear, may follow the sum.
    """
    found = []
    for scale in scales:
        scaled = resize([net.backbone.fit(int(scale * side)) for side in base], image)
        straight, mirrored = net.segment(torch.cat([scaled, scaled.flip(-1)])).float().chunk(2)
        found.append(straight + mirrored.flip(-1))
    return found


def over_scales(logits: Sequence[Tensor], how: str) -> Tensor:
    """The largest logit over scales ("max"), or their sum ("sum")."""
    return torch.stack(list(logits)).amax(0) if how == "max" else torch.stack(list(logits)).sum(0)


def _as_it_is(sample: Any) -> Any:
    return sample
