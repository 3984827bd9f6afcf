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
from dupl.engine.device import one_thread
from dupl.engine.evaluation.cache import LabelCache, LogitCache
from dupl.engine.evaluation.crf import dense_crf, pool
from dupl.engine.evaluation.crf.parameters import suffix
from dupl.engine.evaluation.protocol import LabelledImage, Labels, Protocol, ProtocolPart, resize
from dupl.engine.evaluation.scaled_logits import over_scales, patch_logits
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.memory import keep_memory, require
from dupl.errors import RunError, UserError
from dupl.method.base import Method


class FinalProtocol(Protocol):
    """The protocol of the paper's Tables 2, 5 and 6: original size, several scales with flips, and a dense CRF.

    Released code: sum over flip, max over scales, softmax, CRF. ``Backbone.fit`` decides about scaled sides that are no
    multiple of the patch size; logits are resized to the image.

    On the CPU there is one process per core, and each labels one photo at a time, from the network to the CRF; the
    result does not depend on their number. On a GPU the network and the torch CRF run in this process.

    Args:
        settings: The recipe's ``evaluation.final``: scales, over_scales ("max" or "sum"), size (None: original).
        selection: The students to evaluate.
        refine: The parameters of the CRF; None: no CRF. With it, the maps before the CRF are evaluated too.
        backend: Backend of the CRF.
        present_only: Whether the CRF chooses only among background and the image's tags.
        caches: Caches of label maps, by name of the protocol's parts; a cached map is not made again.

    Attributes:
        sizes: The part of the name that the logits depend on.
        logits: A cache of logits, which are used instead of the network where they exist.
        keep_logits: Whether to write the network's logits to that cache.
        reused: Number of images whose label maps were cached.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        selection: MapSelection,
        refine: CRF | None = None,
        backend: str = "torch",
        present_only: bool = False,
        caches: Mapping[str, LabelCache] | None = None,
    ) -> None:
        stated = check.settings(schema.Final, settings, "evaluation.final")
        self.scales, self.over, self.size = tuple(stated.scales), stated.over_scales, stated.size
        if not self.scales:
            raise UserError("evaluation.final.scales is empty: give at least one scale")
        chosen = {"scales": self.scales, "over_scales": self.over, "size": self.size}
        self.smaller = f"OMP_NUM_THREADS=1 on a CPU, smaller evaluation.final.scales (now {self.scales}) on a GPU"
        self.selection, self.refine, self.backend, self.present_only = selection, refine, backend, present_only
        self.caches, self.reused = dict(caches or {}), 0
        self.logits: LogitCache | None = None
        self.keep_logits = False
        scales = [f"{s:g}" for s in self.scales]
        size = [] if self.size is None else [str(self.size)]
        self.sizes = "-".join(["final", *size, *scales])
        self.plain = self.sizes + "-sum" * (self.over == "sum") + selection.suffix
        where = "original size" if self.size is None else f"squashed to {self.size} px"
        how = f"{where}, scales {', '.join(scales)} with flip, {self.over} over scales"
        self.name, self.parts = self.plain, {self.plain: ProtocolPart(f"{how}, no CRF", {"final": chosen})}
        if refine is not None:
            self.name += f"-crf-{backend}" + "-present" * present_only + suffix(refine)
            among = " among the image's tags only" * present_only
            facts = {"final": chosen, "crf": asdict(refine), "backend": backend, "present_only": present_only}
            self.parts[self.name] = ProtocolPart(
                f"{how}, dense CRF{among} ({backend}{suffix(refine).replace('-', ', ')})", facts
            )

    def stream(self, model: Method, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[LabelledImage]:
        """Label images; those with cached label maps come first."""
        todo = []
        for i in indices:
            labels = self.read_cached(source.names[i])
            if labels is None:
                todo.append(i)
            else:
                self.reused += 1
                yield LabelledImage(i, source.mask(i), labels)
        device = next(model.parameters()).device
        if device.type == "cpu":
            yield from self.stream_on_cpu(model, source, todo)
            return
        photos = _loader(PhotoView(source, tags=self.present_only), todo, workers)
        answers = (self.label(model, source, sample) for sample in photos)
        if self.refine is None:
            yield from (found for found, _ in answers)
            return
        for found, maps in pool.refine_stream(answers, self.refine, self.backend, device=str(device)):
            self.store(found, source, self.name, list(maps))
            yield found

    def stream_on_cpu(self, model: Method, source: ImageSet, indices: Sequence[int]) -> Iterator[LabelledImage]:
        """Label photos on the CPU, one at a time in each of the processes.

        Raises:
            RunError: A process died.
        """
        processes = min(pool.cores(), len(indices))
        try:
            with one_thread():
                yield from _loader(PhotoLabeller(self, model, source), indices, processes if processes > 1 else 0)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RunError(
                "a process died, perhaps for lack of memory: repeat the command, it continues where it stopped "
                "(OMP_NUM_THREADS=1 works in one process)"
            ) from error

    def label(self, model: Method, source: ImageSet, sample: PhotoSample) -> tuple[LabelledImage, dense_crf.RefineJob]:
        """Return the label maps before the CRF, and the job for the CRF."""
        name = source.names[sample["index"]]
        if next(model.parameters()).device.type == "cpu":  # a GPU reports this by itself
            held = 2 * len(self.scales) + 2 + len(model.students)
            advice = "smaller photos, fewer evaluation.final.scales, or OMP_NUM_THREADS=1 (one photo at a time)"
            require(held, len(source.classes), sample["image"].shape[:2], f"photo {name}", advice)
        maps = self.probabilities(model, sample["image"], name)
        found = LabelledImage(sample["index"], sample["mask"])
        self.store(found, source, self.plain, [m.max(0).indices.to(torch.uint8).cpu().numpy() for m in maps])
        tags = sample["tags"]
        classes = (0, *(np.flatnonzero(tags) + 1).tolist()) if tags is not None else None
        return found, dense_crf.RefineJob(sample["image"], torch.stack(maps).cpu().numpy(), classes)

    @torch.inference_mode()
    def probabilities(self, model: Method, image: NDArray[np.uint8], name: str | None = None) -> list[Tensor]:
        """Return class probabilities (C, H, W) of each selected student, and of their mean if it is selected.

        Args:
            model: The model in evaluation mode.
            image: RGB, uint8 (H, W, 3).
            name: Name of the image, for the cache of logits.
        """
        size = image.shape[:2]
        single = {}
        for s in range(len(model.students)) if self.selection.mean else self.selection.students:
            scales = [resize(size, logits) for logits in self.scaled_logits(model, s, image, name)]
            single[s] = over_scales(scales, self.over)[0].softmax(0)
        maps = [single[s] for s in self.selection.students]
        return [*maps, torch.stack(list(single.values())).mean(0)] if self.selection.mean else maps

    def scaled_logits(
        self, model: Method, student: int, image: NDArray[np.uint8], name: str | None = None
    ) -> list[Tensor]:
        """Return a student's logits of every scale, (1, C, h, w), from the cache or else from the network."""
        device = next(model.parameters()).device
        if self.logits is not None and name is not None and (cached := self.logits.read(name, student)) is not None:
            return [torch.from_numpy(scale)[None].to(device) for scale in cached]
        base = image.shape[:2] if self.size is None else (self.size, self.size)
        with model.autocast("cam"):
            scales = patch_logits(model.students[student], normalize(image)[None].to(device), base, self.scales)
        if self.logits is not None and name is not None and self.keep_logits:
            self.logits.write(name, student, [scale[0].cpu().numpy() for scale in scales])
        return scales

    def store(self, found: LabelledImage, source: ImageSet, part: str, maps: Sequence[Labels]) -> None:
        """Add the label maps of a part to the result, and write them to its cache."""
        found.labels[part] = dict(zip(self.selection.maps("seg"), maps, strict=True))
        if part in self.caches:
            self.caches[part].write(source.names[found.index], found.labels[part])

    def read_cached(self, name: str) -> dict[str, dict[str, NDArray[Any]]] | None:
        """Return the cached label maps of an image; None where one is missing or nothing is cached."""
        labels = {part: store.read(name, self.selection.maps("seg")) for part, store in self.caches.items()}
        found = {part: maps for part, maps in labels.items() if maps is not None}
        return found if labels and len(found) == len(labels) else None


class PhotoLabeller(Dataset[LabelledImage]):
    """Label the photos of a data set completely, one per item."""

    def __init__(self, protocol: FinalProtocol, model: Method, source: ImageSet) -> None:
        self.protocol, self.model, self.source = protocol, model, source
        self.photos = PhotoView(source, tags=protocol.present_only)

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.photos)

    def __getitem__(self, index: int) -> LabelledImage:
        """Label a photo."""
        protocol = self.protocol
        found, job = protocol.label(self.model, self.source, self.photos[index])
        if protocol.refine is not None:
            maps = dense_crf.refine(job, protocol.refine, protocol.backend)
            protocol.store(found, self.source, protocol.name, list(maps))
        return found


def _loader(items: Dataset[Any], indices: Sequence[int], workers: int) -> DataLoader[Any]:
    """Load items one by one without collating them."""
    return DataLoader(
        Subset(items, indices),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_start_worker,
        collate_fn=_unchanged,
    )


def _start_worker(worker: int) -> None:
    """Prepare a worker of the loader."""
    build.worker_apart(worker)
    keep_memory()


def _unchanged(sample: Any) -> Any:
    return sample
